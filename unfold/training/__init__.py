"""Training: losses and recipes."""
