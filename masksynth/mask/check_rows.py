"""Compare row intervals with a table of a mask: the first row that differs, and what it holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.intervals import RowIntervals, coalesce_sorted, row_intervals


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
