"""Families of sets of integers as bits, for flows that are not few intervals; in blocks, to bound memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.mask.typing import Int64Array, UInt64Array
from masksynth.verify.interval_sets import Lists, Sets
from masksynth.verify.ragged import row_of_entry, split_rows

WORDS = 1 << 23
"""Maximum number of words of 64 numbers that are held at once."""


def split_numbers(width: int, sets: int) -> Iterator[tuple[int, int]]:
    """Yield blocks (first number, words) of the numbers below ``width`` that fit into memory for that many sets.

    Examples
    --------
    >>> list(split_numbers(130, 5))
    [(0, 3)]
    """
    words = max(1, min(WORDS // max(sets, 1), -(-width // 64)))
    for first in range(0, width, 64 * words):
        yield first, min(words, -(-(width - first) // 64))


def pack_sets(sets: Sets, first: int, words: int) -> UInt64Array:
    """Return (sets, words): bit x % 64 of word x // 64 of row r is set iff set r contains ``first + x``.

    Examples
    --------
    >>> pack_sets(Sets(np.array([0, 1, 2]), np.array([0, 1]), np.array([3, 2])), 0, 1).tolist()
    [[7], [2]]
    """
    count, width = len(sets.offset) - 1, 64 * words
    packed = np.zeros((count, words), np.uint64)
    start, end = (np.clip(part - first, 0, width) for part in (sets.start, sets.end))
    for top, bottom in split_rows(np.arange(count + 1) * words, WORDS // 64, count):
        part = slice(int(sets.offset[top]), int(sets.offset[bottom]))
        row = row_of_entry(sets.offset[top : bottom + 1])
        # +1 where an interval starts, -1 where it ends; prefix sums along the numbers give membership.
        steps = np.zeros((bottom - top) * (width + 1), np.int8)
        np.add.at(steps, row * (width + 1) + start[part], 1)
        np.subtract.at(steps, row * (width + 1) + end[part], 1)
        inside = steps.reshape(-1, width + 1)[:, :-1].cumsum(axis=1, dtype=np.int8)
        packed[top:bottom] = np.packbits(inside.astype(bool), axis=1, bitorder="little").view("<u8")
    return packed


def unite_bits(rows: Lists, sets: UInt64Array) -> UInt64Array:
    """Return for each row, none of them empty, the union of the sets that it lists.

    Examples
    --------
    >>> unite_bits(Lists(np.array([0, 2, 3]), np.array([0, 1, 1], np.int32)), np.array([[1], [6]], np.uint64)).tolist()
    [[7], [6]]
    """
    union = np.empty((len(rows.offset) - 1, sets.shape[1]), np.uint64)
    for first, last in split_rows(rows.offset, max(WORDS // sets.shape[1], 1), len(union)):
        begin = int(rows.offset[first])
        items = rows.item[begin : int(rows.offset[last])]
        np.bitwise_or.reduceat(sets[items], rows.offset[first:last] - begin, axis=0, out=union[first:last])
    return union


def count_sets_with(sets: UInt64Array) -> Int64Array:
    """Return for each number of the block how many sets contain it.

    Examples
    --------
    >>> count_sets_with(np.array([[7], [6]], np.uint64))[:4].tolist()
    [1, 2, 2, 0]
    """
    total = np.zeros(64 * sets.shape[1], np.int64)
    for first, last in split_rows(np.arange(len(sets) + 1) * sets.shape[1], WORDS // 64, len(sets)):
        total += np.unpackbits(sets[first:last].view(np.uint8), axis=1, bitorder="little").sum(axis=0, dtype=np.int64)
    return total
