"""Interval arithmetic on one table of a mask: its rows, its columns, and the first row in which two masks differ.

Intervals are three arrays (query, start, end): row ``query[t]`` attends to the keys ``start[t] <= k < end[t]``. Nothing
here is N x N.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.csr import indptr, repeat_index, repeat_ranges, row_of_entry
from masksynth.mask.typing import Int64Array

RowIntervals = tuple[Int64Array, Int64Array, Int64Array]
"""(query, start, end) of each interval."""


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


def count_column_intervals(mask: Mask, table: int = 0) -> Int64Array:
    """Return the number of intervals of queries that attend to each key, shape (N,), in O(T) and without listing them.

    Examples
    --------
    >>> count_column_intervals(Mask.from_intervals([[((0, 1),), ((1, 2),), ((0, 3),)]])).tolist()
    [2, 1, 1]
    """
    opened, _ = _row_changes(mask, table)
    return count_covering(opened, mask.size)


def columns(mask: Mask, table: int = 0) -> Columns:
    """Return the columns of one table, in O(T log T + C) for C column intervals (``count_column_intervals`` gives C).

    A column interval opens at query q for the keys in row q and not in row q - 1, and closes for those in row q - 1 and
    not in row q: the differences of neighbouring rows are at most 2T intervals of keys.

    Examples
    --------
    >>> [array.tolist() for array in columns(Mask.from_intervals([[((0, 1),), ((1, 2),), ((0, 2),)]]))]
    [[0, 2, 3, 3], [0, 2, 1], [1, 3, 3]]
    """
    opened, closed = _row_changes(mask, table)
    (key, start), (_, end) = _sort_by_key(opened), _sort_by_key(closed)
    return Columns(indptr(np.bincount(key, minlength=mask.size)), start, end)


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
    query, start, end = (np.asarray(column, np.int64)[intervals[1] < intervals[2]] for column in intervals)
    width = int(end.max(initial=0)) + 1  # (query, key) as one integer: rows are width apart
    order = np.argsort(query * width + start, kind="stable")
    query, start, end = query[order], start[order], end[order]
    furthest = np.maximum.accumulate(query * width + end)  # running maximum of the ends; ends of earlier rows are below
    opens = np.ones(len(query), bool)
    opens[1:] = query[1:] * width + start[1:] > furthest[:-1]  # begins beyond every end so far
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(query))[: len(first)] - 1
    return query[first], start[first], furthest[last] - query[first] * width


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


def coalesce_disjoint(intervals: RowIntervals, name: str) -> RowIntervals:
    """Return intervals sorted by (query, start), touching ones merged and empty ones dropped; refuse an overlap.

    Parameters
    ----------
    intervals : (query, start, end)
    name : str
        What is checked, for the message.

    Raises
    ------
    WrongAnswer
        If a row lists a key twice.
    """
    query, start, end = (column[intervals[1] < intervals[2]] for column in intervals)
    order = np.lexsort((start, query))
    query, start, end = query[order], start[order], end[order]
    overlap = (query[1:] == query[:-1]) & (start[1:] < end[:-1])
    if overlap.any():
        row, key = int(query[1:][overlap][0]), int(start[1:][overlap][0])
        raise WrongAnswer(name, f"row {row} lists key {key} twice")
    query, start, end = coalesce_sorted(query, start, end)
    return query, start, end


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


def compare(intervals: RowIntervals, mask: Mask, table: int = 0) -> int | None:
    """Return the first row in which coalesced intervals differ from a table of the mask; None if they are equal.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),)]])
    >>> compare(row_intervals(mask), mask), compare((np.array([0]), np.array([0]), np.array([1])), mask)
    (None, 1)
    """
    expected = row_intervals(mask, table)
    common = min(len(intervals[0]), len(expected[0]))
    differs = np.zeros(common, bool)
    for got, wanted in zip(intervals, expected, strict=True):
        differs |= got[:common] != wanted[:common]
    if not differs.any() and len(intervals[0]) == len(expected[0]):
        return None
    index = int(differs.argmax()) if differs.any() else common
    # the row with an interval missing is the earlier of the two rows at the first difference
    return min(int(query[index]) for query in (intervals[0], expected[0]) if index < len(query))


def check_rows(mask: Mask, table: int, intervals: RowIntervals, name: str) -> None:
    """Compare row intervals, in any order, touching or not, with those of the mask.

    Parameters
    ----------
    mask : Mask
    table : int
    intervals : (query, start, end)
    name : str
        What is checked, for the message.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs, or that lists a key twice.
    """
    query, start, end = coalesce_disjoint(intervals, name)
    row = compare((query, start, end), mask, table)
    if row is None:
        return
    entries = slice(int(np.searchsorted(query, row)), int(np.searchsorted(query, row + 1)))
    got = list(zip(start[entries].tolist(), end[entries].tolist(), strict=True))
    expected = list(mask.intervals(row, table)) if row < mask.size else []
    fact = f"table {table}: row {row} attends to {format_intervals(got)}, not to {format_intervals(expected)}"
    raise WrongAnswer(name, fact)


def format_intervals(intervals: Sequence[tuple[int, int]], limit: int = 4) -> str:
    """Return intervals as text, at most ``limit`` of them.

    Examples
    --------
    >>> format_intervals([(0, 2), (5, 6)]), format_intervals([])
    ('0..1 5', 'nothing')
    """
    shown = " ".join(str(start) if end == start + 1 else f"{start}..{end - 1}" for start, end in intervals[:limit])
    return (shown or "nothing") + (" ..." if len(intervals) > limit else "")


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


def _row_changes(mask: Mask, table: int) -> tuple[RowIntervals, RowIntervals]:
    """Return the intervals of keys in row q and not in row q - 1, and the reverse, for q = 0 .. N."""
    query, start, end = row_intervals(mask, table)
    width = mask.size + 1
    ends = np.stack([query * width + start, query * width + end], axis=1).ravel()  # rising: a row's ends are sorted
    codes = np.concatenate([ends, ends + width])  # each row, and each row again as the one before
    order = np.argsort(codes, kind="stable")  # two sorted runs
    codes, from_row = codes[order], order < len(ends)
    # after an odd number of ends one is inside an interval
    inside, before = from_row.cumsum() & 1, (~from_row).cumsum() & 1
    last = np.append(codes[1:] != codes[:-1], True)[: len(codes)]  # several ends at one key count together
    codes, inside, before = codes[last], inside[last], before[last]
    row, key = np.divmod(codes, width)
    following = np.append(key[1:], 0)[: len(key)]
    opened, closed = (inside == 1) & (before == 0), (inside == 0) & (before == 1)
    return (row[opened], key[opened], following[opened]), (row[closed], key[closed], following[closed])


def _sort_by_key(intervals: RowIntervals) -> tuple[Int64Array, Int64Array]:
    """Return (key, query) for each key of each interval, sorted by key, then query."""
    query, key = expand(intervals)
    order = np.argsort(key, kind="stable")
    return key[order], query[order]
