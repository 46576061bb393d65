"""Encodings and solvers behind masksynth's backends; see ``solvers/README.md`` for how to add one."""

import masksynth as masksynth  # so that old paths of modules are served (masksynth.renamed)
