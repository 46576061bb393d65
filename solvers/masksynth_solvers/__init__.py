"""Encodings and solvers behind masksynth's backends; see ``solvers/README.md`` for how to add one."""
