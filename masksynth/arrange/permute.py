"""A mask with its positions in another order, exact, without an N x N array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masksynth.booleans import holds_booleans
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.intervals import coalesce_sorted, gather_rows
from masksynth.mask.typing import Int64Array

CHUNK = 1 << 22
"""Most pieces of intervals that are held at once."""


class Runs(NamedTuple):
    """Maximal runs of consecutive old positions that stay together, rising or falling, sorted by their old places.

    Run j holds the old positions ``start[j] <= k < end[j]``; they stand at ``at[j] .. at[j] + end[j] - start[j] - 1``.
    """

    start: Int64Array
    end: Int64Array
    at: Int64Array
    falls: NDArray[np.bool_]


def checked_order(order: ArrayLike, size: int) -> Int64Array:
    """``order`` as an array after checking that it is a permutation of ``0 .. size - 1``.

    Raises
    ------
    InvalidInstance
        If it is not.

    Examples
    --------
    >>> checked_order([1, 0, 2], 3).tolist()
    [1, 0, 2]
    """
    array = np.asarray(order)
    if array.shape != (size,) or (size and array.dtype.kind not in "iu") or holds_booleans(order):
        raise InvalidInstance(f"an order of {size} positions is {size} integers, not {array.dtype} {array.shape}", "")
    array = array.astype(np.int64)
    if size and (array.min() < 0 or array.max() >= size or (np.bincount(array, minlength=size) != 1).any()):
        raise InvalidInstance(f"the order is not a permutation of 0..{size - 1}", "", "name every position once")
    return array


def inverse(order: Int64Array) -> Int64Array:
    """Where each old position stands: ``inverse(order)[order[i]] == i``."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place


def runs_of(order: Int64Array) -> Runs:
    """The runs of an order; steps of +1 and -1 never meet, because an order names no position twice.

    Examples
    --------
    >>> runs_of(np.array([4, 3, 0, 1, 2]))
    Runs(start=array([0, 3]), end=array([3, 5]), at=array([2, 0]), falls=array([False,  True]))
    """
    step = np.diff(order)
    first = np.flatnonzero(np.concatenate([np.ones(min(len(order), 1), bool), np.abs(step) != 1]))
    last = np.append(first[1:], len(order))[: len(first)] - 1
    low, high = np.minimum(order[first], order[last]), np.maximum(order[first], order[last]) + 1
    by = np.argsort(low)
    return Runs(low[by], high[by], first[by], (order[first] > order[last])[by])


def permuted(mask: Mask, order: ArrayLike) -> Mask:
    """The mask whose position i is the old position ``order[i]``: ``permuted[i, j] = mask[order[i], order[j]]`` in every table.

    An interval is cut at the borders of the runs of the order (`runs_of`), each piece moves as a whole, and pieces that meet are joined:
    O(S log S) time for S pieces, at most ``CHUNK`` of them (or one row) in memory beside the result. S is at most the number of pairs and
    no more than T times the number of runs.

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
    order = checked_order(order, mask.size)
    runs = runs_of(order)
    tables = [_joined(_moved(mask, table, order, runs), mask.size) for table in range(mask.tables)]
    offset = np.stack([part[0] for part in tables])
    ends = offset[:, -1].cumsum()
    offset[1:] += ends[:-1, None]
    return Mask(offset, np.concatenate([part[1] for part in tables]), np.concatenate([part[2] for part in tables]))


def pieces(mask: Mask, order: Int64Array) -> int:
    """S, the number of pieces into which `permuted` cuts the intervals."""
    runs = runs_of(order)
    return int(
        (np.searchsorted(runs.start, mask.key_end) - np.searchsorted(runs.start, mask.key_start, "right") + 1).sum()
    )


def _moved(
    mask: Mask, table: int, order: Int64Array, runs: Runs
) -> Iterator[tuple[Int64Array, Int64Array, Int64Array]]:
    """(row, start, end) of the moved pieces, some whole rows at a time, rows in rising order."""
    row, start, end = gather_rows(mask, order, table)
    first = np.searchsorted(runs.start, start, "right") - 1
    many = np.searchsorted(runs.start, end) - first
    upto = many.cumsum()
    low = 0
    while low < len(row):
        aim = int(np.searchsorted(upto, (upto[low - 1] if low else 0) + CHUNK))
        border = int(row[aim]) if aim < len(row) else mask.size
        high = int(np.searchsorted(row, max(border, int(row[low]) + 1)))
        part = slice(low, high)
        yield _cut(row[part], start[part], end[part], first[part], many[part], runs)
        low = high


def _cut(
    row: Int64Array, start: Int64Array, end: Int64Array, first: Int64Array, many: Int64Array, runs: Runs
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """The pieces of intervals, each in its new place."""
    run = repeat_ranges(first, many)
    low, high = np.maximum(np.repeat(start, many), runs.start[run]), np.minimum(np.repeat(end, many), runs.end[run])
    begin = runs.at[run] + np.where(runs.falls[run], runs.end[run] - high, low - runs.start[run])
    return np.repeat(row, many), begin, begin + high - low


def _joined(
    parts: Iterator[tuple[Int64Array, Int64Array, Int64Array]], size: int
) -> tuple[Int64Array, NDArray[np.int32], NDArray[np.int32]]:
    """(row_offset, key_start, key_end) of disjoint pieces, joined where they meet."""
    count = np.zeros(size, np.int64)
    starts, ends = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for row, start, end in parts:
        by = np.argsort(row * (size + 1) + start)
        row, start, end = row[by], start[by], end[by]
        row, start, end = coalesce_sorted(row, start, end)
        count += np.bincount(row, minlength=size)
        starts.append(start.astype(np.int32))
        ends.append(end.astype(np.int32))
    return indptr(count), np.concatenate(starts), np.concatenate(ends)
