"""Training: one trial, or many at once."""
