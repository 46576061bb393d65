"""FlashInfer's ``packed_custom_mask``: all pairs of one request as bits, queries first, the lowest bit of a byte first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.export.bit_form import dense_chunks, spans_of
from masksynth.export.row_intervals import Spans, compare_rows, joined_parts, rows_of
from masksynth.mask import Mask

MAX_PACKED = 32_768
"""Most positions of a packed mask, which has N^2 / 8 bytes (128 MiB)."""
CHUNK = 256


class PackedBits(NamedTuple):
    """Bit ``q N + k`` is bit ``(q N + k) % 8`` of byte ``(q N + k) // 8``; ``mask_indptr`` [2] int32 are the first byte and the end."""

    packed_custom_mask: NDArray[np.uint8]
    mask_indptr: NDArray[np.int32]


def to_packed_bits(mask: Mask, table: int = 0) -> PackedBits:
    """The packed mask of one request of N queries and N keys, checked.

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
        raise Unsupported(
            f"cannot express: {mask.size:,} positions need {mask.size**2 // 8:,} bytes (more than {MAX_PACKED:,} positions)"
        )
    chunks = dense_chunks(rows_of(mask, table), mask.size, CHUNK)  # a chunk is a whole number of bytes
    parts = [np.packbits(chunk.ravel(), bitorder="little") for chunk in chunks]
    packed = np.concatenate([np.zeros(0, np.uint8), *parts])
    found = PackedBits(packed, np.array([0, len(packed)], np.int32))
    check_packed_bits(mask, found, table)
    return found


def check_packed_bits(mask: Mask, found: PackedBits, table: int = 0) -> None:
    """Check that the bits are the mask, padding bits 0.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs.
    """
    size, bits = mask.size, found.packed_custom_mask
    length = -(-size * size // 8)
    if bits.dtype != np.uint8 or bits.shape != (length,) or found.mask_indptr.tolist() != [0, length]:
        raise WrongAnswer(
            "flashinfer",
            f"{bits.dtype} {bits.shape} with mask_indptr {found.mask_indptr.tolist()} are not {length} bytes",
        )
    if size * size % 8 and bits[-1] >> (size * size % 8):
        raise WrongAnswer("flashinfer", "a padding bit is set")
    compare_rows(mask, table, packed_bits_to_rows(found, size), "flashinfer")


def packed_bits_to_rows(found: PackedBits, size: int) -> Spans:
    """The row intervals of a packed mask, a chunk of rows at a time."""
    parts = []
    for low in range(0, size, CHUNK):
        high = min(low + CHUNK, size)
        octets = found.packed_custom_mask[low * size // 8 : -(-high * size // 8)]
        bits = np.unpackbits(octets, bitorder="little")[: (high - low) * size]
        parts.append(spans_of(bits.reshape(high - low, size).astype(bool), low))
    return joined_parts(parts)
