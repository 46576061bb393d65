"""Interval arithmetic on one table of a mask: its rows, its columns, and the first row in which two masks differ.

Nothing here is N x N. Rows are (query, start, end) triples sorted by query and start; columns are the same with keys and queries exchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask

Ints = NDArray[np.int64]
Spans = tuple[Ints, Ints, Ints]


class Columns(NamedTuple):
    """Key k is seen by the queries ``start[t] <= q < end[t]`` for ``offset[k] <= t < offset[k + 1]``, sorted and not touching."""

    offset: Ints
    start: Ints
    end: Ints


def rows_of(mask: Mask, table: int = 0) -> Spans:
    """(query, start, end) of every interval of one table, int64.

    Raises
    ------
    InvalidInstance
        If the mask has no such table.

    Examples
    --------
    >>> [part.tolist() for part in rows_of(Mask.from_intervals([[(), ((0, 2),)]]))]
    [[1], [0], [2]]
    """
    offset = mask.row_offset[known(mask, table)]
    part = slice(int(offset[0]), int(offset[-1]))
    query = np.repeat(np.arange(mask.size, dtype=np.int64), np.diff(offset))
    return query, mask.key_start[part].astype(np.int64), mask.key_end[part].astype(np.int64)


def known(mask: Mask, table: int) -> int:
    """The table, after checking that the mask has it."""
    if not 0 <= table < mask.tables:
        raise InvalidInstance(f"table {table} is not one of the mask's {mask.tables}")
    return table


def row_counts(mask: Mask, table: int = 0) -> Ints:
    """(N,) the number of intervals of each row."""
    counts: Ints = np.diff(mask.row_offset[known(mask, table)])
    return counts


def column_counts(mask: Mask, table: int = 0) -> Ints:
    """(N,) the number of intervals of queries that see each key, in O(T) and without listing them.

    Examples
    --------
    >>> column_counts(Mask.from_intervals([[((0, 1),), ((1, 2),), ((0, 3),)]])).tolist()
    [2, 1, 1]
    """
    opened, _ = _changes(mask, table)
    return _spread(opened, mask.size)


def columns_of(mask: Mask, table: int = 0) -> Columns:
    """The columns of one table, in O(T log T + C) for C column intervals; look at ``column_counts`` first.

    A column interval opens at the query q for the keys in row q and not in row q - 1, and closes for those in row q - 1 and not in row q:
    differences of neighbouring rows, which are at most 2T intervals of keys.

    Examples
    --------
    >>> [part.tolist() for part in columns_of(Mask.from_intervals([[((0, 1),), ((1, 2),), ((0, 2),)]]))]
    [[0, 2, 3, 3], [0, 2, 1], [1, 3, 3]]
    """
    opened, closed = _changes(mask, table)
    (key, start), (_, end) = _by_key(opened), _by_key(closed)
    return Columns(np.concatenate([[0], np.bincount(key, minlength=mask.size).cumsum()]), start, end)


def compare_rows(mask: Mask, table: int, found: Spans, what: str) -> None:
    """Compare row intervals, in any order, touching or not, with those of the mask.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs, or that lists a key twice.
    """
    query, start, end = joined(found, what)
    wanted = rows_of(mask, table)
    length = min(len(query), len(wanted[0]))
    differs = np.zeros(length, bool)
    for got, meant in zip((query, start, end), wanted, strict=True):
        differs |= got[:length] != meant[:length]
    if not differs.any() and len(query) == len(wanted[0]):
        return
    place = int(differs.argmax()) if differs.any() else length
    row = min(int(queries[place]) for queries in (query, wanted[0]) if place < len(queries))
    chosen = slice(int(np.searchsorted(query, row)), int(np.searchsorted(query, row + 1)))
    seen = list(zip(start[chosen].tolist(), end[chosen].tolist(), strict=True))
    meant_here = list(mask.intervals(row, table)) if row < mask.size else []
    raise WrongAnswer(what, f"table {table}: row {row} attends to {few(seen)}, not to {few(meant_here)}")


def joined(found: Spans, what: str) -> Spans:
    """The intervals sorted by (query, start), touching ones made one, empty ones left out; an overlap raises WrongAnswer."""
    query, start, end = (part[found[1] < found[2]] for part in found)
    order = np.lexsort((start, query))
    query, start, end = query[order], start[order], end[order]
    same = query[1:] == query[:-1]
    overlap = same & (start[1:] < end[:-1])
    if overlap.any():
        row = int(query[1:][overlap][0])
        raise WrongAnswer(what, f"row {row} lists key {int(start[1:][overlap][0])} twice")
    opens = np.concatenate([[True], ~(same & (start[1:] == end[:-1]))])[: len(query)]
    closes = np.concatenate([opens[1:], [True]])[: len(query)]
    return query[opens], start[opens], end[closes]


def joined_parts(parts: Iterable[Spans]) -> Spans:
    """Spans one after the other, in the order given."""
    listed = [(np.zeros(0, np.int64),) * 3, *parts]
    query, start, end = (np.concatenate([part[column] for part in listed]) for column in range(3))
    return query, start, end


def few(intervals: list[tuple[int, int]], most: int = 4) -> str:
    """Intervals in words, cut where there are many.

    Examples
    --------
    >>> few([(0, 2), (5, 6)]), few([])
    ('0..1 5', 'nothing')
    """
    shown = " ".join(str(start) if end == start + 1 else f"{start}..{end - 1}" for start, end in intervals[:most])
    return (shown or "nothing") + (" ..." if len(intervals) > most else "")


def _changes(mask: Mask, table: int) -> tuple[Spans, Spans]:
    """(query, first key, last key + 1) of what row q has and row q - 1 has not, and the reverse, for q = 0 .. N."""
    query, start, end = rows_of(mask, table)
    width = mask.size + 1
    own = np.stack([query * width + start, query * width + end], axis=1).ravel()
    codes = np.concatenate([own, own + width])
    order = np.argsort(codes, kind="stable")  # two sorted runs
    codes, mine = codes[order], order < len(own)
    inside, before = mine.cumsum() & 1, (~mine).cumsum() & 1
    last = np.concatenate([codes[1:] != codes[:-1], [True]])[: len(codes)]
    codes, inside, before = codes[last], inside[last], before[last]
    row, key = np.divmod(codes, width)
    following = np.concatenate([key[1:], [0]])[: len(key)]
    opened, closed = (inside == 1) & (before == 0), (inside == 0) & (before == 1)
    return (row[opened], key[opened], following[opened]), (row[closed], key[closed], following[closed])


def _spread(spans: Spans, size: int) -> Ints:
    """How many of the spans hold each key."""
    _, first, last = spans
    return (np.bincount(first, minlength=size + 1) - np.bincount(last, minlength=size + 1)).cumsum()[:size]


def _by_key(spans: Spans) -> tuple[Ints, Ints]:
    """(key, query) for each key of each span, sorted by key, then query."""
    query, key = expand(spans)
    order = np.argsort(key, kind="stable")
    return key[order], query[order]


def expand(spans: Spans) -> tuple[Ints, Ints]:
    """(line, place) for each place ``start <= place < end`` of each span (line, start, end).

    Examples
    --------
    >>> [part.tolist() for part in expand((np.array([4, 7]), np.array([0, 2]), np.array([2, 3])))]
    [[4, 4, 7], [0, 1, 2]]
    """
    line, start, end = spans
    length = end - start
    within = np.arange(int(length.sum())) - np.repeat(length.cumsum() - length, length)
    return np.repeat(line, length), within + np.repeat(start, length)
