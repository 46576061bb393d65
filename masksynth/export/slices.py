"""MagiAttention's AttnSlices: a mask as rectangles of queries and keys, each full or cut along diagonals.

Slice t allows, for queries q0 <= q < q1 and keys k0 <= k < k1 of its ranges,

=========  ===  ===========================================================
FULL       0    all pairs
CAUSAL     1    k - k1 <= q - q1: the last query attends to all keys
INVCAUSAL  2    k - k0 >= q - q0: the first query attends to all keys
BICAUSAL   3    both
=========  ===  ===========================================================

Every mask is a disjoint union of such slices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.check_rows import check_rows
from masksynth.mask.intervals import RowIntervals, expand, row_intervals
from masksynth.mask.typing import Int32Array, Int64Array

FULL, CAUSAL, INVCAUSAL, BICAUSAL = range(4)


class Slices(NamedTuple):
    """The arguments of ``flex_flash_attn_func``.

    Parameters
    ----------
    q_ranges, k_ranges : (S, 2) int32
        Half-open ranges of queries and of keys.
    attn_type_map : (S,) int32
        Types 0 to 3 of the table above.
    """

    q_ranges: Int32Array
    k_ranges: Int32Array
    attn_type_map: Int32Array


def to_slices(mask: Mask, table: int = 0) -> Slices:
    """Return disjoint slices that cover a table, checked.

    An interval [s, e) of row q continues in row q + 1 as [s, e), [s, e + 1), [s + 1, e) or [s + 1, e + 1), of which the
    row has at most one. Intervals that continue in the same way form one slice of that type. Along each such path the
    choice is greedy from the top: a slice is extended as far as possible.

    Examples
    --------
    >>> slices = to_slices(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3)), ((0, 1), (2, 4))]]))
    >>> [(q, k, kind) for q, k, kind in zip(*(part.tolist() for part in slices), strict=True)]
    [([0, 2], [0, 2], 1), ([2, 4], [0, 1], 0), ([2, 4], [2, 4], 1)]
    """
    query, start, end = row_intervals(mask, table)
    before, kind = _continuations(query, start, end, mask.size)
    head = _first_of_slice(before, kind)
    index = np.arange(len(head))
    opens = np.flatnonzero(head == index)
    last = np.zeros(len(head), np.int64)
    np.maximum.at(last, head, index)  # the last interval of each slice, at the index of its first
    types = np.full(len(head), FULL)
    others = np.flatnonzero(head != index)
    types[head[others]] = kind[others]
    last = last[opens]
    q_ranges = np.stack((query[opens], query[last] + 1), axis=1).astype(np.int32)
    k_ranges = np.stack((start[opens], end[last]), axis=1).astype(np.int32)
    slices = Slices(q_ranges, k_ranges, types[opens].astype(np.int32))
    check_slices(mask, slices, table)
    return slices


def check_slices(mask: Mask, slices: Slices, table: int = 0) -> None:
    """Check that slices are disjoint and cover exactly a table of the mask.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs, or the first slice that is malformed.
    """
    check_rows(mask, table, slices_to_rows(slices, mask, table), "magi")


def slices_to_rows(slices: Slices, mask: Mask, table: int = 0) -> RowIntervals:
    """Return the row intervals of slices, slice by slice; ``mask`` gives N and bounds how much is written out.

    Raises
    ------
    WrongAnswer
        If a range or a type is invalid, or the slices have far more rows than the mask has intervals.
    """
    (q0, q1), (k0, k1) = slices.q_ranges.astype(np.int64).T, slices.k_ranges.astype(np.int64).T
    kind = slices.attn_type_map
    is_valid = (q0 >= 0) & (q0 < q1) & (q1 <= mask.size) & (k0 >= 0) & (k0 < k1) & (k1 <= mask.size)
    is_valid &= (kind >= FULL) & (kind <= BICAUSAL)
    if not is_valid.all():
        i = int(is_valid.argmin())
        raise WrongAnswer("magi", f"slice {i} of type {kind[i]} has queries {q0[i]}..{q1[i]}, keys {k0[i]}..{k1[i]}")
    rows, most = int((q1 - q0).sum()), 64 * (int(np.diff(mask.row_offset[table]).sum()) + mask.size)
    if rows > most:
        raise WrongAnswer("magi", f"the slices have {rows:,} rows in all (more than {most:,} for this mask)")
    number, row = expand((np.arange(len(q0)), q0, q1))
    # INVCAUSAL and BICAUSAL move the start by one key per row, CAUSAL and BICAUSAL the end.
    start = k0[number] + np.where(kind[number] >= INVCAUSAL, row - q0[number], 0)
    end = k1[number] - np.where(kind[number] % 2 == CAUSAL, q1[number] - 1 - row, 0)
    return row, np.minimum(start, end), end


def _continuations(query: Int64Array, start: Int64Array, end: Int64Array, size: int) -> tuple[Int64Array, Int64Array]:
    """Return for each interval the index of the interval of the row before that it continues, and how (0 to 3).

    The index is the interval's own if it continues none. Type 2 moves the start, type 1 the end, type 3 both.
    """
    code, index = query * (size + 1) + start, np.arange(len(query))  # sorted
    before, kind = index.copy(), np.zeros(len(query), np.int64)
    for moved in (0, 1):
        wanted = code - (size + 1) - moved  # an interval of the row before that starts ``moved`` keys earlier
        candidate = np.minimum(np.searchsorted(code, wanted), max(len(code) - 1, 0))
        grown = end - end[candidate]
        fits = (code[candidate] == wanted) & (start >= moved) & (grown >= 0) & (grown <= 1) & (query > 0)
        before, kind = np.where(fits, candidate, before), np.where(fits, 2 * moved + grown, kind)
    return before, kind


def _first_of_slice(before: Int64Array, kind: Int64Array) -> Int64Array:
    """Return the index of the first interval of each interval's slice.

    On a path, interval t joins the slice of the one before iff that one began a slice, or was joined in the same way.
    So among consecutive changes of type the first begins a slice, the second does not, the third does.
    """
    index = np.arange(len(before))
    first = before == index
    second = ~first & first[before]
    change = ~first & ~second & (kind != kind[before])
    # Pointer doubling: from each change back to the interval before its run of changes, counting them.
    origin = np.where(change, before, index)
    distance = change.astype(np.int64)
    while (origin[origin] != origin).any():
        distance += distance[origin]
        origin = origin[origin]
    begins = first | (change & (distance % 2 == 1))
    head = np.where(begins, index, before)
    while (head[head] != head).any():
        head = head[head]
    return head
