"""Positions that are only read: their keys and values are projected, and their states are not updated."""

from __future__ import annotations

from typing import NamedTuple

from masksynth.mask.typing import BoolArray


class Updates(NamedTuple):
    """Counts of an array ``updated``.

    Parameters
    ----------
    updated : int
        Positions that are updated in some layer.
    updates : int
        Updates, summed over layers; at any depth, those of one layer.
    read_only : int
        Positions that are never updated.
    """

    updated: int
    updates: int
    read_only: int


def count_updates(updated: BoolArray) -> Updates:
    """Return how many positions are updated, how often, and how many are only read.

    Parameters
    ----------
    updated : (L, N) or (1, N) bool
        Whether a position is updated in a layer.

    Examples
    --------
    >>> import numpy as np
    >>> count_updates(np.array([[0, 1, 0], [0, 1, 1]], bool))
    Updates(updated=2, updates=3, read_only=1)
    """
    ever = updated.any(axis=0)
    return Updates(int(ever.sum()), int(updated.sum()), int((~ever).sum()))


def layers_of_table(updated: BoolArray, table: int, tables: int) -> BoolArray:
    """Return the rows of ``updated`` of the layers that use a table of a pattern; at any depth, its one row.

    Examples
    --------
    >>> import numpy as np
    >>> layers_of_table(np.eye(3, dtype=bool), 0, 2).astype(int).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    return updated if len(updated) == 1 else updated[table::tables]
