"""Relations as rows of packed bits, combined eight rows at a time (the method of the four Russians).

Row ``q`` of an ``(n, n)`` relation becomes ``ceil(n / 64)`` words of 64 bits; bit ``k`` of the row is ``relation[q,
k]``. All 256 unions of eight given rows are tabulated, so one byte of a row selects a union. A product or a closure of
n nodes then takes n^2 / 8 look-ups of n bits at any density, in two buffers of n^2 bits.

References
----------
V. L. Arlazarov, E. A. Dinic, M. A. Kronrod, I. A. Faradzev, "On economical construction of the transitive closure of an
oriented graph", Soviet Math. Dokl. 11 (1970).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]


def pack(relation: NDArray[np.bool_]) -> Words:
    """Return the rows of a ``(m, n)`` bool array as ``(m, ceil(n / 64))`` words.

    Examples
    --------
    >>> unpack(pack(np.eye(3, dtype=bool)), 3).astype(int).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    rows, columns = relation.shape
    octets = np.zeros((rows, -(-columns // 64) * 8), np.uint8)
    octets[:, : -(-columns // 8)] = np.packbits(relation, axis=1, bitorder="little")
    return octets.view(np.uint64)


def unpack(words: Words, columns: int) -> NDArray[np.bool_]:
    """Return the bool array whose packed rows are ``words``: the inverse of ``pack``."""
    return np.unpackbits(words.view(np.uint8), axis=1, count=columns, bitorder="little").view(np.bool_)


def integers(relation: NDArray[np.bool_]) -> list[int]:
    """Return each row as one integer, bit ``k`` being column ``k``.

    Examples
    --------
    >>> integers(np.array([[True, False, True]]))
    [5]
    """
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(relation, axis=1, bitorder="little")]


def members(bits: int) -> Iterator[int]:
    """Yield the positions of the set bits, ascending.

    Examples
    --------
    >>> list(members(0b1101))
    [0, 2, 3]
    """
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def multiply(later: Words, earlier: Words) -> Words:
    """Return the Boolean product of packed relations.

    Row q is the union of those rows of ``earlier`` that are set in row q of ``later``.
    """
    octets = later.view(np.uint8)
    product, chosen = np.zeros_like(earlier), np.empty_like(earlier)
    for start in range(0, len(earlier), 8):
        np.take(_unions(earlier[start : start + 8]), octets[:, start // 8], axis=0, out=chosen, mode="clip")
        product |= chosen
    return product


def close(words: Words) -> None:
    """Close a packed relation transitively, in place: Warshall's algorithm, eight pivots at a time.

    Invariant: after a step, the rows contain every path whose inner nodes are pivots so far. A path enters the eight
    new pivots at one of them; the rest of it is in the row of that pivot, which has been closed over the eight
    beforehand.
    """
    octets, chosen = words.view(np.uint8), np.empty_like(words)
    for start in range(0, len(words), 8):
        pivots, column = words[start : start + 8], octets[:, start // 8]
        for bit in range(len(pivots)):
            pivots[(column[start : start + 8] >> bit) & 1 == 1] |= pivots[bit]  # rows of the eight that see this pivot
        np.take(_unions(pivots), column, axis=0, out=chosen, mode="clip")
        words |= chosen


def _unions(rows: Words) -> Words:
    """Return the unions of all subsets of the rows: row ``s`` is the union of the rows whose bits are set in ``s``."""
    table = np.zeros((1 << len(rows), rows.shape[1]), np.uint64)
    for bit, row in enumerate(rows):
        np.bitwise_or(table[: 1 << bit], row, out=table[1 << bit : 2 << bit])  # subsets with this bit as the highest
    return table
