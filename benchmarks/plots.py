"""Plot results of the benchmarks; equal figures give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from masksynth.search.cactus import draw_cactus

COMPARED = 4
"""Number of methods at the start that are drawn dashed: those that masksynth is compared with."""
SHORTEST = 0.01


def cactus(path: Path, solved: Mapping[str, Sequence[float]], cases: int, limit: float) -> None:
    """Draw how many cases each method proves within a time; ``solved`` maps methods to CPU seconds of their proofs."""
    counts = dict.fromkeys(solved, cases)
    draw_cactus(path, solved, counts, limit, shortest=SHORTEST, clock="CPU seconds", dashed=COMPARED, force=True)
