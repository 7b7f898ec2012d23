"""From a training set to a bundle: fit, choose, measure, compile."""
