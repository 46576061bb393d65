"""Many sets of numbers side by side, as intervals, and unions of them by the row: numpy only, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask
from masksynth.verify.colour_refinement import Integers

CHUNK = 1 << 22
"""Entries that are held at once."""


class Lists(NamedTuple):
    """Row r holds ``item[offset[r] : offset[r + 1]]``."""

    offset: Integers
    item: NDArray[np.int32]


class Runs(NamedTuple):
    """Set r is the union of ``start[t] <= x < end[t]`` for ``offset[r] <= t < offset[r + 1]``: ascending, disjoint, not touching."""

    offset: Integers
    start: Integers
    end: Integers


def ranges(first: Integers, count: Integers) -> Integers:
    """Concatenate the ranges ``first[i], ..., first[i] + count[i] - 1``.

    Examples
    --------
    >>> ranges(np.array([5, 0, 7]), np.array([2, 0, 1]))
    array([5, 6, 7])
    """
    ends = count.cumsum()
    found: Integers = np.arange(int(count.sum())) + np.repeat(first - (ends - count), count)
    return found


def lists_of(mask: Mask, table: int) -> Lists:
    """The keys of every row of one table, in full."""
    runs = runs_of(mask, table)
    length = runs.end - runs.start
    return Lists(prefix(length)[runs.offset], ranges(runs.start, length).astype(np.int32))


def runs_of(mask: Mask, table: int = 0) -> Runs:
    """The rows of one table as sets of keys."""
    offset = mask.row_offset[table]
    part = slice(int(offset[0]), int(offset[-1]))
    return Runs(offset - offset[0], mask.key_start[part].astype(np.int64), mask.key_end[part].astype(np.int64))


def singles(number: Integers) -> Runs:
    """Sets of one number each."""
    return Runs(np.arange(len(number) + 1), number, number + 1)


def chosen(sets: Runs, which: Integers) -> Runs:
    """Sets ``which[0], which[1], ...`` of a family."""
    count = np.diff(sets.offset)[which]
    at = ranges(sets.offset[:-1][which], count)
    return Runs(prefix(count), sets.start[at], sets.end[at])


def joined(left: Runs, right: Runs) -> Runs:
    """One family after the other."""
    offset = np.concatenate([left.offset, right.offset[1:] + left.offset[-1]])
    return Runs(offset, np.concatenate([left.start, right.start]), np.concatenate([left.end, right.end]))


def sizes(sets: Runs) -> Integers:
    """Number of elements of every set."""
    return np.diff(prefix(sets.end - sets.start)[sets.offset])


def prefix(value: Integers) -> Integers:
    """Sums of the first 0, 1, ... values."""
    return np.append(0, value.cumsum()).astype(np.int64)


def gathered(rows: Lists, sets: Runs) -> Integers:
    """How many intervals the sets listed in rows 0 .. r - 1 have together, for every r."""
    return prefix(np.diff(sets.offset)[rows.item])[rows.offset]


def chunks(total: Integers, most: int, rows: int) -> Iterator[tuple[int, int]]:
    """Cut rows with the running totals ``total`` into stretches of at most ``most`` entries and ``rows`` rows, or of one row.

    Examples
    --------
    >>> list(chunks(np.array([0, 2, 3, 9, 10]), 4, 10))
    [(0, 2), (2, 3), (3, 4)]
    """
    first = 0
    while first < len(total) - 1:
        last = int(np.searchsorted(total, total[first] + most, side="right")) - 1
        last = min(max(last, first + 1), first + rows, len(total) - 1)
        yield first, last
        first = last


def united(rows: Lists, sets: Runs, width: int) -> Runs:
    """Row r of the result is the union of the sets listed in row r; all numbers lie below ``width``.

    Every interval becomes one integer (row, start, end); sorted, an interval opens a new run iff it starts beyond all ends before it.

    Examples
    --------
    >>> sets = Runs(np.array([0, 1, 2, 3]), np.array([0, 2, 6]), np.array([2, 5, 7]))
    >>> found = united(Lists(np.array([0, 2, 4]), np.array([0, 1, 2, 0], np.int32)), sets, 7)
    >>> found.offset.tolist(), found.start.tolist(), found.end.tolist()
    ([0, 1, 3], [0, 0, 6], [5, 2, 7])
    """
    bits = int(width).bit_length()
    total = gathered(rows, sets)
    count, start, end = [np.zeros(1, np.int64)], [sets.start[:0]], [sets.end[:0]]
    for first, last in chunks(total, CHUNK, 1 << (62 - 2 * bits)):
        items = rows.item[int(rows.offset[first]) : int(rows.offset[last])]
        at = ranges(sets.offset[items], np.diff(sets.offset)[items])
        row = np.repeat(np.arange(last - first), np.diff(total[first : last + 1]))
        code = (((row << bits) + sets.start[at]) << bits) + sets.end[at]
        code.sort()
        opens, closes = code >> bits, code & ((1 << bits) - 1)
        row = opens >> bits
        farthest = np.maximum.accumulate((row << bits) + closes)
        fresh = np.append(True, opens[1:] > farthest[:-1])[: len(code)]
        count.append(np.bincount(row[fresh], minlength=last - first))
        start.append(opens[fresh] & ((1 << bits) - 1))
        end.append(farthest[np.append(fresh[1:], True)[: len(code)]] & ((1 << bits) - 1))
    return Runs(np.concatenate(count).cumsum(), np.concatenate(start), np.concatenate(end))


def shortened(sets: Runs, most: Integers) -> Runs:
    """Keep the ``most[r]`` longest intervals of set r.

    Examples
    --------
    >>> found = shortened(Runs(np.array([0, 3]), np.array([0, 2, 7]), np.array([1, 5, 9])), np.array([2]))
    >>> found.start.tolist(), found.end.tolist()
    ([2, 7], [5, 9])
    """
    count = np.diff(sets.offset)
    rows = np.flatnonzero(count > most)
    at = ranges(sets.offset[:-1][rows], count[rows])
    order = np.lexsort((sets.start[at] - sets.end[at], np.repeat(rows, count[rows])))
    rank = ranges(np.zeros_like(rows), count[rows])
    keep = np.ones(len(sets.start), bool)
    keep[at[order[rank >= np.repeat(most[rows], count[rows])]]] = False
    return Runs(prefix(keep.astype(np.int64))[sets.offset], sets.start[keep], sets.end[keep])


def different(left: Runs, right: Runs) -> NDArray[np.bool_]:
    """Which sets of two families of equal length differ."""
    count = np.diff(left.offset)
    odd = count != np.diff(right.offset)
    rows = np.flatnonzero(~odd)
    a, b = chosen(left, rows), chosen(right, rows)
    odd[np.repeat(rows, count[rows])[(a.start != b.start) | (a.end != b.end)]] = True
    found: NDArray[np.bool_] = odd
    return found


def holds(sets: Runs, which: Integers, number: Integers, width: int) -> NDArray[np.bool_]:
    """Whether set ``which[i]`` holds ``number[i]``."""
    row = np.repeat(np.arange(len(sets.offset) - 1), np.diff(sets.offset))
    at = np.searchsorted(row * width + sets.start, which * width + number, side="right") - 1
    found: NDArray[np.bool_] = (at >= sets.offset[which]) & (number < np.append(sets.end, 0)[at])
    return found
