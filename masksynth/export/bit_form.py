"""Bit-packed form of a table: complete rows up to 8,192 positions, above that blocks of 128 x 128.

Empty blocks share one block of zeros, full blocks one of ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.export.blocks import block_counts
from masksynth.mask import Mask
from masksynth.mask.algebra import select_table
from masksynth.mask.block_runs import MOST_CELLS, iterate_block_runs, paint_runs
from masksynth.mask.intervals import RowIntervals, concatenate_intervals, row_intervals
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array

FLAT = 8192
"""Maximum number of positions for which complete rows are packed."""
SIDE = 128
"""Queries and keys of a block."""
WORD = 32
"""Bits of a word."""
MAX_BITS = 2**30
"""Maximum number of bytes of bits."""


def pack_bits(mask: Mask, table: int = 0) -> dict[str, Int32Array] | None:
    """Return the bits of a table, by blocks above ``FLAT`` positions; None above ``MAX_BITS`` bytes.

    Parameters
    ----------
    mask : Mask
    table : int

    Returns
    -------
    dict or None
        ``line`` and ``bits``: key k of row q is bit k % 32 of ``bits[line[q] + k // 32]``. By blocks ``line``,
        ``number`` and ``bits``: block ``number[line[q // 128] + k // 128]`` has 512 words, four to a row.

    Examples
    --------
    >>> {name: part.tolist() for name, part in pack_bits(Mask.from_intervals([[((0, 1),), ((0, 2),)]])).items()}
    {'line': [0, 1], 'bits': [1, 3]}
    """
    if mask.size > FLAT:
        return _pack_blocks(mask, table)
    width = -(-mask.size // WORD)
    words = [_pack_words(chunk) for chunk in dense_chunks(row_intervals(mask, table), mask.size, 256)]
    bits = np.concatenate([np.zeros((0, width), np.int32), *words])
    return {"line": np.arange(mask.size, dtype=np.int32) * np.int32(width), "bits": bits.ravel()}


def dense_chunks(intervals: RowIntervals, size: int, chunk: int) -> Iterator[BoolArray]:
    """Yield the rows as bool arrays (chunk, size), in order; the last one may have fewer rows."""
    query, start, end = intervals
    for first in range(0, size, chunk):
        part = slice(int(np.searchsorted(query, first)), int(np.searchsorted(query, first + chunk)))
        steps = np.zeros((min(chunk, size - first), size + 1), np.int8)
        # Intervals of a row do not touch, so no entry is set twice; prefix sums turn +1 and -1 into runs of ones.
        steps[query[part] - first, start[part]] = 1
        steps[query[part] - first, end[part]] = -1
        yield steps[:, :-1].cumsum(axis=1, dtype=np.int8).astype(bool)


def intervals_of_dense(dense: BoolArray, first_row: int) -> RowIntervals:
    """Return the intervals of a bool array whose rows are rows first_row, first_row + 1, ... of a mask."""
    padded = np.pad(dense, ((0, 0), (1, 1)))
    # Changes along a row are its starts and ends in turn, since every padded row begins and ends with False.
    change = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    query, key = np.divmod(change, dense.shape[1] + 1)
    return query[::2] + first_row, key[::2], key[1::2]


def unpack_bits(arrays: dict[str, Int32Array], size: int) -> RowIntervals:
    """Return the row intervals of what ``pack_bits`` returned; those of one row may touch.

    Raises
    ------
    WrongAnswer
        If an index is out of range, or block 0 is not empty or block 1 not full.
    """
    if "number" in arrays:
        return concatenate_intervals(_unpack_blocks(arrays, size))
    words = -(-size // WORD)
    line = arrays["line"].astype(np.int64)
    parts = []
    for first in range(0, size, SIDE):
        index = line[first : first + SIDE, None] + np.arange(words)
        dense = _unpack_words(_take(arrays["bits"], index, "bits"))[:, :size]
        parts.append(intervals_of_dense(dense, first))
    return concatenate_intervals(parts)


def _unpack_blocks(arrays: dict[str, Int32Array], size: int) -> Iterator[RowIntervals]:
    """Yield the intervals of full and of mixed blocks, one row of blocks after another."""
    across = -(-size // SIDE)
    blocks = arrays["bits"][: len(arrays["bits"]) // (SIDE * SIDE // WORD) * (SIDE * SIDE // WORD)]
    blocks = blocks.reshape(-1, SIDE, SIDE // WORD)
    if len(blocks) < 2 or blocks[0].any() or (blocks[1] != -1).any():
        raise WrongAnswer("bit-packed lookup", "block 0 is not empty or block 1 is not full")
    for row in range(across):
        first, height = row * SIDE, min(SIDE, size - row * SIDE)
        number = _take(arrays["number"], int(arrays["line"][row]) + np.arange(across), "number")
        _, start, end = intervals_of_dense((number == 1)[None], 0)  # runs of full blocks, the same for all rows
        query = np.repeat(np.arange(first, first + height), len(start))
        yield query, np.tile(start, height) * SIDE, np.minimum(np.tile(end, height) * SIDE, size)
        mixed = np.flatnonzero((number != 0) & (number != 1))
        dense = _unpack_words(_take(blocks, number[mixed].astype(np.int64), "bits"))[:, :height].reshape(-1, SIDE)
        line, start, end = intervals_of_dense(dense, 0)
        block, offset = np.divmod(line, height)
        start, end = start + mixed[block] * SIDE, np.minimum(end + mixed[block] * SIDE, size)
        inside = start < end  # bits beyond the last key do not count
        yield (first + offset)[inside], start[inside], end[inside]


def _unpack_words(words: Int32Array) -> BoolArray:
    """Return words (..., n) as bits (..., 32 n), the lowest first."""
    octets = np.ascontiguousarray(words, "<i4").view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little").astype(bool)


def _take(array: Int32Array, index: Int64Array, name: str) -> Int32Array:
    """Return ``array[index]``; raise WrongAnswer if an index is out of range."""
    if index.size and (index.min() < 0 or index.max() >= len(array)):
        wrong = int(index.min() if index.min() < 0 else index.max())
        raise WrongAnswer("bit-packed lookup", f"index into {name}: expected 0 to {len(array) - 1}, got {wrong}")
    return array[index]


def _pack_words(dense: BoolArray) -> Int32Array:
    """Return rows of bits, the first key lowest, 32 to a little-endian word."""
    padded = np.pad(dense, ((0, 0), (0, -dense.shape[1] % WORD)))
    return np.packbits(padded, axis=1, bitorder="little").view("<i4").astype(np.int32, copy=False)


def _pack_blocks(mask: Mask, table: int) -> dict[str, Int32Array] | None:
    """Return the bits by blocks; only mixed blocks are written out, so empty and full ones take no time."""
    across = -(-mask.size // SIDE)
    count = block_counts(select_table(mask, table), SIDE).partial
    if (2 + count) * SIDE * SIDE // 8 > MAX_BITS:
        return None
    number = _number_blocks(mask, table, across)
    bits = np.zeros((2 + count, SIDE, SIDE // WORD), np.int32)
    bits[1] = -1
    query, start, end = row_intervals(mask, table)
    cuts = np.searchsorted(query, np.arange(across + 1) * SIDE)
    for row in range(across):
        part = slice(int(cuts[row]), int(cuts[row + 1]))
        rows = (query[part] - row * SIDE, start[part], end[part])
        mixed = number[row] > 1
        bits[number[row, mixed]] = _pack_mixed(rows, mixed)
    line = np.arange(across, dtype=np.int32) * np.int32(across)
    return {"line": line, "number": number.ravel(), "bits": bits.ravel()}


def _number_blocks(mask: Mask, table: int, across: int) -> Int32Array:
    """Return the number of each block (R, R): 0 if empty, 1 if full; the others from 2 on in row-major order."""
    number, used = np.empty((across, across), np.int32), 2
    for part, runs in iterate_block_runs(mask, table, SIDE, SIDE, max(1, MOST_CELLS // across)):
        pairs = paint_runs(part, across, runs)
        mixed = (pairs > 0) & (pairs < SIDE * SIDE)
        ranks = mixed.ravel().cumsum().reshape(mixed.shape)
        number[part.start : part.stop] = np.where(mixed, ranks + used - 1, pairs > 0)
        used += int(ranks[-1, -1])
    return number


def _pack_mixed(rows: RowIntervals, is_mixed: BoolArray) -> Int32Array:
    """Return the words (mixed blocks, 128, 4) of one row of blocks, given its 128 rows as intervals.

    The mixed blocks are laid next to one another: block j begins at column 128 * (number of mixed blocks before j).
    A key in another block falls on the column at which the next mixed block begins.
    """
    is_mixed = np.append(is_mixed, False)  # an interval may end at the key after the last block
    first_column = SIDE * (is_mixed.cumsum() - is_mixed)
    count = int(is_mixed.sum())
    width = SIDE * count + 1
    steps = np.zeros(SIDE * width, np.int8)
    for bound, sign in ((rows[1], np.int8(1)), (rows[2], np.int8(-1))):
        block, offset = np.divmod(bound, SIDE)
        column = first_column[block] + np.where(is_mixed[block], offset, 0)
        np.add.at(steps, rows[0] * width + column, sign)
    dense = steps.reshape(SIDE, width)[:, :-1].cumsum(axis=1, dtype=np.int8).astype(bool)
    return _pack_words(dense).reshape(SIDE, count, SIDE // WORD).transpose(1, 0, 2)
