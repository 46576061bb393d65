"""Discovered structures as tensors, and a reference Transformer that skips the positions that are only read."""
