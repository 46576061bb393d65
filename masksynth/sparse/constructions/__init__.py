"""Constructions of sparse masks of any size, with proved lower bounds."""
