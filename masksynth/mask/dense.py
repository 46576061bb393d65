"""Dense rows to row intervals, a chunk of rows at a time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import table_indptr
from masksynth.mask.typing import BoolArray

MAX_DENSE = 8192
"""Number of positions up to which an N x N array is stored or computed."""
ENTRIES_PER_CHUNK = 1 << 23
"""Number of entries of an N x N array that are held at once."""


def rows_per_chunk(size: int) -> int:
    """Return how many rows of ``size`` entries are read at once; at least 1."""
    return max(1, ENTRIES_PER_CHUNK // max(size, 1))


def mask_from_chunks(tables: Iterable[Iterable[BoolArray]], size: int) -> Mask:
    """Return the mask whose tables are given as chunks of dense rows, in order.

    Parameters
    ----------
    tables : iterable of iterables of (rows, size) bool
        For each table its chunks; the rows of a table's chunks add up to ``size``.
    size : int
        Number of positions.

    Examples
    --------
    >>> rows = np.tril(np.ones((3, 3), bool))
    >>> mask_from_chunks([[rows[:2], rows[2:]]], 3) == Mask.from_dense(rows)
    True
    """
    counts = [np.zeros(0, np.int64)]
    starts, ends = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    number = 0
    for table in tables:
        number += 1
        for rows in table:
            # +1 where an interval starts, -1 where it ends; the padding closes intervals at the borders
            edges = np.diff(np.pad(rows.astype(np.int8), ((0, 0), (1, 1))), axis=1)
            counts.append((edges == 1).sum(axis=1))
            starts.append(np.nonzero(edges == 1)[1].astype(np.int32))
            ends.append(np.nonzero(edges == -1)[1].astype(np.int32))
    lengths = np.concatenate(counts).reshape(number, size)
    return Mask(table_indptr(lengths), np.concatenate(starts), np.concatenate(ends))
