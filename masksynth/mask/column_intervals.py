"""Columns of a mask in intervals: for each key, the runs of queries that attend to it; found from neighbouring rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask
from masksynth.mask.csr import indptr, row_of_entry
from masksynth.mask.equal_values import run_starts
from masksynth.mask.intervals import RowIntervals, check_table, concatenate_intervals, expand
from masksynth.mask.typing import Int64Array

MOST_INTERVALS = 1 << 17
"""Intervals that are compared with those of the row before at once, if a row does not have more."""


class Columns(NamedTuple):
    """Columns of a mask in CSR form, in sorted, disjoint intervals of queries that do not touch.

    Parameters
    ----------
    offset : (N + 1,) int64
        Key k is attended to by the queries ``start[t] <= q < end[t]`` for ``offset[k] <= t < offset[k + 1]``.
    start, end : (intervals,) int64
    """

    offset: Int64Array
    start: Int64Array
    end: Int64Array


def count_column_intervals(mask: Mask, table: int = 0) -> Int64Array:
    """Return the number of intervals of queries that attend to each key, shape (N,), in O(T) and without listing them.

    Examples
    --------
    >>> count_column_intervals(Mask.from_intervals([[((0, 1),), ((1, 2),), ((0, 3),)]])).tolist()
    [2, 1, 1]
    """
    steps = np.zeros(mask.size + 1, np.int64)
    for changes in _iterate_row_changes(mask, table):
        _, first, last = changes.select(1)  # a column interval opens at each of these keys
        np.add.at(steps, first, 1)
        np.subtract.at(steps, last, 1)
    counts: Int64Array = steps.cumsum()[:-1]
    return counts


def columns(mask: Mask, table: int = 0) -> Columns:
    """Return the columns of one table, in O(T log T + C) for C column intervals (``count_column_intervals`` gives C).

    A column interval opens at query q for the keys in row q and not in row q - 1, and closes for those in row q - 1 and
    not in row q: the differences of neighbouring rows are at most 2T intervals of keys.

    Examples
    --------
    >>> [array.tolist() for array in columns(Mask.from_intervals([[((0, 1),), ((1, 2),), ((0, 2),)]]))]
    [[0, 2, 3, 3], [0, 2, 1], [1, 3, 3]]
    """
    changes = list(_iterate_row_changes(mask, table))
    opened, closed = (concatenate_intervals([change.select(side) for change in changes]) for side in (1, -1))
    (key, start), (_, end) = _sort_by_key(opened), _sort_by_key(closed)
    return Columns(indptr(np.bincount(key, minlength=mask.size)), start, end)


class RowChanges(NamedTuple):
    """Intervals of keys in which rows differ from the row before or do not, in order.

    Parameters
    ----------
    row, start, end : (intervals,) int64
    change : (intervals,) int8
        1 where the keys are in this row and not in the one before, -1 for the reverse, 0 where both are equal.
    """

    row: Int64Array
    start: Int64Array
    end: Int64Array
    change: NDArray[np.int8]

    def select(self, change: int) -> RowIntervals:
        """Return the intervals with a given change."""
        index = np.flatnonzero(self.change == change)  # once: a boolean index costs as much for each array
        return self.row[index], self.start[index], self.end[index]


def _iterate_row_changes(mask: Mask, table: int) -> Iterator[RowChanges]:
    """Yield what row q and row q - 1 do not share, for q = 0 .. N, some rows at a time.

    Sorting a few rows at a time keeps them in the cache, and the memory follows the changes.
    """
    offset = mask.row_offset[check_table(mask, table)]
    offset = np.concatenate([offset[:1], offset, offset[-1:]])  # an empty row before the first and after the last
    first, count = 0, mask.size + 1
    while first < count:
        fitting = int(np.searchsorted(offset, offset[first] + MOST_INTERVALS, "right")) - 2
        last = max(first + 1, min(fitting, count))
        changes = _compare_rows(mask, offset[first : last + 2])
        yield changes._replace(row=changes.row + first)
        first = last


def _compare_rows(mask: Mask, offset: Int64Array) -> RowChanges:
    """Return how each of consecutive rows but the first differs from the one before; row 0 is the second of them.

    Parameters
    ----------
    mask : Mask
    offset : (rows + 1,) int64
        Row pointers of the rows.
    """
    width, row = mask.size + 1, row_of_entry(offset) * (mask.size + 1)
    entries = slice(int(offset[0]), int(offset[-1]))
    ends = np.concatenate([row + mask.key_start[entries], row + mask.key_end[entries]])
    current = ends[ends >= width] - width  # ends of a row as this row, without the first
    previous = ends[ends < width * (len(offset) - 2)]  # and as the row before the next, without the last
    codes = np.sort(np.concatenate([current * 2 + 1, previous * 2]))
    # after an odd number of ends one is inside an interval; both parities together are that of the index
    inside = np.bitwise_xor.accumulate((codes & 1).astype(np.int8))
    before = inside.copy()
    before[::2] ^= 1  # the index counts from 1
    codes >>= 1
    last = np.roll(run_starts(codes), -1)  # several ends at one key count together
    codes, change = codes[last], (inside - before)[last]
    row = codes // width
    key = codes - row * width
    return RowChanges(row, key, np.roll(key, -1), change)  # the last end of a row closes, so its change is 0


def _sort_by_key(intervals: RowIntervals) -> tuple[Int64Array, Int64Array]:
    """Return (key, query) for each key of each interval, sorted by key, then query."""
    query, key = expand(intervals)
    order = np.argsort(key, kind="stable")
    return key[order], query[order]
