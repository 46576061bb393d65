"""Benchmarks of masksynth, printed as tables: ``python -m benchmarks --help``."""
