"""Ragged arrays in CSR form and runs of integers: the checker's own, so that it shares no code with what it checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.typing import AnyArray, Int64Array

Rows = tuple[Int64Array, Int64Array, Int64Array]
"""(query, start, end): row ``query[t]`` has the keys ``start[t] <= k < end[t]``; sorted by query and start."""


def prefix_sums(value: AnyArray) -> AnyArray:
    """Return the sums of the first 0, 1, ... values along the first axis; unsigned sums are modulo 2**64.

    Examples
    --------
    >>> prefix_sums(np.array([5, 1]))
    array([0, 5, 6])
    """
    sums = np.zeros((len(value) + 1, *value.shape[1:]), value.dtype)
    np.cumsum(value, axis=0, out=sums[1:])
    return sums


def distinct(value: Int64Array) -> Int64Array:
    """Return the distinct values in ascending order, by sorting: ``np.unique`` hashes, which is slow for many.

    Examples
    --------
    >>> distinct(np.array([5, 2, 5]))
    array([2, 5])
    """
    ordered = np.sort(value)
    first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    values: Int64Array = ordered[first]
    return values


def repeat_ranges(first: Int64Array, count: Int64Array) -> Int64Array:
    """Return the ranges ``first[i], ..., first[i] + count[i] - 1``, one after another.

    Examples
    --------
    >>> repeat_ranges(np.array([5, 0, 7]), np.array([2, 0, 1]))
    array([5, 6, 7])
    """
    ends = count.cumsum()
    numbers: Int64Array = np.arange(int(count.sum())) + np.repeat(first - (ends - count), count)
    return numbers


def row_of_entry(offset: Int64Array) -> Int64Array:
    """Return the row of each entry, rows having the entries ``offset[r] <= t < offset[r + 1]``.

    Examples
    --------
    >>> row_of_entry(np.array([0, 2, 2, 3]))
    array([0, 0, 2])
    """
    return np.repeat(np.arange(len(offset) - 1), np.diff(offset))


def mask_rows(mask: Mask, table: int = 0) -> Rows:
    """Return the rows of one table as (query, start, end), int64."""
    offset = mask.row_offset[table]
    part = slice(int(offset[0]), int(offset[-1]))
    return row_of_entry(offset), mask.key_start[part].astype(np.int64), mask.key_end[part].astype(np.int64)


def sum_over_rows(rows: Rows, value: Int64Array) -> Int64Array:
    """Return the sum of a value per key, (N,), over the keys of each of the N rows.

    Examples
    --------
    >>> sum_over_rows((np.array([0, 2]), np.array([0, 1]), np.array([1, 3])), np.array([1, 10, 100]))
    array([  1,   0, 110])
    """
    query, start, end = rows
    below = prefix_sums(value)  # sums over the keys below each key
    before = prefix_sums(below[end] - below[start])  # sums over the intervals before each interval
    return np.diff(before[np.searchsorted(query, np.arange(len(value) + 1))])


def coalesce_pairs(row: Int64Array, column: Int64Array) -> Rows:
    """Return distinct pairs, sorted by row, then column, as maximal runs of consecutive columns.

    Examples
    --------
    >>> [part.tolist() for part in coalesce_pairs(np.array([0, 0, 0, 1]), np.array([3, 4, 6, 7]))]
    [[0, 0, 1], [3, 6, 7], [5, 7, 8]]
    """
    opens = np.ones(len(row), bool)
    opens[1:] = (np.diff(row) != 0) | (np.diff(column) != 1)
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(row))[: len(first)] - 1
    return row[first], column[first], column[last] + 1


def build_mask(tables: Sequence[Rows], size: int) -> Mask:
    """Return the mask whose tables have the given rows over ``size`` positions."""
    counts = np.array([np.bincount(rows[0], minlength=size) for rows in tables]).reshape(len(tables), size)
    ends = prefix_sums(counts.sum(axis=1))  # number of intervals of the tables before each one
    offset = np.array([prefix_sums(line) + before for line, before in zip(counts, ends, strict=False)], np.int64)
    empty = np.zeros(0, np.int64)
    start, end = (np.concatenate([empty, *(rows[part] for rows in tables)]).astype(np.int32) for part in (1, 2))
    return Mask(offset, start, end)


def split_rows(total: Int64Array, entries: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield (first row, end row) of consecutive blocks of at most ``entries`` entries and ``rows`` rows, or of one row.

    Parameters
    ----------
    total : (R + 1,) int64
        Entries of the rows before each row.
    entries, rows : int
        Limits of a block.

    Examples
    --------
    >>> list(split_rows(np.array([0, 2, 3, 9, 10]), 4, 10))
    [(0, 2), (2, 3), (3, 4)]
    """
    first = 0
    while first < len(total) - 1:
        last = int(np.searchsorted(total, total[first] + entries, side="right")) - 1
        last = min(max(last, first + 1), first + rows, len(total) - 1)
        yield first, last
        first = last
