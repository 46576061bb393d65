"""Construct sparse masks of up to 2^17 positions: edges, lower bound, time and memory."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import alone, peak_mib, timed
from benchmarks.results import Result, table
from masksynth.mask import Mask
from masksynth.sparse.constructions.construct import construct

LAYERS = (2, 3, 4, 6)


def runs(rows: NDArray[np.int64]) -> Mask:
    """Return the mask whose row q has the non-empty intervals of ``rows[q] = (s0, e0, s1, e1, ...)``, sorted."""
    start, end = rows[:, ::2], rows[:, 1::2]
    kept = start < end
    offset = np.append(0, np.cumsum(kept.sum(axis=1)))
    return Mask(offset[None], start[kept].astype(np.int32), end[kept].astype(np.int32))


def chain(size: int) -> Mask:
    """Return causal attention."""
    q = np.arange(size)
    return runs(np.stack([0 * q, q + 1], axis=1))


def documents(size: int) -> Mask:
    """Return causal documents of 16 to 4,096 positions, one after another; the logarithm of the length is uniform."""
    rng = random.Random(0)
    starts = [0]
    while starts[-1] < size:
        starts.append(starts[-1] + round(2 ** rng.uniform(4, 12)))
    q = np.arange(size)
    first = np.array(starts)[np.searchsorted(starts, q, side="right") - 1]
    return runs(np.stack([first, q + 1], axis=1))


def prefix_tree(size: int, length: int = 500) -> Mask:
    """Return a tree of sequences of 500 tokens, each of which shares a random prefix with an earlier one."""
    rng = random.Random(0)
    paths: list[list[tuple[int, int]]] = []
    rows: list[list[tuple[int, int]]] = []
    while len(rows) < size:
        kept = _cut(rng.choice(paths), rng.randrange(min(length, size))) if paths else []
        begin = len(rows)
        fresh = min(min(length, size) - sum(end - start for start, end in kept), size - begin)
        if kept and kept[-1][1] == begin:
            begin = kept.pop()[0]
        rows += [[*kept, (begin, q + 1)] for q in range(len(rows), len(rows) + fresh)]
        paths.append(rows[-1])
    return Mask.from_intervals([rows])


def _cut(path: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The first ``length`` positions of a path."""
    kept: list[tuple[int, int]] = []
    for start, end in path:
        if length > 0:
            kept.append((start, min(end, start + length)))
        length -= end - start
    return kept


def butterfly(size: int) -> Mask:
    """Return a forward chain, a backward chain and a query for each token: 3n - 2 positions."""
    n = max(2, (size + 2) // 3)
    k, wing = np.arange(n), np.arange(n - 1)
    zero = 0 * wing
    forward = np.stack([zero, wing + 1, zero, zero, zero, zero], axis=1)
    backward = np.stack([zero, zero, zero + n - 1, n + wing, zero, zero], axis=1)
    query = 2 * n - 2 + k
    queries = np.stack([0 * k, k, 0 * k + n - 1, 2 * n - 2 - k, query, query + 1], axis=1)
    # The ends of neighbouring intervals touch for the last query, for one wing is empty, and for the first.
    return runs(_coalesce(np.concatenate([forward, backward, queries])))


def _coalesce(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Coalesce intervals of a row that touch."""
    for column in range(1, rows.shape[1] - 1, 2):
        joined = (
            (rows[:, column] == rows[:, column + 1])
            & (rows[:, column] > rows[:, column - 1])
            & (rows[:, column + 2] > rows[:, column + 1])
        )
        rows[joined, column + 1] = rows[joined, column - 1]
        rows[joined, column - 1] = rows[joined, column] = 0
    return rows


def two_stream(size: int, block: int = 16) -> Mask:
    """Return a content chain, and mask tokens that attend to their block and earlier content: 2n - 16 positions."""
    return _streams(size, block, True)


def two_stream_causal(size: int, block: int = 16) -> Mask:
    """Return ``two_stream`` with mask tokens that attend to their block up to themselves only."""
    return _streams(size, block, False)


def _streams(size: int, block: int, full: bool) -> Mask:
    n = max(1, (size + block) // (2 * block)) * block
    content, token = np.arange(n - block), np.arange(n)
    before = token // block * block
    start = n - block + before
    end = start + block if full else n - block + token + 1
    last = np.stack([0 * token, before, start, end], axis=1)
    return runs(
        _coalesce(np.concatenate([np.stack([0 * content, content + 1, 0 * content, 0 * content], axis=1), last]))
    )


MASKS = {
    "chain": chain,
    "packed documents": documents,
    "prefix tree": prefix_tree,
    "butterfly": butterfly,
    "two-stream": two_stream,
    "two-stream, causal": two_stream_causal,
}
"""Families of the construction benchmark, by number of positions."""


def cell(family: str, size: int, layers: int) -> tuple[int, int, int, float, float]:
    """Return (positions, edges, bound, seconds, peak MiB) of one family at one size and depth."""
    mask = MASKS[family](size)
    construction, seconds = timed(lambda: construct(mask, layers))
    return mask.size, construction.edges, construction.bound, seconds, peak_mib()


def measure_constructions(max_size: int, smallest: int = 4) -> Result:
    """Measure each family at 2^4, 2^5, ... positions up to ``max_size`` or 2^17, for 2, 3, 4 and 6 layers."""
    rows = []
    for family in MASKS:
        for layers in LAYERS:
            for power in range(smallest, 18):
                if 2**power <= max_size:
                    size, edges, bound, seconds, peak = alone(cell, family, 2**power, layers)
                    ratios = [f"{edges / bound:.3f}", f"{edges / size:.2f}"]
                    rows.append(
                        [
                            family,
                            layers,
                            f"{size:,}",
                            f"{edges:,}",
                            f"{bound:,}",
                            *ratios,
                            f"{seconds:.2f}",
                            f"{peak:.0f}",
                        ]
                    )
    head = ["family", "L", "positions", "edges", "bound", "edges / bound", "edges / position", "seconds", "peak MiB"]
    return Result((table(head, rows),))
