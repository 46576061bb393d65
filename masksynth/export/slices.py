"""MagiAttention's AttnSlices: a mask as rectangles of queries and keys, each full or cut along diagonals.

Slice t allows, for queries q0 <= q < q1 and keys k0 <= k < k1 of its ranges,

=========  ===  =======================================================
FULL       0    all pairs
CAUSAL     1    k - k1 <= q - q1: the last query sees all keys
INVCAUSAL  2    k - k0 >= q - q0: the first query sees all keys
BICAUSAL   3    both
=========  ===  =======================================================

Every mask is a disjoint union of such slices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import WrongAnswer
from masksynth.export.row_intervals import Ints, Spans, compare_rows, expand, rows_of
from masksynth.mask import Mask

FULL, CAUSAL, INVCAUSAL, BICAUSAL = range(4)


class Slices(NamedTuple):
    """``q_ranges``, ``k_ranges`` [S, 2] int32 half-open, ``attn_type_map`` [S] int32: the arguments of flex_flash_attn_func."""

    q_ranges: NDArray[np.int32]
    k_ranges: NDArray[np.int32]
    attn_type_map: NDArray[np.int32]


def to_slices(mask: Mask, table: int = 0) -> Slices:
    """Disjoint slices that cover the mask, checked.

    An interval [s, e) of row q goes on in row q + 1 as [s, e), [s, e + 1), [s + 1, e) or [s + 1, e + 1), of which at most one is there.
    Intervals that go on in the same way are one slice of that type. Greedy along each such path, from the top: a slice takes what it can.

    Examples
    --------
    >>> found = to_slices(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3)), ((0, 1), (2, 4))]]))
    >>> [(q, k, kind) for q, k, kind in zip(*(part.tolist() for part in found), strict=True)]
    [([0, 2], [0, 2], 1), ([2, 4], [0, 1], 0), ([2, 4], [2, 4], 1)]
    """
    query, start, end = rows_of(mask, table)
    before, kind = _steps(query, start, end, mask.size)
    head = _heads(before, kind)
    opens = np.flatnonzero(head == np.arange(len(head)))
    last = np.zeros(len(head), np.int64)
    np.maximum.at(last, head, np.arange(len(head)))
    second = np.full(len(head), FULL)
    others = np.flatnonzero(head != np.arange(len(head)))
    second[head[others]] = kind[others]
    last, types = last[opens], second[opens]
    ranges = [
        np.stack(pair, axis=1).astype(np.int32) for pair in ((query[opens], query[last] + 1), (start[opens], end[last]))
    ]
    found = Slices(ranges[0], ranges[1], types.astype(np.int32))
    check_slices(mask, found, table)
    return found


def check_slices(mask: Mask, found: Slices, table: int = 0) -> None:
    """Check that the slices are disjoint and cover exactly the mask.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs, or the first slice that is malformed.
    """
    compare_rows(mask, table, slices_to_rows(found, mask, table), "magi")


def slices_to_rows(found: Slices, mask: Mask, table: int = 0) -> Spans:
    """The row intervals of slices, row by row of each; ``mask`` only bounds how much is written out."""
    (q0, q1), (k0, k1), kind = found.q_ranges.astype(np.int64).T, found.k_ranges.astype(np.int64).T, found.attn_type_map
    bad = (
        (q0 < 0)
        | (q0 >= q1)
        | (q1 > mask.size)
        | (k0 < 0)
        | (k0 >= k1)
        | (k1 > mask.size)
        | (kind < FULL)
        | (kind > BICAUSAL)
    )
    if bad.any():
        place = int(bad.argmax())
        raise WrongAnswer(
            "magi",
            f"slice {place} of type {kind[place]} has queries {q0[place]}..{q1[place]}, keys {k0[place]}..{k1[place]}",
        )
    cells, most = int((q1 - q0).sum()), 64 * (int(np.diff(mask.row_offset[table]).sum()) + mask.size)
    if cells > most:
        raise WrongAnswer("magi", f"the slices have {cells:,} rows in all (more than {most:,} for this mask)")
    number, row = _cells(q0, q1)
    start = k0[number] + np.where(kind[number] >= INVCAUSAL, row - q0[number], 0)
    end = k1[number] - np.where(kind[number] % 2 == CAUSAL, q1[number] - 1 - row, 0)
    return row, np.minimum(start, end), end


def _cells(q0: Ints, q1: Ints) -> tuple[Ints, Ints]:
    return expand((np.arange(len(q0)), q0, q1))


def _steps(query: Ints, start: Ints, end: Ints, size: int) -> tuple[Ints, Ints]:
    """The interval of the row before that each interval continues, itself if none, and how (0 .. 3)."""
    code, own = query * (size + 1) + start, np.arange(len(query))
    before, kind = own.copy(), np.zeros(len(query), np.int64)
    for moved in (0, 1):
        wanted = code - (size + 1) - moved
        place = np.minimum(np.searchsorted(code, wanted), max(len(code) - 1, 0))
        grown = end - end[place]
        fits = (code[place] == wanted) & (start >= moved) & (grown >= 0) & (grown <= 1) & (query > 0)
        before, kind = np.where(fits, place, before), np.where(fits, 2 * moved + grown, kind)
    return before, kind


def _heads(before: Ints, kind: Ints) -> Ints:
    """The first interval of each interval's slice.

    On a path, interval t joins the slice of the one before iff that one began a slice, or was joined in the same way. So among
    consecutive changes of way the first begins a slice, the second does not, the third does.
    """
    own = np.arange(len(before))
    first = before == own
    second = ~first & first[before]
    change = ~first & ~second & (kind != kind[before])
    steady = np.where(change, before, own)  # back over changes only
    distance = change.astype(np.int64)
    while (steady[steady] != steady).any():
        distance += distance[steady]
        steady = steady[steady]
    begins = first | (change & (distance % 2 == 1))
    head = np.where(begins, own, before)
    while (head[head] != head).any():
        head = head[head]
    return head
