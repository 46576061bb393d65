"""Interval arithmetic on one table of a mask: its rows, their unions, and how often they cover a key.

Intervals are three arrays (query, start, end): row ``query[t]`` attends to the keys ``start[t] <= k < end[t]``. Nothing
here is N x N.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.csr import indptr, repeat_index, repeat_ranges, row_of_entry
from masksynth.mask.typing import Int64Array

RowIntervals = tuple[Int64Array, Int64Array, Int64Array]
"""(query, start, end) of each interval."""


def check_table(mask: Mask, table: int) -> int:
    """Return ``table``; raise InvalidInstance if the mask does not have it."""
    if not 0 <= table < mask.tables:
        raise InvalidInstance(
            f"table {table} is out of range: the mask has {mask.tables} table{'' if mask.tables == 1 else 's'}"
        )
    return table


def query_of_interval(mask: Mask, table: int = 0) -> Int64Array:
    """Return the row of each interval of one table.

    Parameters
    ----------
    mask : Mask
    table : int
        Table of the layer pattern, counted from 0.

    Returns
    -------
    (intervals of the table,) int64

    Raises
    ------
    InvalidInstance
        If the mask has no such table.

    Examples
    --------
    >>> query_of_interval(Mask.from_intervals([[((0, 1),), (), ((0, 1), (2, 3))]])).tolist()
    [0, 2, 2]
    """
    return row_of_entry(mask.row_offset[check_table(mask, table)])


def row_intervals(mask: Mask, table: int = 0) -> RowIntervals:
    """Return (query, start, end) of all intervals of one table, as int64, sorted by query and start.

    Raises
    ------
    InvalidInstance
        If the mask has no such table.

    Examples
    --------
    >>> [array.tolist() for array in row_intervals(Mask.from_intervals([[(), ((0, 2),)]]))]
    [[1], [0], [2]]
    """
    offset = mask.row_offset[check_table(mask, table)]
    entries = slice(int(offset[0]), int(offset[-1]))
    return row_of_entry(offset), mask.key_start[entries].astype(np.int64), mask.key_end[entries].astype(np.int64)


def gather_rows(mask: Mask, rows: Int64Array, table: int = 0) -> RowIntervals:
    """Return the intervals of the given rows: (index into ``rows``, start, end).

    Parameters
    ----------
    mask : Mask
    rows : (m,) integers
        Rows in any order, with repetitions.
    table : int

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), (), ((0, 1), (2, 3))]])
    >>> [array.tolist() for array in gather_rows(mask, np.array([2, 0]))]
    [[0, 0, 1], [0, 2, 0], [1, 3, 1]]
    """
    offset = mask.row_offset[check_table(mask, table)]
    counts = offset[rows + 1] - offset[rows]
    entries = repeat_ranges(offset[rows], counts)
    return (
        repeat_index(counts),
        mask.key_start[entries].astype(np.int64),
        mask.key_end[entries].astype(np.int64),
    )


def count_intervals(mask: Mask, table: int = 0) -> Int64Array:
    """Return the number of intervals of each row, shape (N,)."""
    counts: Int64Array = np.diff(mask.row_offset[check_table(mask, table)])
    return counts


def coalesce(intervals: RowIntervals) -> RowIntervals:
    """Return the union of intervals in any order: sorted by (query, start), disjoint, not touching, none empty.

    Parameters
    ----------
    intervals : (query, start, end)
        Non-negative integers; intervals may overlap, touch or be empty.

    Examples
    --------
    >>> [a.tolist() for a in coalesce((np.array([1, 0, 1]), np.array([1, 0, 0]), np.array([2, 1, 1])))]
    [[0, 1], [0, 0], [1, 2]]
    """
    query, start, end = (np.asarray(column, np.int64) for column in intervals)
    if not (filled := start < end).all():
        query, start, end = query[filled], start[filled], end[filled]
    width = int(end.max(initial=0)) + 1  # (query, key) as one integer: rows are width apart
    starts, ends = np.sort(query * width + start), np.sort(query * width + end)
    # The i smallest ends lie before the start i, counted from 0, iff the i intervals that begin before it end there.
    opens = np.append(True, starts[1:] > ends[:-1])[: len(starts)]
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(starts))[: len(first)] - 1
    query = starts[first] // width
    return query, starts[first] - query * width, ends[last] - query * width


def coalesce_sorted(query: NDArray[Any], start: NDArray[Any], end: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return sorted, disjoint intervals with those of one query that touch merged; types are kept.

    Parameters
    ----------
    query, start, end : (intervals,) integers
        Sorted by (query, start), disjoint, none empty.

    Examples
    --------
    >>> [a.tolist() for a in coalesce_sorted(np.array([0, 0, 1]), np.array([0, 2, 2]), np.array([2, 3, 3]))]
    [[0, 1], [0, 2], [3, 3]]
    """
    opens = np.ones(len(query), bool)
    opens[1:] = (query[1:] != query[:-1]) | (start[1:] != end[:-1])
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(query))[: len(first)] - 1
    return query[first], start[first], end[last]


def concatenate_intervals(parts: Iterable[RowIntervals]) -> RowIntervals:
    """Return the intervals of all parts, in the order given."""
    listed = [(np.zeros(0, np.int64),) * 3, *parts]
    query, start, end = (np.concatenate([part[column] for part in listed]) for column in range(3))
    return query, start, end


def build_mask(intervals: RowIntervals | tuple[NDArray[Any], ...], size: int) -> Mask:
    """Return the mask of one table over ``size`` positions with the given rows.

    Parameters
    ----------
    intervals : (query, start, end)
        Sorted, disjoint and not touching, as ``coalesce`` returns them.
    size : int

    Examples
    --------
    >>> print(build_mask((np.array([1]), np.array([0]), np.array([2])), 2))
    · ·
    ■ ■
    """
    query, start, end = intervals
    offset = indptr(np.bincount(query, minlength=size))
    return Mask(offset[None], start.astype(np.int32), end.astype(np.int32))


def stack_tables(masks: Sequence[Mask]) -> Mask:
    """Return the layer pattern whose tables are those of the given masks, in order.

    Parameters
    ----------
    masks : sequence of Mask
        At least one; all of one size.

    Examples
    --------
    >>> stack_tables([Mask.from_intervals([[((0, 1),)]]), Mask.from_intervals([[()]])]).tables
    2
    """
    if len(masks) == 1:
        return masks[0]
    shift = indptr([len(mask.key_start) for mask in masks])  # number of intervals before each mask
    offset = np.concatenate([mask.row_offset + before for mask, before in zip(masks, shift[:-1], strict=True)])
    return Mask(
        offset, np.concatenate([mask.key_start for mask in masks]), np.concatenate([mask.key_end for mask in masks])
    )


def count_covering(intervals: RowIntervals, size: int) -> Int64Array:
    """Return how many intervals contain each key, shape (size,).

    Examples
    --------
    >>> count_covering((np.array([0, 1]), np.array([0, 1]), np.array([2, 3])), 3).tolist()
    [1, 2, 1]
    """
    _, first, last = intervals
    changes = np.bincount(first, minlength=size + 1) - np.bincount(last, minlength=size + 1)
    counts: Int64Array = changes.cumsum()[:size]
    return counts


def expand(intervals: RowIntervals) -> tuple[Int64Array, Int64Array]:
    """Return (query, key) for each key of each interval.

    Examples
    --------
    >>> [array.tolist() for array in expand((np.array([4, 7]), np.array([0, 2]), np.array([2, 3])))]
    [[4, 4, 7], [0, 1, 2]]
    """
    query, start, end = intervals
    return np.repeat(query, end - start), repeat_ranges(start, end - start)
