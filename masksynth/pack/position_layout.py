"""Lay out the positions and rows of a slice of a prefix forest, depth first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask.csr import indptr, repeat_ranges, run_starts
from masksynth.mask.typing import Int32Array, Int64Array
from masksynth.pack.prefix import Forest
from masksynth.pack.sample_columns import SampleTable

Rows = tuple[Int64Array, Int32Array, Int32Array]
"""(row_offset, key_start, key_end) of a mask of one table."""


@dataclass(frozen=True, eq=False)
class Piece:
    """n positions that train some samples, isolated from all others.

    Parameters
    ----------
    samples : (s,) int64
        Indices into the table, ascending.
    source : (n,) int64
        Flat index of a token with the identity of each position.
    row_offset : (n + 1,) int64
    key_start, key_end : (t,) int32
        Row intervals, as those of a Mask of one table.
    live : (u,) int64
        Flat indices of the live tokens of the samples, ascending.
    position : (u,) int64
        The position of each of them.
    """

    samples: Int64Array
    source: Int64Array
    row_offset: Int64Array
    key_start: Int32Array
    key_end: Int32Array
    live: Int64Array
    position: Int64Array


@dataclass(frozen=True, eq=False)
class PathRuns:
    """Maximal runs of consecutive positions on the path of each sample.

    Tokens ``low <= t < high`` of sample ``owner`` have the positions ``base, base + 1, ...``.
    """

    owner: Int64Array
    low: Int64Array
    high: Int64Array
    base: Int64Array


def lay_out(table: SampleTable, forest: Forest) -> Piece:
    """Return the piece of a forest, or of consecutive samples of one, the first of which shares nothing.

    The row of position q is the path from the root to q, with at most one interval for each branching on it.

    Parameters
    ----------
    table : SampleTable
    forest : Forest

    Examples
    --------
    >>> from masksynth.pack.prefix import forest_of
    >>> from masksynth.pack.check_samples import tables_of
    >>> rows = [[1, 2, 3], [1, 4]]
    >>> [table] = tables_of({"id": i, "input_ids": ids, "labels": [-100] * len(ids)} for i, ids in enumerate(rows))
    >>> piece = lay_out(table, forest_of(table, np.array([3, 2])))
    >>> table.tokens[piece.source].tolist(), piece.position.tolist()
    ([1, 2, 3, 4], [0, 1, 2, 0, 3])
    >>> piece.key_start.tolist(), piece.key_end.tolist()
    ([0, 0, 0, 0, 3], [1, 2, 3, 1, 4])
    """
    new = forest.length - forest.shared  # tokens of each sample that are new positions
    start = np.cumsum(new) - new  # the first of these positions
    runs = find_paths(forest.length, forest.shared, start)
    source = repeat_ranges(table.offset[forest.samples] + forest.shared, new)
    rows = build_rows(runs, new)
    by_index = np.argsort(forest.samples, kind="stable")
    rank = np.empty_like(by_index)
    rank[by_index] = np.arange(len(by_index))  # rank of each sample of the forest by its index in the table
    by_rank = np.argsort(rank[runs.owner], kind="stable")
    size = (runs.high - runs.low)[by_rank]
    samples = forest.samples[by_index]
    live = repeat_ranges(table.offset[samples], forest.length[by_index])
    return Piece(samples, source, *rows, live, repeat_ranges(runs.base[by_rank], size))


def find_paths(length: Int64Array, shared: Int64Array, start: Int64Array) -> PathRuns:
    """Return the runs of each sample's path, sample after sample and from the root down.

    Sample i owns the positions ``start[i], ...`` of its tokens from ``shared[i]`` on. Its token ``shared[i] - 1`` is
    owned by the last sample before it that shares less: the nearest smaller value, found with a stack.

    Parameters
    ----------
    length, shared, start : (S,) int64
        Live tokens, shared tokens and first own position of each sample, in depth-first order.
    """
    parent = np.full(len(shared), -1, np.int64)
    stack: list[int] = []
    values = shared.tolist()
    for i, value in enumerate(values):
        while stack and values[stack[-1]] >= value:
            stack.pop()
        if stack:
            parent[i] = stack[-1]
        stack.append(i)
    owner = np.flatnonzero(length)
    ancestor, high = owner, length[owner]
    parts: list[tuple[Int64Array, ...]] = []
    while len(owner):  # one step up the trie for all paths at once
        low = shared[ancestor]
        moved = high > low
        parts.append((owner[moved], low[moved], high[moved], start[ancestor[moved]]))
        below_root = low > 0
        owner, high, ancestor = owner[below_root], low[below_root], parent[ancestor[below_root]]
    if not parts:
        return PathRuns(*(np.zeros(0, np.int64) for _ in range(4)))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[1], columns[0]))  # by owner, then from the root down
    return PathRuns(*(column[order] for column in columns))


def build_rows(runs: PathRuns, new: Int64Array) -> Rows:
    """Return the rows of all owned positions: the path up to each, touching runs coalesced.

    Parameters
    ----------
    runs : PathRuns
    new : (S,) int64
        Number of positions that each sample owns.
    """
    size = runs.high - runs.low
    opens = run_starts(runs.owner)
    opens[1:] |= runs.base[1:] != (runs.base + size)[:-1]  # a gap before it
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(size))[: len(first)] - 1
    begin, end = runs.base[first].astype(np.int32), (runs.base + size)[last].astype(np.int32)
    count = np.bincount(runs.owner[first], minlength=len(new))  # intervals in the last row of each sample
    cut = indptr(count).tolist()
    offset = indptr(np.repeat(count, new))
    # the rows of a sample differ in the last interval alone, which ends with the position itself
    key_start, key_end = (_tile_slices(bound, cut, new.tolist()) for bound in (begin, end))
    key_end[offset[1:] - 1] = np.arange(1, len(offset))
    return offset, key_start, key_end


def _tile_slices(bound: Int32Array, cut: list[int], times: list[int]) -> Int32Array:
    """Return ``bound[cut[i] : cut[i + 1]]``, repeated ``times[i]`` times, for each i; as bytes, which is fastest."""
    text = bound.tobytes()
    parts = [text[4 * a : 4 * b] * n for a, b, n in zip(cut[:-1], cut[1:], times, strict=True)]
    return np.frombuffer(bytearray().join(parts), np.int32)
