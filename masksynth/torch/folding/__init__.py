"""Run rows that share prefixes as one merged sequence inside the model that a trainer calls."""
