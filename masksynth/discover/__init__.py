"""Structures from contracts alone: constructions, bounds and searches."""
