"""Permute the positions of a mask, exactly and without an N x N array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from masksynth.booleans import holds_booleans
from masksynth.errors import InvalidInstance, check_type
from masksynth.mask import Mask
from masksynth.mask.csr import indptr, prefix_sums, repeat_ranges
from masksynth.mask.intervals import RowIntervals, coalesce_sorted, gather_rows, stack_tables
from masksynth.mask.typing import BoolArray, Int64Array

CHUNK = 1 << 22
"""Number of pieces of intervals that are held at once."""


class Runs(NamedTuple):
    """Maximal runs of consecutive old positions that stay adjacent in an order, ascending or descending.

    Parameters
    ----------
    start, end : (runs,) int64
        Run j contains the old positions ``start[j] <= k < end[j]``; runs are sorted by them.
    new_start : (runs,) int64
        Their new positions are ``new_start[j] .. new_start[j] + end[j] - start[j] - 1``.
    descends : (runs,) bool
        Whether the run is reversed.
    """

    start: Int64Array
    end: Int64Array
    new_start: Int64Array
    descends: BoolArray


def check_order(order: ArrayLike, size: int) -> Int64Array:
    """Return ``order`` as an int64 array; raise InvalidInstance if it is not a permutation of ``0 .. size - 1``.

    Raises
    ------
    InvalidInstance
        If it is not.

    Examples
    --------
    >>> check_order([1, 0, 2], 3).tolist()
    [1, 0, 2]
    """
    array = np.asarray(order)
    if array.shape != (size,) or (size and array.dtype.kind not in "iu") or holds_booleans(order):
        raise InvalidInstance(f"order: expected {size} integers, got {array.dtype} {array.shape}", "")
    array = array.astype(np.int64)
    if size and (array.min() < 0 or array.max() >= size or (np.bincount(array, minlength=size) != 1).any()):
        raise InvalidInstance(f"the order is not a permutation of 0..{size - 1}", "", "list every position once")
    return array


def invert_order(order: Int64Array) -> Int64Array:
    """Return the new position of each old one: ``invert_order(order)[order[i]] == i``."""
    new_position = np.empty_like(order)
    new_position[order] = np.arange(len(order))
    return new_position


def find_runs(order: Int64Array) -> Runs:
    """Return the runs of an order; a step of +1 is never followed by -1, because an order lists each position once.

    Examples
    --------
    >>> find_runs(np.array([4, 3, 0, 1, 2]))
    Runs(start=array([0, 3]), end=array([3, 5]), new_start=array([2, 0]), descends=array([False,  True]))
    """
    step = np.diff(order)
    first = np.flatnonzero(np.concatenate([np.ones(min(len(order), 1), bool), np.abs(step) != 1]))
    last = np.append(first[1:], len(order))[: len(first)] - 1
    low, high = np.minimum(order[first], order[last]), np.maximum(order[first], order[last]) + 1
    by_start = np.argsort(low)
    return Runs(low[by_start], high[by_start], first[by_start], (order[first] > order[last])[by_start])


def permuted(mask: Mask, order: ArrayLike) -> Mask:
    """Return the mask whose position i is the old position ``order[i]``: ``mask[order[i], order[j]]`` in every table.

    Intervals are cut at the borders of the runs of the order (`find_runs`), each piece moves in one part, and touching
    pieces are coalesced: O(S log S) time for S pieces, at most ``CHUNK`` of them (or one row) in memory at once. S is
    at most the number of pairs, and at most T times the number of runs.

    Parameters
    ----------
    mask : Mask
    order : (n,) ints
        A permutation of the positions.

    Raises
    ------
    InvalidInstance
        If ``order`` is not a permutation.

    Examples
    --------
    >>> mask = Mask.from_dense(np.tril(np.ones((3, 3), bool)))
    >>> print(permuted(mask, [2, 0, 1]))
    ■ ■ ■
    · ■ ·
    · ■ ■
    """
    check_type(mask, Mask)
    order = check_order(order, mask.size)
    runs = find_runs(order)
    return stack_tables(
        [_coalesce_pieces(_move_pieces(mask, table, order, runs), mask.size) for table in range(mask.tables)]
    )


def count_pieces(mask: Mask, order: Int64Array) -> int:
    """Return S, the number of pieces into which `permuted` cuts the intervals."""
    runs = find_runs(order)
    begun = _count_begun(runs, mask.size)
    return int((begun[mask.key_end] - begun[mask.key_start + 1] + 1).sum())


def _count_begun(runs: Runs, size: int) -> Int64Array:
    """Return for k = 0 .. N how many runs begin before old position k."""
    return prefix_sums(np.bincount(runs.start, minlength=size))


def _move_pieces(mask: Mask, table: int, order: Int64Array, runs: Runs) -> Iterator[RowIntervals]:
    """Yield (row, start, end) of the moved pieces in chunks of complete rows, rows ascending."""
    row, start, end = gather_rows(mask, order, table)
    begun = _count_begun(runs, mask.size)
    first = begun[start + 1] - 1  # the first run that each interval meets
    pieces = begun[end] - first  # number of runs that it meets
    total = pieces.cumsum()
    low = 0
    while low < len(row):
        # the chunk ends before the row in which the number of pieces would exceed CHUNK; it has at least one row
        last = int(np.searchsorted(total, (total[low - 1] if low else 0) + CHUNK))
        next_row = int(row[last]) if last < len(row) else mask.size
        high = int(np.searchsorted(row, max(next_row, int(row[low]) + 1)))
        chunk = slice(low, high)
        yield _cut((row[chunk], start[chunk], end[chunk]), first[chunk], pieces[chunk], runs)
        low = high


def _cut(intervals: RowIntervals, first: Int64Array, pieces: Int64Array, runs: Runs) -> RowIntervals:
    """Cut intervals into pieces and return these at their new positions.

    Parameters
    ----------
    intervals : (row, start, end)
    first, pieces : (intervals,) int64
        The first run that each interval meets, and the number of runs.
    runs : Runs
    """
    row, start, end = (np.repeat(column, pieces) for column in intervals)
    run = repeat_ranges(first, pieces)
    low, high = np.maximum(start, runs.start[run]), np.minimum(end, runs.end[run])
    # in a reversed run the piece is as far from the new start as its end was from the old end
    new_start = runs.new_start[run] + np.where(runs.descends[run], runs.end[run] - high, low - runs.start[run])
    return row, new_start, new_start + high - low


def _coalesce_pieces(chunks: Iterator[RowIntervals], size: int) -> Mask:
    """Return the mask of disjoint pieces, given in chunks of complete rows."""
    counts = np.zeros(size, np.int64)
    starts, ends = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for row, start, end in chunks:
        order = np.argsort(row * (size + 1) + start)
        row, start, end = coalesce_sorted(row[order], start[order], end[order])
        counts += np.bincount(row, minlength=size)
        starts.append(start.astype(np.int32))
        ends.append(end.astype(np.int32))
    return Mask(indptr(counts)[None], np.concatenate(starts), np.concatenate(ends))
