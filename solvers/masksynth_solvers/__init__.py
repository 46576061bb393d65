"""Encodings and solvers behind masksynth's backends; see ``solvers/README.md`` for how to add one."""

import masksynth as masksynth  # registers the old module paths (masksynth.renamed)
