"""Dense rows to row intervals, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask

ENTRIES = 1 << 23
"""Most entries of an N x N array that are held at once."""


def rows_at_once(size: int) -> int:
    """How many rows of ``size`` entries are read together."""
    return max(1, ENTRIES // max(size, 1))


def coalesced(tables: Iterable[Iterable[NDArray[np.bool_]]], size: int) -> Mask:
    """The mask whose tables come as stretches of boolean rows, in order.

    Examples
    --------
    >>> rows = np.tril(np.ones((3, 3), bool))
    >>> coalesced([[rows[:2], rows[2:]]], 3) == Mask.from_dense(rows)
    True
    """
    counts, starts, ends = [], [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    number = 0
    for table in tables:
        number += 1
        for rows in table:
            edges = np.diff(np.pad(rows.astype(np.int8), ((0, 0), (1, 1))), axis=1)
            counts.append((edges == 1).sum(axis=1))
            starts.append(np.nonzero(edges == 1)[1].astype(np.int32))
            ends.append(np.nonzero(edges == -1)[1].astype(np.int32))
    offset = np.zeros((number, size + 1), np.int64)
    offset[:, 1:] = np.concatenate([*counts, np.zeros(0, np.int64)]).cumsum().reshape(number, size)
    offset[1:, 0] = offset[:-1, -1]
    return Mask(offset, np.concatenate(starts), np.concatenate(ends))
