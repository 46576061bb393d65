"""FlashInfer's ``packed_custom_mask``: all pairs of a request as bits, by query, the lowest bit of a byte first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.export.bit_form import dense_chunks, intervals_of_dense
from masksynth.mask import Mask
from masksynth.mask.check_rows import check_rows
from masksynth.mask.intervals import RowIntervals, concatenate_intervals, row_intervals
from masksynth.mask.typing import Int32Array, UInt8Array

MAX_PACKED = 32_768
"""Maximum number of positions of a packed mask, which has N^2 / 8 bytes (128 MiB)."""
CHUNK = 256
"""Rows that are unpacked at once; a multiple of 8, so that each chunk is an integral number of bytes."""


class PackedBits(NamedTuple):
    """Pair (q, k) is bit ``(q N + k) % 8`` of byte ``(q N + k) // 8``.

    Parameters
    ----------
    packed_custom_mask : (ceil(N^2 / 8),) uint8
    mask_indptr : (2,) int32
        0 and the number of bytes.
    """

    packed_custom_mask: UInt8Array
    mask_indptr: Int32Array


def to_packed_bits(mask: Mask, table: int = 0) -> PackedBits:
    """Return the packed mask of one request of N queries and N keys, checked.

    Raises
    ------
    Unsupported
        Above ``MAX_PACKED`` positions.

    Examples
    --------
    >>> to_packed_bits(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 3),)]])).packed_custom_mask.tolist()
    [217, 1]
    """
    if mask.size > MAX_PACKED:
        size = f"{mask.size:,} positions need {mask.size**2 // 8:,} bytes"
        raise Unsupported(f"cannot express: {size} (more than {MAX_PACKED:,} positions)")
    chunks = dense_chunks(row_intervals(mask, table), mask.size, CHUNK)
    parts = [np.packbits(chunk.ravel(), bitorder="little") for chunk in chunks]
    octets = np.concatenate([np.zeros(0, np.uint8), *parts])
    packed = PackedBits(octets, np.array([0, len(octets)], np.int32))
    check_packed_bits(mask, packed, table)
    return packed


def check_packed_bits(mask: Mask, packed: PackedBits, table: int = 0) -> None:
    """Check that packed bits are a table of the mask, padding bits 0.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs.
    """
    size, bits = mask.size, packed.packed_custom_mask
    length = -(-size * size // 8)
    if bits.dtype != np.uint8 or bits.shape != (length,) or packed.mask_indptr.tolist() != [0, length]:
        got = f"{bits.dtype} {bits.shape} with mask_indptr {packed.mask_indptr.tolist()}"
        raise WrongAnswer("flashinfer", f"expected {length} bytes, got {got}")
    if size * size % 8 and bits[-1] >> (size * size % 8):
        raise WrongAnswer("flashinfer", "a padding bit is set")
    check_rows(mask, table, packed_bits_to_rows(packed, size), "flashinfer")


def packed_bits_to_rows(packed: PackedBits, size: int) -> RowIntervals:
    """Return the row intervals of a packed mask over ``size`` positions, a chunk of rows at a time."""
    parts = []
    for low in range(0, size, CHUNK):
        high = min(low + CHUNK, size)
        octets = packed.packed_custom_mask[low * size // 8 : -(-high * size // 8)]
        bits = np.unpackbits(octets, bitorder="little")[: (high - low) * size]
        parts.append(intervals_of_dense(bits.reshape(high - low, size).astype(bool), low))
    return concatenate_intervals(parts)
