"""Pairs of a mask whose reverse is allowed too, counted from row and column intervals, never N x N where N is large."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from masksynth.errors import Unsupported
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.mask import Mask
from masksynth.mask.column_intervals import columns, count_column_intervals
from masksynth.mask.csr import prefix_sums, row_of_entry
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import Int64Array

MOST_INTERVALS = 1 << 24
"""Maximum number of intervals of columns that are written out."""


def mutual_pairs(mask: Mask, table: int = 0) -> int:
    """Return the number of pairs (i, j), i = j included, of which (j, i) is allowed too.

    It is the size of the intersection of the mask and its transpose. Pair (i, j) is the integer i * (N + 1) + j, so the
    rows and the columns are sorted disjoint intervals of integers; the overlap is the sum of F(end) - F(start) over the
    row intervals, F(x) being the number of integers below x in the column intervals.

    Raises
    ------
    Unsupported
        If the columns have more than ``MOST_INTERVALS`` intervals and the mask is too large for a dense array.

    Examples
    --------
    >>> mutual_pairs(Mask.from_dense(np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]]) > 0))
    3
    """
    if int(count_column_intervals(mask, table).sum()) > MOST_INTERVALS:
        if mask.size > MAX_DENSE:
            fact = f"the columns fall into more than {MOST_INTERVALS:,} intervals"
            raise Unsupported(f"{fact}; sort the positions, or take a part of the mask")
        dense = mask.dense().reshape(-1, mask.size, mask.size)[table]
        return int((dense & dense.T).sum())
    query, start, end = row_intervals(mask, table)
    by_key = columns(mask, table)
    row_code = query * (mask.size + 1)
    key_code = row_of_entry(by_key.offset) * (mask.size + 1)
    count_below = _counter(key_code + by_key.start, key_code + by_key.end)
    return int((count_below(row_code + end) - count_below(row_code + start)).sum())


def _counter(start: Int64Array, end: Int64Array) -> Callable[[Int64Array], Int64Array]:
    """Return F(x), the number of integers below x in sorted disjoint intervals, for arrays of x."""
    total = prefix_sums(end - start)
    ends = np.append(0, end)

    def count_below(x: Int64Array) -> Int64Array:
        opened = np.searchsorted(start, x)
        # All of the intervals that begin below x, without what the last of them has from x on.
        return total[opened] - np.maximum(ends[opened] - x, 0)

    return count_below


def diagonal_pairs(mask: Mask, table: int = 0) -> int:
    """Return the number of positions that attend to themselves, the trace of the mask."""
    query, start, end = row_intervals(mask, table)
    return int(((start <= query) & (query < end)).sum())
