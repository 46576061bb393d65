"""Boolean algebra on row intervals: products, unions, differences, transposes and powers of masks without an (N, N) array.

All functions take and give masks of one table. ``product(later, earlier)[q, k]`` is true iff ``later[q, m]`` and ``earlier[m, k]`` for
some m. The interval of row q that begins at a and has between 2^j and 2^(j + 1) keys is the union of two runs of 2^j rows of the other
factor, and the union of every run of 2^j rows is made of two runs of half the length: as in a sparse table for range minima.

References
----------
M. A. Bender, M. Farach-Colton, "The LCA problem revisited", LATIN 2000 (sparse tables for idempotent operations).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.export.row_intervals import Ints, Spans, column_counts, columns_of, joined_parts, rows_of
from masksynth.mask import Mask
from masksynth.posets import compose

MOST_INTERVALS = 1 << 22
"""Most intervals that one step writes out; up to ``MAX_DENSE`` positions packed bits do what needs more."""


def single(mask: Mask, table: int) -> Mask:
    """One table of a pattern as a mask of its own.

    Examples
    --------
    >>> single(Mask.from_intervals([[((0, 1),)], [()]]), 1).pairs
    0
    """
    query, start, end = rows_of(mask, table)
    return _mask((query, start, end), mask.size)


def identity(size: int) -> Mask:
    """I: every position alone."""
    place = np.arange(size, dtype=np.int64)
    return _mask((place, place, place + 1), size)


def united(spans: Spans, size: int) -> Mask:
    """The mask of (query, start, end) triples in any order, which may overlap, touch or be empty.

    Examples
    --------
    >>> united((np.array([1, 0, 1]), np.array([1, 0, 0]), np.array([2, 1, 1])), 2).intervals(1)
    ((0, 2),)
    """
    query, start, end = (part[spans[1] < spans[2]] for part in spans)
    width = size + 1
    order = np.argsort(query * width + start, kind="stable")
    query, start, end = query[order], start[order], end[order]
    # Rows are apart in this code, so the furthest end so far is one of the same row wherever it can matter.
    reach = np.maximum.accumulate(query * width + end)
    opens = np.concatenate([[True], query[1:] * width + start[1:] > reach[:-1]])[: len(query)]
    last = np.concatenate([opens[1:], [True]])[: len(query)]
    return _mask((query[opens], start[opens], reach[last] - query[opens] * width), size)


def union(one: Mask, other: Mask) -> Mask:
    """Pairs in at least one of two masks."""
    return united(joined_parts([rows_of(one), rows_of(other)]), one.size)


def intersection(one: Mask, other: Mask) -> Mask:
    """Pairs in both of two masks.

    Examples
    --------
    >>> print(intersection(Mask.from_intervals([[((0, 2),), ()]]), Mask.from_intervals([[((1, 2),), ((0, 2),)]])))
    · ■
    · ·
    """
    return _combined(one, other, np.logical_and)


def difference(one: Mask, other: Mask) -> Mask:
    """Pairs in the first mask and not in the second.

    Examples
    --------
    >>> difference(Mask.from_intervals([[((0, 3),), (), ()]]), identity(3)).intervals(0)
    ((1, 3),)
    """
    return _combined(one, other, np.greater)


def transpose(mask: Mask) -> Mask:
    """Queries and keys exchanged.

    Raises
    ------
    Unsupported
        If the columns fall into too many intervals and the mask is too large for an array.

    Examples
    --------
    >>> transpose(Mask.from_intervals([[(), ((0, 1),)]])).intervals(0)
    ((1, 2),)
    """
    if int(column_counts(mask).sum()) > MOST_INTERVALS:
        return _densely(lambda: mask.dense().T, mask.size)
    columns = columns_of(mask)
    return Mask(columns.offset[None], columns.start.astype(np.int32), columns.end.astype(np.int32))


def product(later: Mask, earlier: Mask) -> Mask:
    """Boolean product: what a layer with mask ``later`` makes of a flow ``earlier``.

    Raises
    ------
    Unsupported
        If more than ``MOST_INTERVALS`` intervals would be written out and the masks are too large for an array.

    Examples
    --------
    >>> step = Mask.from_dense(np.eye(4, k=-1, dtype=bool))
    >>> np.argwhere(product(step, step)).tolist()
    [[2, 0], [3, 1]]
    """
    try:
        return united(joined_parts(_factors(later, earlier)), later.size)
    except Unsupported:
        return _densely(lambda: compose(later.dense(), earlier.dense()), later.size)


def power(mask: Mask, exponent: int) -> Mask:
    """The product of ``exponent`` equal factors, by repeated squaring until a square stands still; I for 0.

    Examples
    --------
    >>> power(Mask.from_dense(np.eye(6, k=-1, dtype=bool)), 5).intervals(5)
    ((0, 1),)
    """
    result, square = identity(mask.size), mask
    while exponent:
        if exponent & 1:
            result = product(square, result)
        exponent >>= 1
        if exponent and (further := product(square, square)) == square:
            return product(square, result)
        square = further if exponent else square
    return result


def layers_of(mask: Mask) -> list[Mask]:
    """A_1, ..., A_P: each table with I, since the residual connection keeps what a position had."""
    return [union(single(mask, table), identity(mask.size)) for table in range(mask.tables)]


def merged_tables(mask: Mask) -> Mask:
    """Pairs in at least one table."""
    return reduce(union, (single(mask, table) for table in range(mask.tables)))


def contains_itself(mask: Mask) -> NDArray[np.bool_]:
    """(N,) whether each row of one table holds its own position.

    Examples
    --------
    >>> contains_itself(Mask.from_intervals([[((0, 1),), ((0, 1),)]])).tolist()
    [True, False]
    """
    query, start, end = rows_of(mask)
    return np.bincount(query[(start <= query) & (query < end)], minlength=mask.size) > 0


def is_causal(mask: Mask) -> bool:
    """Whether no position of any table attends to a later one."""
    return all(
        bool((end <= query + 1).all()) for query, _, end in (rows_of(mask, table) for table in range(mask.tables))
    )


def same_size(one: Mask, other: Mask) -> None:
    """Refuse two masks of different lengths."""
    if one.size != other.size:
        raise InvalidInstance(
            f"masks of {one.size} and of {other.size} positions cannot be compared", "", "give two masks of one length"
        )


def _mask(spans: Spans, size: int) -> Mask:
    """Sorted, disjoint, untouching triples as a mask."""
    query, start, end = spans
    offset = np.concatenate([[0], np.bincount(query, minlength=size).cumsum()])
    return Mask(offset[None], start.astype(np.int32), end.astype(np.int32))


def _combined(one: Mask, other: Mask, keep: Callable[..., Any]) -> Mask:
    """Pairs for which ``keep(in one, in other)``, by a sweep over the ends of all intervals."""
    same_size(one, other)
    width, codes = one.size + 1, []
    for mask in (one, other):
        query, start, end = rows_of(mask)
        codes.append(np.stack([query * width + start, query * width + end], axis=1).ravel())
    both = np.concatenate(codes)
    order = np.argsort(both, kind="stable")
    both, first = both[order], order < len(codes[0])
    wanted = keep((first.cumsum() & 1) > 0, ((~first).cumsum() & 1) > 0)
    last = np.concatenate([both[1:] != both[:-1], [True]])[: len(both)]
    both, wanted = both[last], wanted[last]
    following = np.concatenate([both[1:], both[:1]])
    query = both[wanted] // width
    return united((query, both[wanted] - query * width, following[wanted] - query * width), one.size)


def _factors(later: Mask, earlier: Mask) -> list[Spans]:
    """The rows of ``earlier`` that each row of ``later`` names, as runs of 2^j rows."""
    query, start, end = rows_of(later)
    length, runs, parts, step = end - start, earlier, list[Spans](), 1
    written, most = 0, int(length.max(initial=0))
    while step <= most:
        here = (length >= step) & (length < 2 * step)
        for first in (start[here], end[here] - step) if step > 1 else (start[here],):
            parts.append(_gathered(runs, query[here], first))
            written += len(parts[-1][0])
            _affordable(written)
        if (step := 2 * step) <= most:
            runs = _doubled(runs, step // 2)
    return parts


def _doubled(runs: Mask, step: int) -> Mask:
    """From unions of ``step`` rows to unions of twice as many, where there are so many."""
    first = np.arange(runs.size - 2 * step + 1)
    return united(joined_parts([_gathered(runs, first, first), _gathered(runs, first, first + step)]), runs.size)


def _gathered(mask: Mask, query: Ints, row: Ints) -> Spans:
    """(query, start, end) for each interval of the row that each query names."""
    offset = mask.row_offset[0]
    counts = offset[row + 1] - offset[row]
    _affordable(int(counts.sum()))
    place = np.arange(int(counts.sum())) - np.repeat(counts.cumsum() - counts - offset[row], counts)
    return np.repeat(query, counts), mask.key_start[place].astype(np.int64), mask.key_end[place].astype(np.int64)


def _affordable(intervals: int) -> None:
    if intervals > MOST_INTERVALS:
        raise Unsupported(f"more than {MOST_INTERVALS:,} row intervals would be written out")


def _densely(make: Callable[[], NDArray[np.bool_]], size: int) -> Mask:
    """An array where it fits."""
    if size > MAX_DENSE:
        raise Unsupported(
            f"more than {MOST_INTERVALS:,} row intervals at {size:,} positions (arrays end at {MAX_DENSE:,})"
        )
    return Mask.from_dense(make())
