"""Constructions of sparse masks of any size, with proven bounds."""
