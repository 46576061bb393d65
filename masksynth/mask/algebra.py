"""Boolean algebra on row intervals: products, unions, differences, transposes and powers without an (N, N) array.

All functions take and return masks of one table. ``product(later, earlier)[q, k]`` is true iff ``later[q, m]`` and
``earlier[m, k]`` for some m. An interval of row q with between 2^j and 2^(j + 1) keys is the union of two runs of 2^j
rows of the other factor, and the union of every run of 2^j rows is the union of two runs of half the length: a sparse
table, as for range minima.

References
----------
M. A. Bender, M. Farach-Colton, "The LCA problem revisited", LATIN 2000 (sparse tables for idempotent operations).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.mask.column_intervals import columns, count_column_intervals
from masksynth.mask.dense import MAX_DENSE
from masksynth.mask.intervals import (
    RowIntervals,
    build_mask,
    coalesce,
    coalesce_sorted,
    concatenate_intervals,
    gather_rows,
    row_intervals,
)
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array
from masksynth.posets import compose

INTERVAL_LIMIT = 1 << 22
"""Number of intervals that one step may list; up to ``MAX_DENSE`` positions, a dense array serves beyond that."""


def select_table(mask: Mask, table: int) -> Mask:
    """Return one table of a layer pattern as a mask.

    Examples
    --------
    >>> select_table(Mask.from_intervals([[((0, 1),)], [()]]), 1).pairs
    0
    """
    return build_mask(row_intervals(mask, table), mask.size)


def identity(size: int) -> Mask:
    """Return I: each position attends to itself only."""
    position = np.arange(size, dtype=np.int64)
    return build_mask((position, position, position + 1), size)


def union(first: Mask, second: Mask) -> Mask:
    """Return the pairs in at least one of two masks."""
    return build_mask(coalesce(concatenate_intervals([row_intervals(first), row_intervals(second)])), first.size)


def intersection(first: Mask, second: Mask) -> Mask:
    """Return the pairs in both of two masks.

    Examples
    --------
    >>> print(intersection(Mask.from_intervals([[((0, 2),), ()]]), Mask.from_intervals([[((1, 2),), ((0, 2),)]])))
    · ■
    · ·
    """
    return _combine(first, second, np.logical_and)


def difference(first: Mask, second: Mask) -> Mask:
    """Return the pairs in the first mask and not in the second.

    Examples
    --------
    >>> difference(Mask.from_intervals([[((0, 3),), (), ()]]), identity(3)).intervals(0)
    ((1, 3),)
    """
    return _combine(first, second, np.greater)


def transpose(mask: Mask) -> Mask:
    """Return the mask with queries and keys exchanged.

    Raises
    ------
    Unsupported
        If the columns have more than ``INTERVAL_LIMIT`` intervals and the mask is too large for a dense array.

    Examples
    --------
    >>> transpose(Mask.from_intervals([[(), ((0, 1),)]])).intervals(0)
    ((1, 2),)
    """
    if int(count_column_intervals(mask).sum()) > INTERVAL_LIMIT:
        return _compute_dense(lambda: mask.dense().T, mask.size)
    offset, start, end = columns(mask)
    return Mask(offset[None], start.astype(np.int32), end.astype(np.int32))


def product(later: Mask, earlier: Mask) -> Mask:
    """Return the Boolean product: what a layer with mask ``later`` makes of a flow ``earlier``.

    Raises
    ------
    Unsupported
        If more than ``INTERVAL_LIMIT`` intervals would be listed and the masks are too large for a dense array.

    Examples
    --------
    >>> step = Mask.from_dense(np.eye(4, k=-1, dtype=bool))
    >>> np.argwhere(product(step, step)).tolist()
    [[2, 0], [3, 1]]
    """
    if _rows_touch(earlier):
        query, start, end = row_intervals(later)
        first = _reduce_ranges(np.minimum, earlier.key_start, start, end)
        last = _reduce_ranges(np.maximum, earlier.key_end, start, end)
        return build_mask(coalesce((query, first.astype(np.int64), last.astype(np.int64))), later.size)
    try:
        return build_mask(coalesce(concatenate_intervals(_product_intervals(later, earlier))), later.size)
    except Unsupported:
        return _compute_dense(lambda: compose(later.dense(), earlier.dense()), later.size)


def power(mask: Mask, exponent: int) -> Mask:
    """Return the product of ``exponent`` equal factors, by repeated squaring until a square is idempotent; I for 0.

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
        if exponent and (next_square := product(square, square)) == square:
            return product(square, result)
        square = next_square if exponent else square
    return result


def layer_relations(mask: Mask) -> list[Mask]:
    """Return A_1, ..., A_P: each table with I, since the residual connection keeps what a position had."""
    return [union(select_table(mask, table), identity(mask.size)) for table in range(mask.tables)]


def union_of_tables(mask: Mask) -> Mask:
    """Return the pairs in at least one table of a layer pattern."""
    return reduce(union, (select_table(mask, table) for table in range(mask.tables)))


def restrict(mask: Mask, positions: Int64Array) -> Mask:
    """Return the mask among the given positions, renumbered 0, 1, ...

    Parameters
    ----------
    mask : Mask
        Of one table.
    positions : (m,) integers
        Strictly increasing.

    Examples
    --------
    >>> restrict(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3))]]), np.array([0, 2])).intervals(1)
    ((0, 2),)
    """
    query, start, end = gather_rows(mask, positions)
    start, end = np.searchsorted(positions, start), np.searchsorted(positions, end)  # number of kept positions below
    kept = start < end
    return build_mask(coalesce_sorted(query[kept], start[kept], end[kept]), len(positions))


def attends_to_self(mask: Mask) -> BoolArray:
    """Return whether each row of one table contains its own position, shape (N,).

    Examples
    --------
    >>> attends_to_self(Mask.from_intervals([[((0, 1),), ((0, 1),)]])).tolist()
    [True, False]
    """
    query, start, end = row_intervals(mask)
    return np.bincount(query[(start <= query) & (query < end)], minlength=mask.size) > 0


def is_causal(mask: Mask) -> bool:
    """Return whether no position of any table attends to a later one."""
    tables = (row_intervals(mask, table) for table in range(mask.tables))
    return all(bool((end <= query + 1).all()) for query, _, end in tables)


def check_same_size(first: Mask, second: Mask) -> None:
    """Raise InvalidInstance if two masks have different numbers of positions."""
    if first.size != second.size:
        raise InvalidInstance(
            f"expected masks of equal size, got {first.size} and {second.size} positions",
            "",
            "give two masks of one length",
        )


def _combine(first: Mask, second: Mask, keep: Callable[..., Any]) -> Mask:
    """Return the pairs with ``keep(in first, in second)``, by a sweep over the ends of all intervals."""
    check_same_size(first, second)
    width, codes = first.size + 1, []
    for mask in (first, second):
        query, start, end = row_intervals(mask)
        codes.append(np.stack([query * width + start, query * width + end], axis=1).ravel())
    ends = np.concatenate(codes)
    order = np.argsort(ends, kind="stable")
    ends, from_first = ends[order], order < len(codes[0])
    # after an odd number of a mask's ends one is inside one of its intervals
    wanted = keep((from_first.cumsum() & 1) > 0, ((~from_first).cumsum() & 1) > 0)
    last = np.append(ends[1:] != ends[:-1], True)[: len(ends)]  # several ends at one key count together
    ends, wanted = ends[last], wanted[last]
    next_end = np.concatenate([ends[1:], ends[:1]])  # an interval never ends last, so the wrap-around is not used
    query = ends[wanted] // width
    return build_mask(coalesce((query, ends[wanted] - query * width, next_end[wanted] - query * width)), first.size)


def _rows_touch(mask: Mask) -> bool:
    """Return whether each row is one interval that overlaps or touches those of its neighbours.

    The union of consecutive rows is then one interval, from their least start to their largest end: so in causal masks,
    sliding windows and packed documents.
    """
    start, end = mask.key_start, mask.key_end
    one_each = len(start) == mask.size and bool((np.diff(mask.row_offset[0]) == 1).all())
    return one_each and bool(((start[1:] <= end[:-1]) & (start[:-1] <= end[1:])).all())


def _reduce_ranges(reduce_pair: np.ufunc, values: Int32Array, start: Int64Array, end: Int64Array) -> Int32Array:
    """Return the minimum or maximum of ``values[start[i] : end[i]]`` for each i; no range is empty."""
    length, result, step = end - start, np.empty(len(start), values.dtype), 1
    while step <= int(length.max(initial=0)):
        chosen = np.flatnonzero((length >= step) & (length < 2 * step))
        result[chosen] = reduce_pair(values[start[chosen]], values[end[chosen] - step])
        values = reduce_pair(values[:-step], values[step:])  # of 2 * step values from each index on
        step *= 2
    return result


def _product_intervals(later: Mask, earlier: Mask) -> list[RowIntervals]:
    """Return the rows of ``earlier`` that each row of ``later`` contains, as unions of runs of 2^j rows."""
    query, start, end = row_intervals(later)
    length, runs, parts, step = end - start, earlier, list[RowIntervals](), 1
    listed, longest = 0, int(length.max(initial=0))
    while step <= longest:
        chosen = (length >= step) & (length < 2 * step)
        # two runs of ``step`` rows cover an interval of fewer than 2 * step keys: one from its start, one up to its end
        for first in (start[chosen], end[chosen] - step) if step > 1 else (start[chosen],):
            parts.append(_gather(runs, query[chosen], first))
            listed += len(parts[-1][0])
            _check_count(listed)
        if (step := 2 * step) <= longest:
            runs = _double_runs(runs, step // 2)
    return parts


def _double_runs(runs: Mask, step: int) -> Mask:
    """Return the unions of 2 * ``step`` consecutive rows, from those of ``step``; rows too near the end are empty."""
    first = np.arange(runs.size - 2 * step + 1)
    halves = [_gather(runs, first, first), _gather(runs, first, first + step)]
    return build_mask(coalesce(concatenate_intervals(halves)), runs.size)


def _gather(mask: Mask, query: Int64Array, row: Int64Array) -> RowIntervals:
    """Return the intervals of ``row[i]``, as intervals of ``query[i]``."""
    _check_count(int((mask.row_offset[0, row + 1] - mask.row_offset[0, row]).sum()))
    index, start, end = gather_rows(mask, row)
    return query[index], start, end


def _check_count(intervals: int) -> None:
    if intervals > INTERVAL_LIMIT:
        raise Unsupported(f"more than {INTERVAL_LIMIT:,} row intervals")


def _compute_dense(compute: Callable[[], BoolArray], size: int) -> Mask:
    """Return the mask of a dense array, if one of this size is allowed."""
    if size > MAX_DENSE:
        raise Unsupported(
            f"more than {INTERVAL_LIMIT:,} row intervals at {size:,} positions (dense arrays: up to {MAX_DENSE:,})"
        )
    return Mask.from_dense(compute())
