"""Masks by columns, that is by the queries that attend to each key: FlashMask, and the way back to row intervals.

FlashMask (PaddlePaddle ``flashmask_attention``) takes for each key the rows that must *not* attend to it, as
``startend_row_indices`` ``[1, 1, N, c]`` int32:

=========  =====  ==================================================================
causal     c      forbidden for key k
=========  =====  ==================================================================
True       1      rows r1 <= q, and rows q < k
True       2      rows r1 <= q < r2, and rows q < k
False      2      rows r1 <= q, and rows q < r2
False      4      rows r1 <= q < r2, and rows r3 <= q < r4
=========  =====  ==================================================================
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.check_rows import check_rows
from masksynth.mask.column_intervals import Columns, columns, count_column_intervals
from masksynth.mask.csr import indptr, repeat_index
from masksynth.mask.intervals import (
    RowIntervals,
    concatenate_intervals,
    count_covering,
    count_intervals,
    expand,
    row_intervals,
)
from masksynth.mask.typing import Int32Array, Int64Array

Bounds = list[tuple[Int64Array, Int64Array]]
"""A few pairs (lo, hi), each (N,) int64: for key k the queries ``lo[k] <= q < hi[k]``, none where lo[k] >= hi[k]."""


class FlashMask(NamedTuple):
    """``flashmask_attention(q, k, v, startend_row_indices, causal=causal)``."""

    startend_row_indices: Int32Array
    causal: bool


def to_flashmask(mask: Mask, table: int = 0) -> FlashMask:
    """Return the fewest bounds c that express the mask, causal if possible; checked.

    Where a key is hidden from rows on both sides of its own, the first bounds are those below the diagonal and the
    second those above, as in FlashMask's documentation. Elsewhere (two gaps on one side) they mean what the table above
    says, which is what Paddle's dense reference computes.

    Raises
    ------
    Unsupported
        If the rows forbidden to a key are more than two intervals.

    Examples
    --------
    >>> to_flashmask(Mask.from_intervals([[((0, 1),), ((0, 2),), ((2, 3),)]])).startend_row_indices[0, 0].tolist()
    [[2], [2], [3]]
    >>> to_flashmask(Mask.from_intervals([[((0, 2),), ((0, 2),), ((2, 3),)]])).startend_row_indices[0, 0].tolist()
    [[2, 0], [2, 0], [3, 2]]
    """
    counts = count_column_intervals(mask, table)
    if (most := int(counts.max(initial=0))) > 3:
        raise Unsupported(
            f"cannot express: key {int(counts.argmax())} is seen by {most} intervals of rows (more than 3)"
        )
    by_key, (query, _, ends) = columns(mask, table), row_intervals(mask, table)
    below = _gaps(by_key, np.arange(mask.size))
    if (ends <= query + 1).all() and len(below) <= 1:
        result = FlashMask(_stack(_causal_bounds(below, mask.size)), True)
    elif (counts <= 1).all():
        result = FlashMask(_stack(_single_bounds(by_key)), False)
    else:
        gaps = _gaps(by_key, np.zeros(mask.size, np.int64))
        result = FlashMask(_stack(_double_bounds(gaps, mask.size)), False)
    check_flashmask(mask, result, table)
    return result


def check_flashmask(mask: Mask, flashmask: FlashMask, table: int = 0) -> None:
    """Check that FlashMask bounds mean a table of the mask.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs.
    """
    check_rows(mask, table, flashmask_to_rows(flashmask, mask, table), "flashmask")


def flashmask_to_rows(flashmask: FlashMask, mask: Mask, table: int = 0) -> RowIntervals:
    """Return the row intervals of FlashMask bounds; ``mask`` gives N and bounds how much is written out.

    Raises
    ------
    WrongAnswer
        If the type, the shape or a bound is invalid.
    """
    size, array, causal = mask.size, flashmask.startend_row_indices, flashmask.causal
    counts = (1, 2) if causal else (2, 4)
    if array.dtype != np.int32 or array.shape not in [(1, 1, size, count) for count in counts]:
        expected = f"int32 (1, 1, {size}, {counts[0]} or {counts[1]}) with causal={causal}"
        raise WrongAnswer("flashmask", f"expected {expected}, got {array.dtype} {array.shape}")
    if array.size and (array.min() < 0 or array.max() > size):
        raise WrongAnswer("flashmask", f"expected bounds from 0 to {size}, got {array.min()} to {array.max()}")
    bound, key = array[0, 0].astype(np.int64).T, np.arange(size)
    zero, end = np.zeros(size, np.int64), np.full(size, size)
    if causal:
        hidden = [(zero, key), (bound[0], bound[1] if len(bound) == 2 else end)]
    elif len(bound) == 4:
        hidden = [(bound[0], bound[1]), (bound[2], bound[3])]
    else:
        hidden = [(bound[0], end), (zero, bound[1])]
    return rows_of_columns(_complement(hidden, size), mask, table, "flashmask")


def rows_of_columns(bounds: Bounds, mask: Mask, table: int, name: str) -> RowIntervals:
    """Return the row intervals of column intervals.

    A row interval begins at key k for the queries in column k and not in column k - 1: where an interval of column k
    meets a gap of column k - 1. The number that begin in each row is compared before any is written out, so that a
    wrong form costs no more than a right one.

    Parameters
    ----------
    bounds : list of (lo, hi)
        Disjoint for each key.
    mask : Mask
        Gives N and the expected number of intervals of each row.
    table : int
    name : str
        What is checked, for messages.

    Raises
    ------
    WrongAnswer
        If a row has another number of intervals than in the mask.
    """
    size = mask.size
    before = [(_shift(lo, 1), _shift(hi, 1)) for lo, hi in bounds]  # column k - 1
    after = [(_shift(lo, -1), _shift(hi, -1)) for lo, hi in bounds]  # column k + 1
    starts, ends = _subtract(bounds, before, size), _subtract(bounds, after, size)
    expected = count_intervals(mask, table)
    for verb, intervals in (("begin", starts), ("end", ends)):
        counts = count_covering(intervals, size)
        if (differs := counts != expected).any():
            row = int(differs.argmax())
            raise WrongAnswer(name, f"row {row}: {int(counts[row])} intervals {verb}, not {int(expected[row])}")
    (first_key, first_row), (last_key, last_row) = expand(starts), expand(ends)
    opens, closes = np.lexsort((first_key, first_row)), np.lexsort((last_key, last_row))
    return first_row[opens], first_key[opens], last_key[closes] + 1


def _shift(values: Int64Array, by: int) -> Int64Array:
    """Return values moved by one index to the right (1) or to the left (-1), with 0 where none is left."""
    shifted = np.zeros_like(values)
    if by > 0:
        shifted[1:] = values[:-1]
    else:
        shifted[:-1] = values[1:]
    return shifted


def _subtract(bounds: Bounds, others: Bounds, size: int) -> RowIntervals:
    """Return (key, start, end): the queries in a column of ``bounds`` and not in the same column of ``others``."""
    keys = np.arange(len(bounds[0][0]))
    edges = [np.zeros(len(keys), np.int64), *(edge for pair in _sort_pairs(others) for edge in pair)]
    edges.append(np.full(len(keys), size))
    parts = []
    for lo, hi in bounds:
        for gap_lo, gap_hi in zip(edges[::2], edges[1::2], strict=True):  # between consecutive intervals of ``others``
            start, end = np.maximum(lo, gap_lo), np.minimum(hi, gap_hi)
            kept = (start < end) & (lo < hi)
            parts.append((keys[kept], start[kept], end[kept]))
    return concatenate_intervals(parts)


def _sort_pairs(bounds: Bounds) -> Bounds:
    """Return the disjoint intervals (lo, hi) of each key in increasing order; empty ones, as (0, 0), come first."""
    lo = np.array([np.where(lo < hi, lo, 0) for lo, hi in bounds])
    hi = np.array([np.where(lo < hi, hi, 0) for lo, hi in bounds])
    order = np.argsort(hi, axis=0, kind="stable")
    return list(zip(np.take_along_axis(lo, order, 0), np.take_along_axis(hi, order, 0), strict=True))


def _gaps(by_key: Columns, first: Int64Array) -> Bounds:
    """Return the i-th interval of rows from ``first[k]`` on that do not attend to key k; (N, N) if there are fewer."""
    size = len(by_key.offset) - 1
    # Between consecutive intervals of a key is a gap; one more begins at ``first`` and one ends at N.
    key = repeat_index(np.diff(by_key.offset) + 1)
    low = np.insert(by_key.end, by_key.offset[:-1], first)
    high = np.insert(by_key.start, by_key.offset[1:], size)
    kept = low < high
    key, low, high = key[kept], low[kept], high[kept]
    counts = np.bincount(key, minlength=size)
    offset = indptr(counts)
    gaps = []
    for number in range(int(counts.max(initial=0))):
        chosen = np.flatnonzero(counts > number)
        bounds = np.full((2, size), size)
        bounds[:, chosen] = low[offset[chosen] + number], high[offset[chosen] + number]
        gaps.append((bounds[0], bounds[1]))
    return gaps


def _causal_bounds(below: Bounds, size: int) -> list[Int64Array]:
    """Return the bounds of one gap below the diagonal: its start alone where all gaps reach the end."""
    start, end = below[0] if below else (np.full(size, size), np.full(size, size))
    return [start] if (end == size).all() else [start, end]


def _single_bounds(by_key: Columns) -> list[Int64Array]:
    """Return the bounds where at most one interval of rows attends to each key: (its end, its start).

    For a key without rows, both are the key itself: all rows from it on and all rows before it are hidden.
    """
    bounds = np.stack([np.arange(len(by_key.offset) - 1)] * 2)
    bounds[:, np.diff(by_key.offset) > 0] = by_key.end, by_key.start
    return [bounds[0], bounds[1]]


def _double_bounds(gaps: Bounds, size: int) -> list[Int64Array]:
    """Return the bounds of two gaps, the later one first; a single gap is cut at the diagonal.

    Raises
    ------
    Unsupported
        If a key has more than two gaps.
    """
    if len(gaps) > 2:
        hidden = np.sum([start < end for start, end in gaps], axis=0)
        raise Unsupported(
            f"cannot express: key {int(hidden.argmax())} is hidden from {hidden.max()} intervals of rows (more than 2)"
        )
    key, empty = np.arange(size), (np.full(size, size), np.full(size, size))
    (start, end), (later_start, later_end) = (*gaps, empty, empty)[:2]
    is_single = later_start >= later_end
    cut = np.clip(key, start, end)
    r1, r2 = np.where(is_single, cut, later_start), np.where(is_single, end, later_end)
    return [r1, r2, start, np.where(is_single, cut, end)]


def _stack(bounds: list[Int64Array]) -> Int32Array:
    """Return c arrays (N,) as [1, 1, N, c] int32."""
    return np.ascontiguousarray(np.stack(bounds, axis=1).astype(np.int32)[None, None])


def _complement(hidden: Bounds, size: int) -> Bounds:
    """Return the rows in none of a few intervals per key, which may be empty, overlap and come in any order."""
    low = np.array([np.where(lo < hi, lo, size) for lo, hi in hidden])
    high = np.array([np.where(lo < hi, hi, size) for lo, hi in hidden])
    order = np.argsort(low, axis=0, kind="stable")
    low, high = np.take_along_axis(low, order, 0), np.take_along_axis(high, order, 0)
    # Between the furthest end so far and the next start nothing is hidden; the result may contain empty intervals.
    furthest = np.maximum.accumulate(np.concatenate([np.zeros((1, low.shape[1]), np.int64), high]), axis=0)
    next_start = np.concatenate([low, np.full((1, low.shape[1]), size)])
    return [(start, np.maximum(start, end)) for start, end in zip(furthest, next_start, strict=True)]
