"""A table as bits in 1-D int32 arrays: whole rows up to 8,192 positions, above that blocks of 128 x 128 of which plain ones share room."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import WrongAnswer
from masksynth.export.blocks import block_pairs
from masksynth.export.row_intervals import Spans, joined_parts, rows_of
from masksynth.mask import Mask

FLAT, SIDE, WORD = 8192, 128, 32
MAX_BITS = 2**30
"""Most bytes of bits."""


def bits_of(mask: Mask, table: int = 0) -> dict[str, NDArray[np.int32]] | None:
    """Bits as ``line`` and ``bits`` (key k of row q: bit k % 32 of ``bits[line[q] + k // 32]``), above ``FLAT`` positions by blocks.

    By blocks: block ``number[line[q // 128] + k // 128]`` has 512 words, four to a row. Block 0 is empty, block 1 is full. None if that
    is more than ``MAX_BITS`` bytes.

    Examples
    --------
    >>> {name: part.tolist() for name, part in bits_of(Mask.from_intervals([[((0, 1),), ((0, 2),)]])).items()}
    {'line': [0, 1], 'bits': [1, 3]}
    """
    width = -(-mask.size // WORD)
    if mask.size <= FLAT:
        words = [_words(dense) for dense in dense_chunks(rows_of(mask, table), mask.size, 256)]
        bits = np.concatenate([np.zeros((0, width), np.int32), *words])
        return {"line": np.arange(mask.size, dtype=np.int32) * np.int32(width), "bits": bits.ravel()}
    return _pack_blocks(mask, table)


def dense_chunks(spans: Spans, size: int, chunk: int) -> Iterator[NDArray[np.bool_]]:
    """The rows as bool arrays (chunk, size), chunk after chunk; the last may be lower."""
    query, start, end = spans
    for low in range(0, size, chunk):
        part = slice(int(np.searchsorted(query, low)), int(np.searchsorted(query, low + chunk)))
        steps = np.zeros((min(chunk, size - low), size + 1), np.int8)
        steps[query[part] - low, start[part]] += 1
        steps[query[part] - low, end[part]] -= 1
        yield steps[:, :-1].cumsum(axis=1, dtype=np.int8).astype(bool)


def spans_of(dense: NDArray[np.bool_], low: int) -> Spans:
    """The intervals of rows low, low + 1, ... of a bool array."""
    padded = np.pad(dense, ((0, 0), (1, 1)))
    change = np.flatnonzero(
        padded[:, 1:] != padded[:, :-1]
    )  # starts and ends in turn, since every row begins and ends with False
    query, key = np.divmod(change, dense.shape[1] + 1)
    return query[::2] + low, key[::2], key[1::2]


def bits_to_rows(arrays: dict[str, NDArray[np.int32]], size: int) -> Spans:
    """The row intervals of ``bits_of``, by unpacking 128 rows at a time."""
    return joined_parts(spans_of(_unpacked(arrays, low, size), low) for low in range(0, size, SIDE))


def _unpacked(arrays: dict[str, NDArray[np.int32]], low: int, size: int) -> NDArray[np.bool_]:
    rows, line, bits = np.arange(low, min(low + SIDE, size)), arrays["line"].astype(np.int64), arrays["bits"]
    if "number" in arrays:
        across, words = -(-size // SIDE), SIDE // WORD
        block = _taken(arrays["number"], line[low // SIDE] + np.arange(across), "number").astype(np.int64)
        place = (block[None, :, None] * SIDE + (rows - low)[:, None, None]) * words + np.arange(words)
    else:
        place = line[rows][:, None] + np.arange(-(-size // WORD))
    octets = np.ascontiguousarray(_taken(bits, place.reshape(len(rows), -1), "bits")).view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little")[:, :size].astype(bool)


def _taken(array: NDArray[np.int32], place: NDArray[np.int64], name: str) -> NDArray[np.int32]:
    """``array[place]``, after checking that the places are there."""
    if place.size and (place.min() < 0 or place.max() >= len(array)):
        raise WrongAnswer("bit-packed lookup", f"a place in {name} leaves 0..{len(array) - 1}")
    return array[place]


def _words(dense: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Rows of bits, the first key lowest, 32 to a little-endian word."""
    whole = np.pad(dense, ((0, 0), (0, -dense.shape[1] % WORD)))
    return np.packbits(whole, axis=1, bitorder="little").view("<i4").astype(np.int32, copy=False)


def _pack_blocks(mask: Mask, table: int) -> dict[str, NDArray[np.int32]] | None:
    """Return the bits by blocks; only the rows of mixed blocks are written out, so that empty and full blocks cost nothing."""
    across = -(-mask.size // SIDE)
    pairs = block_pairs(mask, table, SIDE, SIDE)
    full = pairs == SIDE * SIDE
    mixed = (pairs > 0) & ~full
    count = int(mixed.sum())
    if (2 + count) * SIDE * SIDE // 8 > MAX_BITS:
        return None
    # Block 0 is empty, block 1 is full; the mixed blocks are numbered from 2 on in row-major order.
    number = np.where(mixed, 1 + mixed.ravel().cumsum().reshape(mixed.shape), full).astype(np.int32)
    bits = np.zeros((2 + count, SIDE, SIDE // WORD), np.int32)
    bits[1] = -1
    query, start, end = rows_of(mask, table)
    cuts = np.searchsorted(query, np.arange(across + 1) * SIDE)
    for row in range(across):
        part = slice(int(cuts[row]), int(cuts[row + 1]))
        chosen = np.flatnonzero(mixed[row])
        # The mixed blocks of this block row lie next to one another: key x is in column x - 128 j + 128 (mixed blocks before j).
        is_mixed = np.append(mixed[row], False)
        before = SIDE * (is_mixed.cumsum() - is_mixed)
        width = SIDE * len(chosen) + 1
        steps = np.zeros(SIDE * width, np.int8)
        for bound, sign in ((start[part], np.int8(1)), (end[part], np.int8(-1))):
            block, rest = np.divmod(bound, SIDE)
            column = before[block] + np.where(is_mixed[block], rest, 0)
            np.add.at(steps, (query[part] - row * SIDE) * width + column, sign)
        dense = steps.reshape(SIDE, width)[:, :-1].cumsum(axis=1, dtype=np.int8).astype(bool)
        words = _words(dense).reshape(SIDE, len(chosen), SIDE // WORD)
        bits[number[row, chosen]] = words.transpose(1, 0, 2)
    line = np.arange(across, dtype=np.int32) * np.int32(across)
    return {"line": line, "number": number.ravel(), "bits": bits.ravel()}
