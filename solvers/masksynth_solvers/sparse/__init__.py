"""Exact search for sparse masks: one encoding, engines that share bounds and solutions, and certificates."""
