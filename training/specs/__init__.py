"""One file a use case; training.spec finds them."""
