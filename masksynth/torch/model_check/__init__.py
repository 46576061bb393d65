"""Shared parts of model checks: plain runs, runs under given masks, comparisons of outputs, and derivatives."""
