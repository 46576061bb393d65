"""Plots of the benchmarks, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from masksynth.search.cactus import draw_cactus

COMPARED = 4
"""Solvers that stand for comparison, at the start; they are drawn dashed, ours solid."""
SHORTEST = 0.01


def cactus(path: Path, solved: Mapping[str, Sequence[float]], cases: int, limit: float) -> None:
    """Draw how many cases each method proves within a time; ``solved`` has its CPU seconds by method."""
    counts = dict.fromkeys(solved, cases)
    draw_cactus(path, solved, counts, limit, shortest=SHORTEST, clock="CPU seconds", dashed=COMPARED, force=True)
