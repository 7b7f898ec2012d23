"""A look at rows before anything is trained. The engine computes all numbers."""
