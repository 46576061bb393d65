"""Masks by columns: which queries see each key. FlashMask's ``startend_row_indices``, and the way back to row intervals.

FlashMask (PaddlePaddle ``flashmask_attention``) is told for each key which rows must *not* see it: ``[1, 1, N, c]`` int32, where

=========  =====  ==================================================================
causal     c      forbidden for key k
=========  =====  ==================================================================
True       1      rows r1 <= q, and rows q < k
True       2      rows r1 <= q < r2, and rows q < k
False      2      rows r1 <= q, and rows q < r2
False      4      rows r1 <= q < r2, and rows r3 <= q < r4
=========  =====  ==================================================================
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.export.row_intervals import (
    Columns,
    Ints,
    Spans,
    column_counts,
    columns_of,
    compare_rows,
    expand,
    joined_parts,
    row_counts,
    rows_of,
)
from masksynth.mask import Mask


class FlashMask(NamedTuple):
    """``flashmask_attention(q, k, v, startend_row_indices, causal=causal)``."""

    startend_row_indices: NDArray[np.int32]
    causal: bool


def to_flashmask(mask: Mask, table: int = 0) -> FlashMask:
    """The fewest columns c that express the mask, causal before not; checked.

    Where a key is hidden from rows on both sides of its own, the first bounds are those below the diagonal and the second those above,
    as FlashMask's documentation words it. Elsewhere (two gaps on one side) they are what the table above says, which is what Paddle's
    dense reference computes.

    Raises
    ------
    Unsupported
        If the rows forbidden to some key are more than two intervals.

    Examples
    --------
    >>> to_flashmask(Mask.from_intervals([[((0, 1),), ((0, 2),), ((2, 3),)]])).startend_row_indices[0, 0].tolist()
    [[2], [2], [3]]
    >>> to_flashmask(Mask.from_intervals([[((0, 2),), ((0, 2),), ((2, 3),)]])).startend_row_indices[0, 0].tolist()
    [[2, 0], [2, 0], [3, 2]]
    """
    counts = column_counts(mask, table)
    if (most := int(counts.max(initial=0))) > 3:
        raise Unsupported(
            f"cannot express: key {int(counts.argmax())} is seen by {most} intervals of rows (more than 3)"
        )
    columns, (query, _, ends) = columns_of(mask, table), rows_of(mask, table)
    below = _gaps(columns, np.arange(mask.size))
    if (ends <= query + 1).all() and len(below) <= 1:
        found = FlashMask(_stacked(_causal(below, mask.size)), True)
    elif (counts <= 1).all():
        found = FlashMask(_stacked(_single(columns)), False)
    else:
        found = FlashMask(_stacked(_double(_gaps(columns, np.zeros(mask.size, np.int64)), mask.size)), False)
    check_flashmask(mask, found, table)
    return found


def check_flashmask(mask: Mask, found: FlashMask, table: int = 0) -> None:
    """Check that the bounds mean the mask.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs.
    """
    compare_rows(mask, table, flashmask_to_rows(found, mask, table), "flashmask")


def flashmask_to_rows(found: FlashMask, mask: Mask, table: int = 0) -> Spans:
    """The row intervals of FlashMask bounds; ``mask`` only bounds how much is written out."""
    size, bounds = mask.size, found.startend_row_indices
    if (
        bounds.dtype != np.int32
        or bounds.shape[:3] != (1, 1, size)
        or bounds.shape[3:] not in (((1,), (2,)) if found.causal else ((2,), (4,)))
    ):
        raise WrongAnswer(
            "flashmask", f"bounds {bounds.dtype} {bounds.shape} with causal={found.causal} are none of FlashMask's"
        )
    if bounds.size and (bounds.min() < 0 or bounds.max() > size):
        raise WrongAnswer("flashmask", f"a bound leaves 0..{size}")
    bound, key, none = bounds[0, 0].astype(np.int64).T, np.arange(size), np.zeros(size, np.int64)
    if found.causal:
        hidden = [(none, key), (bound[0], bound[1] if len(bound) == 2 else none + size)]
    else:
        hidden = (
            [(bound[0], bound[1]), (bound[2], bound[3])]
            if len(bound) == 4
            else [(bound[0], none + size), (none, bound[1])]
        )
    return rows_of_columns(_complement(hidden, size), mask, table, "flashmask")


def rows_of_columns(columns: list[tuple[Ints, Ints]], mask: Mask, table: int, what: str) -> Spans:
    """The row intervals of a mask whose key k is seen by the queries ``lo[k] <= q < hi[k]`` of one of a few disjoint pairs (lo, hi).

    A row interval begins at key k for the queries in column k and not in column k - 1: an interval of column k meets a gap of column
    k - 1. How many begin in each row is counted before any is written out, so that a wrong form costs no more than a right one.
    """
    size = mask.size
    before = [
        (np.concatenate([[0], lo[:-1]])[: len(lo)], np.concatenate([[0], hi[:-1]])[: len(hi)]) for lo, hi in columns
    ]
    after = [(np.concatenate([lo[1:], [0]])[: len(lo)], np.concatenate([hi[1:], [0]])[: len(hi)]) for lo, hi in columns]
    starts, ends = _without(columns, before, size), _without(columns, after, size)
    wanted = row_counts(mask, table)
    for place, spans in (("begin", starts), ("end", ends)):
        counts = (np.bincount(spans[1], minlength=size + 1) - np.bincount(spans[2], minlength=size + 1)).cumsum()[:size]
        if (differs := counts != wanted).any():
            row = int(differs.argmax())
            raise WrongAnswer(what, f"row {row}: {int(counts[row])} intervals {place}, not {int(wanted[row])}")
    (first_key, first_row), (last_key, last_row) = expand(starts), expand(ends)
    opens, closes = np.lexsort((first_key, first_row)), np.lexsort((last_key, last_row))
    return first_row[opens], first_key[opens], last_key[closes] + 1


def _without(columns: list[tuple[Ints, Ints]], other: list[tuple[Ints, Ints]], size: int) -> Spans:
    """(key, start, end): the queries in a column and not in its neighbour, cut at the neighbour's gaps."""
    keys = np.arange(len(columns[0][0]))
    bounds = sorted_pairs(other)
    edges = [np.zeros(len(keys), np.int64), *(edge for pair in bounds for edge in pair), np.full(len(keys), size)]
    parts = []
    for lo, hi in columns:
        for gap_lo, gap_hi in zip(edges[::2], edges[1::2], strict=True):
            start, end = np.maximum(lo, gap_lo), np.minimum(hi, gap_hi)
            some = (start < end) & (lo < hi)
            parts.append((keys[some], start[some], end[some]))
    return joined_parts(parts)


def sorted_pairs(pairs: list[tuple[Ints, Ints]]) -> list[tuple[Ints, Ints]]:
    """Disjoint intervals (lo, hi) per key in rising order; empty ones become (0, 0) and come first."""
    lo = np.array([np.where(lo < hi, lo, 0) for lo, hi in pairs])
    hi = np.array([np.where(lo < hi, hi, 0) for lo, hi in pairs])
    order = np.argsort(hi, axis=0, kind="stable")
    return list(zip(np.take_along_axis(lo, order, 0), np.take_along_axis(hi, order, 0), strict=True))


def _gaps(columns: Columns, first: Ints) -> list[tuple[Ints, Ints]]:
    """The i-th interval of rows from ``first[k]`` on that do not see key k, i = 0, 1, ...; (N, N) where there are fewer."""
    size = len(columns.offset) - 1
    line = np.repeat(np.arange(size), np.diff(columns.offset) + 1)
    low = np.insert(columns.end, columns.offset[:-1], first)
    high = np.insert(columns.start, columns.offset[1:], size)
    some = low < high
    line, low, high = line[some], low[some], high[some]
    offset = np.concatenate([[0], np.bincount(line, minlength=size).cumsum()])
    found = []
    for number in range(int(np.diff(offset).max(initial=0))):
        there = np.flatnonzero(np.diff(offset) > number)
        bounds = np.full((2, size), size)
        bounds[:, there] = low[offset[there] + number], high[offset[there] + number]
        found.append((bounds[0], bounds[1]))
    return found


def _causal(below: list[tuple[Ints, Ints]], size: int) -> list[Ints]:
    """One gap below the diagonal: its start alone where all gaps reach the end."""
    start, end = below[0] if below else (np.full(size, size), np.full(size, size))
    return [start] if (end == size).all() else [start, end]


def _single(columns: Columns) -> list[Ints]:
    """One interval of rows sees each key: (its end, its start); where none does, all below and all above the key's own row are hidden."""
    bounds = np.stack([np.arange(len(columns.offset) - 1)] * 2)
    some = np.diff(columns.offset) > 0
    bounds[:, some] = columns.end, columns.start
    return [bounds[0], bounds[1]]


def _double(gaps: list[tuple[Ints, Ints]], size: int) -> list[Ints]:
    """Two gaps: the later one first; a single one stands on its side of the diagonal, or is cut there."""
    if len(gaps) > 2:
        hidden = np.sum([start < end for start, end in gaps], axis=0)
        raise Unsupported(
            f"cannot express: key {int(hidden.argmax())} is hidden from {hidden.max()} intervals of rows (more than 2)"
        )
    key, none = np.arange(size), (np.full(size, size), np.full(size, size))
    (start, end), (later, last) = (*gaps, none, none)[:2]
    alone = later >= last
    r1 = np.where(alone, np.clip(key, start, end), later)
    r2 = np.where(alone, end, last)
    return [r1, r2, start, np.where(alone, np.clip(key, start, end), end)]


def _stacked(bounds: list[Ints]) -> NDArray[np.int32]:
    return np.ascontiguousarray(np.stack(bounds, axis=1).astype(np.int32)[None, None])


def _complement(hidden: list[tuple[Ints, Ints]], size: int) -> list[tuple[Ints, Ints]]:
    """The rows in none of a few intervals, which may be empty, overlap and come in any order, as disjoint intervals."""
    low = np.array([np.where(lo < hi, lo, size) for lo, hi in hidden])
    high = np.array([np.where(lo < hi, hi, size) for lo, hi in hidden])
    order = np.argsort(low, axis=0, kind="stable")
    low, high = np.take_along_axis(low, order, 0), np.take_along_axis(high, order, 0)
    reach = np.maximum.accumulate(np.concatenate([np.zeros((1, low.shape[1]), np.int64), high]), axis=0)
    end = np.concatenate([low, np.full((1, low.shape[1]), size)])
    return [(a, np.maximum(a, b)) for a, b in zip(reach, end, strict=True)]
