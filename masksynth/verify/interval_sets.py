"""Families of sets of integers stored as intervals, and unions of them row by row, in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array
from masksynth.verify.ragged import mask_rows, prefix_sums, repeat_ranges, row_of_entry, split_rows

CHUNK = 1 << 22
"""Maximum number of entries that are held at once."""


class Lists(NamedTuple):
    """Row r lists ``item[offset[r] : offset[r + 1]]``.

    Parameters
    ----------
    offset : (R + 1,) int64
    item : (entries,) int32
    """

    offset: Int64Array
    item: Int32Array


class Sets(NamedTuple):
    """Set r is the union of ``start[t] <= x < end[t]`` for ``offset[r] <= t < offset[r + 1]``.

    Parameters
    ----------
    offset : (R + 1,) int64
    start, end : (intervals,) int64
        The intervals of a set are increasing and disjoint and do not touch.
    """

    offset: Int64Array
    start: Int64Array
    end: Int64Array


def list_keys(mask: Mask, table: int) -> Lists:
    """Return the keys of each row of one table, one by one."""
    sets = row_sets(mask, table)
    length = sets.end - sets.start
    return Lists(prefix_sums(length)[sets.offset], repeat_ranges(sets.start, length).astype(np.int32))


def row_sets(mask: Mask, table: int = 0) -> Sets:
    """Return the rows of one table as sets of keys."""
    _, start, end = mask_rows(mask, table)
    return Sets(mask.row_offset[table] - mask.row_offset[table, 0], start, end)


def singletons(number: Int64Array) -> Sets:
    """Return the sets {number[0]}, {number[1]}, ..."""
    return Sets(np.arange(len(number) + 1), number, number + 1)


def select_sets(sets: Sets, which: Int64Array) -> Sets:
    """Return sets ``which[0], which[1], ...`` of a family."""
    count = np.diff(sets.offset)[which]
    index = repeat_ranges(sets.offset[:-1][which], count)
    return Sets(prefix_sums(count), sets.start[index], sets.end[index])


def concatenate_sets(left: Sets, right: Sets) -> Sets:
    """Return one family followed by the other."""
    offset = np.concatenate([left.offset, right.offset[1:] + left.offset[-1]])
    return Sets(offset, np.concatenate([left.start, right.start]), np.concatenate([left.end, right.end]))


def count_elements(sets: Sets) -> Int64Array:
    """Return the number of elements of each set."""
    return np.diff(prefix_sums(sets.end - sets.start)[sets.offset])


def count_listed(rows: Lists, sets: Sets) -> Int64Array:
    """Return for r = 0, 1, ..., R the number of intervals of the sets that rows 0 .. r - 1 list."""
    return prefix_sums(np.diff(sets.offset)[rows.item])[rows.offset]


def unite_listed(rows: Lists, sets: Sets, width: int) -> Sets:
    """Return for each row the union of the sets that it lists.

    Each interval becomes one integer (row, start, end). In sorted order, an interval opens a new one iff it starts
    beyond all ends before it.

    Parameters
    ----------
    rows : Lists
        Indices of sets.
    sets : Sets
        All numbers are below ``width``.
    width : int

    Examples
    --------
    >>> sets = Sets(np.array([0, 1, 2, 3]), np.array([0, 2, 6]), np.array([2, 5, 7]))
    >>> union = unite_listed(Lists(np.array([0, 2, 4]), np.array([0, 1, 2, 0], np.int32)), sets, 7)
    >>> union.offset.tolist(), union.start.tolist(), union.end.tolist()
    ([0, 1, 3], [0, 0, 6], [5, 2, 7])
    """
    bits = int(width).bit_length()
    low_bits = (1 << bits) - 1
    total = count_listed(rows, sets)
    count, start, end = [np.zeros(1, np.int64)], [sets.start[:0]], [sets.end[:0]]
    for first, last in split_rows(total, CHUNK, 1 << (62 - 2 * bits)):  # as many rows as fit into a code of 62 bits
        items = rows.item[int(rows.offset[first]) : int(rows.offset[last])]
        index = repeat_ranges(sets.offset[items], np.diff(sets.offset)[items])
        row = row_of_entry(total[first : last + 1])
        code = (((row << bits) + sets.start[index]) << bits) + sets.end[index]
        code.sort()
        opening, closing = code >> bits, code & low_bits  # (row, start) and end
        row = opening >> bits
        furthest = np.maximum.accumulate((row << bits) + closing)
        is_new = np.append(True, opening[1:] > furthest[:-1])[: len(code)]
        count.append(np.bincount(row[is_new], minlength=last - first))
        start.append(opening[is_new] & low_bits)
        end.append(furthest[np.append(is_new[1:], True)[: len(code)]] & low_bits)
    return Sets(np.concatenate(count).cumsum(), np.concatenate(start), np.concatenate(end))


def keep_longest(sets: Sets, limit: Int64Array) -> Sets:
    """Return the sets with only the ``limit[r]`` longest intervals of set r.

    Examples
    --------
    >>> kept = keep_longest(Sets(np.array([0, 3]), np.array([0, 2, 7]), np.array([1, 5, 9])), np.array([2]))
    >>> kept.start.tolist(), kept.end.tolist()
    ([2, 7], [5, 9])
    """
    count = np.diff(sets.offset)
    rows = np.flatnonzero(count > limit)
    index = repeat_ranges(sets.offset[:-1][rows], count[rows])
    order = np.lexsort((sets.start[index] - sets.end[index], np.repeat(rows, count[rows])))  # longest first in each row
    rank = repeat_ranges(np.zeros_like(rows), count[rows])
    keep = np.ones(len(sets.start), bool)
    keep[index[order[rank >= np.repeat(limit[rows], count[rows])]]] = False
    return Sets(prefix_sums(keep.astype(np.int64))[sets.offset], sets.start[keep], sets.end[keep])


def find_different(left: Sets, right: Sets) -> BoolArray:
    """Return for each set of two families of equal length whether the two sets differ."""
    count = np.diff(left.offset)
    differs: BoolArray = count != np.diff(right.offset)
    rows = np.flatnonzero(~differs)
    a, b = select_sets(left, rows), select_sets(right, rows)
    differs[np.repeat(rows, count[rows])[(a.start != b.start) | (a.end != b.end)]] = True
    return differs


def contains_numbers(sets: Sets, which: Int64Array, number: Int64Array, width: int) -> BoolArray:
    """Return for each i whether set ``which[i]`` contains ``number[i]``; all numbers are below ``width``."""
    row = row_of_entry(sets.offset)
    # The last interval that starts at or before the number, if it belongs to the set at all.
    index = np.searchsorted(row * width + sets.start, which * width + number, side="right") - 1
    contained: BoolArray = (index >= sets.offset[which]) & (number < np.append(sets.end, 0)[index])
    return contained
