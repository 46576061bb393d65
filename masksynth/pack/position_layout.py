"""Positions and rows of a slice of a prefix forest, laid out depth first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import Int32Array, Int64Array
from masksynth.pack.prefix import Forest
from masksynth.pack.sample_columns import SampleTable


@dataclass(frozen=True, eq=False)
class Piece:
    """n positions that train some samples, isolated from all others.

    Parameters
    ----------
    samples : (s,) int64
        Indices into the table, rising.
    source : (n,) int64
        A token of the table that has each position's identity.
    row_offset, key_start, key_end : arrays
        Row intervals, as a Mask of one table has them.
    live : (u,) int64
        The live tokens of the samples, rising.
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
class Runs:
    """Maximal stretches of consecutive positions on the path of each sample: its tokens ``low <= t < high`` are at ``base + t - low``."""

    owner: Int64Array
    low: Int64Array
    high: Int64Array
    base: Int64Array


def lay_out(table: SampleTable, forest: Forest) -> Piece:
    """The piece of a forest, or of consecutive samples of one whose first ``shared`` is 0.

    Row q holds the path from the root to q, as at most one interval per branching on it.

    Examples
    --------
    >>> from masksynth.pack.prefix import forest_of
    >>> from masksynth.pack.check_samples import tables_of
    >>> [table] = tables_of({"id": i, "input_ids": ids, "labels": [-100] * len(ids)} for i, ids in enumerate([[1, 2, 3], [1, 4]]))
    >>> piece = lay_out(table, forest_of(table, np.array([3, 2])))
    >>> table.tokens[piece.source].tolist(), piece.position.tolist(), piece.key_start.tolist(), piece.key_end.tolist()
    ([1, 2, 3, 4], [0, 1, 2, 0, 3], [0, 0, 0, 0, 3], [1, 2, 3, 1, 4])
    """
    new = forest.length - forest.shared
    start = np.cumsum(new) - new
    runs = paths(forest.length, forest.shared, start)
    source = repeat_ranges(table.offset[forest.samples] + forest.shared, new)
    rows = rows_of(runs, new)
    rank = np.argsort(forest.samples, kind="stable")
    place = np.empty_like(rank)
    place[rank] = np.arange(len(rank))
    by_file = np.argsort(place[runs.owner], kind="stable")
    size = (runs.high - runs.low)[by_file]
    samples = forest.samples[rank]
    live = repeat_ranges(table.offset[samples], forest.length[rank])
    return Piece(samples, source, *rows, live, repeat_ranges(runs.base[by_file], size))


def paths(length: Int64Array, shared: Int64Array, start: Int64Array) -> Runs:
    """The runs of every sample's path, sample after sample and from the root up.

    Sample i owns the positions ``start[i], ...`` of its tokens from ``shared[i]`` on. Its token ``shared[i] - 1`` is owned by the last
    sample before it that shares less: the nearest smaller value, found with a stack.
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
    at, high = owner, length[owner]
    found: list[tuple[Int64Array, ...]] = []
    while len(owner):
        low = shared[at]
        some = high > low
        found.append((owner[some], low[some], high[some], start[at[some]]))
        going = low > 0
        owner, high, at = owner[going], low[going], parent[at[going]]
    if not found:
        return Runs(*(np.zeros(0, np.int64) for _ in range(4)))
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return Runs(*(column[order] for column in columns))


def rows_of(runs: Runs, new: Int64Array) -> tuple[Int64Array, Int32Array, Int32Array]:
    """(row_offset, key_start, key_end) of the rows of all owned positions: the path up to each, runs that touch taken as one."""
    size = runs.high - runs.low
    opens = np.ones(len(size), bool)
    opens[1:] = (runs.owner[1:] != runs.owner[:-1]) | (runs.base[1:] != (runs.base + size)[:-1])
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(size))[: len(first)] - 1
    begin, end = runs.base[first].astype(np.int32), (runs.base + size)[last].astype(np.int32)
    many = np.bincount(runs.owner[first], minlength=len(new))
    where = indptr(many).tolist()
    offset = indptr(np.repeat(many, new))
    key_start, key_end = (_tiled(bound, where, new.tolist()) for bound in (begin, end))
    key_end[offset[1:] - 1] = np.arange(1, len(offset))
    return offset, key_start, key_end


def _tiled(bound: Int32Array, where: list[int], times: list[int]) -> Int32Array:
    """``bound[where[i] : where[i + 1]]``, ``times[i]`` times over, for every i."""
    text = bound.tobytes()
    parts = [text[4 * a : 4 * b] * n for a, b, n in zip(where[:-1], where[1:], times, strict=True)]
    return np.frombuffer(bytearray().join(parts), np.int32)
