"""Decide reachability without a search: transitive masks, and bounds on what each position reaches."""

from __future__ import annotations

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.algebra import attends_to_self, select_table
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.verify.colour_refinement import draw, row_sums


def is_transitive(mask: Mask) -> bool:
    """Return True if the mask is recognised as transitive: each position attends to all that it reaches, except itself.

    A row, with its own position, is recognised if it is the disjoint union of all positions that have this same row and
    of the row of another position that is recognised. Rows are compared by sums of random words
    (`masksynth.verify.colour_refinement`). False means "not recognised", not "not transitive".

    Examples
    --------
    >>> is_transitive(Mask.from_dense(np.tril(np.ones((5, 5), bool))))
    True
    >>> is_transitive(Mask.from_dense(~np.eye(3, dtype=bool)))
    True
    >>> is_transitive(Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]]))
    False
    """
    if mask.size == 0:
        return True
    words = draw(mask.size, mask.row_offset.tobytes(), mask.key_start.tobytes(), mask.key_end.tobytes())
    sums = _sums_with_itself(mask, 0, words)
    if any((_sums_with_itself(mask, table, words) != sums).any() for table in range(1, mask.tables)):
        return False
    row_sum, group = np.unique(sums, axis=0, return_inverse=True)  # group: positions with equal rows
    group = group.ravel()
    group_sum = np.zeros_like(row_sum)
    np.add.at(group_sum, group, words)
    rest = row_sum - group_sum  # the row without the members of its group: 0, or the sum of another row
    empty = (rest == 0).all(axis=1)
    pair = np.dtype([("a", np.uint64), ("b", np.uint64)])  # two words compared as one value
    rows, sought = (np.ascontiguousarray(part).view(pair).ravel() for part in (row_sum, rest))
    built_on = np.minimum(np.searchsorted(rows, sought), len(rows) - 1)
    return bool((empty | (rows[built_on] == sought)).all()) and _is_well_founded(mask, group, built_on, empty)


def _sums_with_itself(mask: Mask, table: int, words: UInt64Array) -> UInt64Array:
    """Return the sum of words over each row and the row's own position."""
    sums: UInt64Array = row_sums(mask, table, words)
    return sums + np.where(attends_to_self(select_table(mask, table))[:, None], np.uint64(0), words)


def _is_well_founded(mask: Mask, group: Int64Array, built_on: Int64Array, empty: BoolArray) -> bool:
    """Return whether each group's row is longer than the row that it is built on, so that none is built on itself."""
    size = row_sums(mask, 0, np.ones(mask.size, np.int64)) + ~attends_to_self(select_table(mask, 0))
    length = np.zeros(len(empty), np.int64)
    length[group] = size
    return bool((empty | (length[built_on] < length)).all())


def reach_bounds(mask: Mask) -> tuple[Int64Array, Int64Array]:
    """Return a lower and an upper bound on the positions that each position reaches at any depth.

    From a position at or below x one goes up only by a key of a row at or below x. So the prefix maximum of the largest
    key per row, iterated to a fixed point, bounds every position reachable from x; likewise from below. In a causal
    mask with one key from the future only the few rows below that key are then left to be searched.

    Returns
    -------
    low, high : (N,) int64
        Position x reaches only positions of ``low[x]..high[x]``.

    Examples
    --------
    >>> low, high = reach_bounds(Mask.from_intervals([[((0, 1),), ((0, 2), (3, 4)), ((0, 3),), ((0, 4),), ((0, 5),)]]))
    >>> low.tolist(), high.tolist()
    ([0, 0, 0, 0, 0], [0, 3, 3, 3, 4])
    """
    number = np.arange(mask.size)
    low, high = number.copy(), number.copy()
    for table in range(mask.tables):
        offset = mask.row_offset[table]
        filled = np.flatnonzero(np.diff(offset) > 0)
        low[filled] = np.minimum(low[filled], mask.key_start[offset[filled]])
        high[filled] = np.maximum(high[filled], mask.key_end[offset[filled + 1] - 1] - 1)
    return _fixed_point(np.minimum.accumulate(low[::-1])[::-1]), _fixed_point(np.maximum.accumulate(high))


def _fixed_point(step: Int64Array) -> Int64Array:
    """Return the limit of x, step[x], step[step[x]], ... for a monotone step, by pointer doubling."""
    while ((after := step[step]) != step).any():
        step = after
    return step
