"""Plot results of the benchmarks; equal figures give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from masksynth.search.cactus import draw_cactus

SHORTEST = 0.01


def cactus(path: Path, solved: Mapping[str, Sequence[float]], cases: int, limit: float, dashed: int) -> None:
    """Draw how many cases each method proves within a time; ``solved`` maps methods to CPU seconds of their proofs.

    The first ``dashed`` methods, those that masksynth is compared with, are drawn dashed.
    """
    counts = dict.fromkeys(solved, cases)
    draw_cactus(path, solved, counts, limit, shortest=SHORTEST, clock="CPU seconds", dashed=dashed, force=True)
