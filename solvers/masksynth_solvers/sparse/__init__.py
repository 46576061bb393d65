"""Exact search for sparse masks: one encoding, engines that exchange bounds and solutions, and certificates."""
