"""Many sets of numbers side by side, as bits: for flows that are not few intervals. Numbers come in blocks, so memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from masksynth.verify.colour_refinement import Integers
from masksynth.verify.interval_sets import Lists, Runs, chunks

WORDS = 1 << 23
"""Words of 64 numbers that are held at once."""

Bits = NDArray[np.uint64]


def blocks(width: int, sets: int) -> Iterator[tuple[int, int]]:
    """Cut the numbers below ``width`` into blocks (first, words) for that many sets.

    Examples
    --------
    >>> list(blocks(130, 5))
    [(0, 3)]
    """
    words = max(1, min(WORDS // max(sets, 1), -(-width // 64)))
    for first in range(0, width, 64 * words):
        yield first, min(words, -(-(width - first) // 64))


def bits_of(sets: Runs, first: int, words: int) -> Bits:
    """Bit x % 64 of word x // 64 of row r says whether set r holds ``first + x``.

    Examples
    --------
    >>> bits_of(Runs(np.array([0, 1, 2]), np.array([0, 1]), np.array([3, 2])), 0, 1).tolist()
    [[7], [2]]
    """
    count, width = len(sets.offset) - 1, 64 * words
    found = np.zeros((count, words), np.uint64)
    start, end = (np.clip(part - first, 0, width) for part in (sets.start, sets.end))
    for top, bottom in chunks(np.arange(count + 1) * words, WORDS // 64, count):
        part = slice(int(sets.offset[top]), int(sets.offset[bottom]))
        row = np.repeat(np.arange(bottom - top), np.diff(sets.offset[top : bottom + 1]))
        steps = np.zeros((bottom - top) * (width + 1), np.int8)
        np.add.at(steps, row * (width + 1) + start[part], 1)
        np.subtract.at(steps, row * (width + 1) + end[part], 1)
        inside = steps.reshape(-1, width + 1)[:, :-1].cumsum(axis=1, dtype=np.int8)
        found[top:bottom] = np.packbits(inside.astype(bool), axis=1, bitorder="little").view("<u8")
    return found


def united_bits(rows: Lists, sets: Bits) -> Bits:
    """Row r of the result is the union of the sets listed in row r; no row is empty.

    Examples
    --------
    >>> united_bits(Lists(np.array([0, 2, 3]), np.array([0, 1, 1], np.int32)), np.array([[1], [6]], np.uint64)).tolist()
    [[7], [6]]
    """
    found = np.empty((len(rows.offset) - 1, sets.shape[1]), np.uint64)
    for first, last in chunks(rows.offset, max(WORDS // sets.shape[1], 1), len(found)):
        begin = int(rows.offset[first])
        items = rows.item[begin : int(rows.offset[last])]
        np.bitwise_or.reduceat(sets[items], rows.offset[first:last] - begin, axis=0, out=found[first:last])
    return found


def counted(sets: Bits) -> Integers:
    """How many sets hold each number of the block.

    Examples
    --------
    >>> counted(np.array([[7], [6]], np.uint64))[:4].tolist()
    [1, 2, 2, 0]
    """
    total = np.zeros(64 * sets.shape[1], np.int64)
    for first, last in chunks(np.arange(len(sets) + 1) * sets.shape[1], WORDS // 64, len(sets)):
        total += np.unpackbits(sets[first:last].view(np.uint8), axis=1, bitorder="little").sum(axis=0, dtype=np.int64)
    return total
