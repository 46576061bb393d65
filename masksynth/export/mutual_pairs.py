"""Pairs of a mask whose reverse is allowed too, counted from row and column intervals, never N x N where N is large."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import Unsupported
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.export.row_intervals import column_counts, columns_of, rows_of
from masksynth.mask import Mask

Ints = NDArray[np.int64]
MOST_INTERVALS = 1 << 24
"""Most intervals of columns that are written out."""


def mutual_pairs(mask: Mask, table: int = 0) -> int:
    """Pairs (i, j) such that (j, i) is allowed too, i = j included: the size of the intersection of rows and columns.

    Both are disjoint intervals on one line, at i * (N + 1) + j; the overlap is the sum of F(end) - F(start) over the rows, F(x) being
    how much of the columns lies before x.

    Raises
    ------
    Unsupported
        If the columns fall into more than ``MOST_INTERVALS`` intervals and the mask is too large for an array.

    Examples
    --------
    >>> mutual_pairs(Mask.from_dense(np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]]) > 0))
    3
    """
    if int(column_counts(mask, table).sum()) > MOST_INTERVALS:
        if mask.size > MAX_DENSE:
            raise Unsupported(
                f"the columns fall into more than {MOST_INTERVALS:,} intervals; sort the positions, or take a part of the mask"
            )
        dense = mask.dense().reshape(-1, mask.size, mask.size)[table]
        return int((dense & dense.T).sum())
    query, start, end = rows_of(mask, table)
    columns = columns_of(mask, table)
    line = query * (mask.size + 1)
    other = np.repeat(np.arange(mask.size, dtype=np.int64), np.diff(columns.offset)) * (mask.size + 1)
    before = _measure(other + columns.start, other + columns.end)
    return int((before(line + end) - before(line + start)).sum())


def _measure(start: Ints, end: Ints) -> Callable[[Ints], Ints]:
    """F(x) = how many integers below x lie in sorted disjoint intervals."""
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(end - start)])

    def before(x: Ints) -> Ints:
        opened = np.searchsorted(start, x)
        last = np.concatenate([np.zeros(1, np.int64), end])[opened]
        return total[opened] - np.maximum(last - x, 0)

    return before


def diagonal_pairs(mask: Mask, table: int = 0) -> int:
    """Tr(M): positions that may attend to themselves."""
    query, start, end = rows_of(mask, table)
    return int(((start <= query) & (query < end)).sum())
