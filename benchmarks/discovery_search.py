"""The search for structures: gates found for 64 elements beside constructions, bounds and figures by hand."""

from __future__ import annotations

from time import process_time
from typing import Any

import numpy as np

from benchmarks.discovery_contracts import contracts_of_64
from benchmarks.results import Result, table
from masksynth.backends import Limits
from masksynth.contracts import Contracts
from masksynth.contracts.families import leave_ball_out, leave_one_out, neighbourhood, windows
from masksynth.discover.bounds import bounds_of
from masksynth.discover.constructions import constructions_for, edges_of_arities
from masksynth.discover.constructions.hole import Sites, doubling_reaches, expanding_hole
from masksynth.discover.discover import discover
from masksynth.discover.measure import measure

BY_HAND = {"window of 4": 121, "window of 8": 141, "window of 16": 133, "all but row and column": 288}
BLIND = {
    "window of 4": 111,
    "window of 8": 138,
    "window of 16": 144,
    "all but i - 1 .. i + 1": 211,
    "3 x 3 neighbourhood without its centre": 219,
    "all but 3 x 3": 273,
    "all but row and column": 552,
}
"""Gates by hand, and by a pair greedy with local search that knows nothing of the elements (25 s)."""
PAIRS = ((20, 4), (64, 4), (64, 6), (128, 6))
"""(n, L) of the table of mixed reads."""
LARGE = {
    "window of 16, 256 tokens": lambda: windows(n=256, w=16, layers=64),
    "all but i - 2 .. i + 2, 256 tokens": lambda: leave_ball_out(n=256, radius=2, layers=64),
    "3 x 3 neighbourhood without its centre, 16 x 16": lambda: neighbourhood(shape=(16, 16), layers=64),
}
"""Contracts on 256 elements."""


COLUMNS = "contract", "by hand", "blind", "constructions", "search", "bound", "status", "positions", "CPU s", "found by"


def measure_search(max_size: int, limit: float) -> Result:
    """Return the tables; ``limit`` is in seconds on the clock for each search."""
    named = [(name, contracts) for name, contracts in contracts_of_64().items() if contracts.elements.count <= max_size]
    gates = table(COLUMNS, [_gates(name, contracts, limit) for name, contracts in named])
    layers = table(
        ("L", "trees", "constructions", "search", "bound", "status", "found by"),
        [_layers(count, limit) for count in range(2, 11) if max_size >= 64],
    )
    mixed = table(
        ("n", "L", "best hole", "reservoirs", "search", "found by"),
        [_mixed(n, depth, limit) for n, depth in PAIRS if n <= max_size],
    )
    large = table(COLUMNS, [_gates(name, make(), limit) for name, make in LARGE.items() if max_size >= 256])
    notes = (
        f"Each search ends after {limit:g} s on the clock or with a proof, by one process. Gates are edges less a copy "
        "for each blank that reads; default weights (one position costs as much as 6,000 edges), 64 layers.",
        "Second table: edges of leave-one-out of 64 tokens with 128 positions, a mask for each of L layers.",
        "Third table: mixed reads of leave-one-out with 2 n positions. Reservoirs: before any local search.",
        "Fourth table: gates for contracts on 256 elements, otherwise as in the first.",
    )
    return Result((gates, layers, mixed, large), notes)


def _gates(name: str, contracts: Contracts, limit: float) -> tuple[Any, ...]:
    """Return a row of the first table."""
    copies = int(contracts.need.any(axis=1).sum())
    built = min(measure(structure, contracts).edges for structure in constructions_for(contracts)) - copies
    begun = process_time()
    found = discover(contracts, limits=Limits(limit))
    assert found.best is not None
    sizes, bound = found.best.sizes, bounds_of(contracts).edges.value - copies
    row = (name, BY_HAND.get(name, "-"), BLIND.get(name, "-"), built, sizes.edges - copies, f"{bound:g}")
    seconds = f"{process_time() - begun:.1f}"
    return (*row, found.status.name, sizes.positions, seconds, found.best.structure.found_by)


def _layers(layers: int, limit: float) -> tuple[Any, ...]:
    """Return a row of the second table."""
    contracts = leave_one_out(n=64, layers=layers)
    built = min((measure(s, contracts).edges for s in constructions_for(contracts) if s.size == 128), default=0)
    found = discover(contracts, limits=Limits(limit))
    assert found.best is not None
    trees = edges_of_arities(64, layers)
    edges, by = found.best.sizes.edges, found.best.structure.found_by
    return layers, trees, built, edges, f"{bounds_of(contracts).edges.value:g}", found.status.name, by


def _mixed(n: int, layers: int, limit: float) -> tuple[Any, ...]:
    """Return a row of the third table."""
    contracts = leave_one_out(n=n, layers=layers)
    short, found = (discover(contracts, objective="pairs", limits=Limits(seconds)) for seconds in (0, limit))
    assert short.best is not None
    assert found.best is not None
    counts = [_best_hole(n, layers), short.best.sizes.mixed_edges, found.best.sizes.mixed_edges]
    return n, layers, *(f"{count:,}" for count in counts), found.best.structure.found_by


def _best_hole(n: int, layers: int) -> int:
    """Return the most mixed reads of two expanding holes: of reaches 1, n - 2, n - 1, and of doubling ones."""
    contracts, index = leave_one_out(n=n, layers=layers), np.arange(n)
    sites = Sites(index, index, abs(index[:, None] - index), 0)
    schedules = [[1, n - 2, n - 1][: layers - 1], doubling_reaches(n - 1, layers, 0)]
    holes = [expanding_hole(sites, reaches, layers) for reaches in schedules if reaches]
    return max(measure(hole, contracts).mixed_edges for hole in holes)
