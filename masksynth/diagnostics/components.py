"""Parts of a mask that see nothing of one another, from row intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masksynth.export.row_intervals import rows_of
from masksynth.mask import Mask

Ints = NDArray[np.int64]


def part_of(mask: Mask, table: int = 0) -> Ints:
    """(N,) the part of each position, such that no position of one part sees, or is seen by, a position of another.

    A position that neither sees nor is seen belongs to no part: -1.

    Examples
    --------
    >>> part_of(Mask.from_dense(np.kron(np.eye(2), np.ones((2, 2))) > 0)).tolist()
    [0, 0, 1, 1]
    """
    query, start, end = rows_of(mask, table)
    found = np.full(mask.size, -1)
    if not len(query):
        return found
    run = _runs(start, end, mask.size)
    label = _least(run[query], run[start], int(run[-1]) + 1)[run]
    steps = np.bincount(start, minlength=mask.size + 1) - np.bincount(end, minlength=mask.size + 1)
    met = np.cumsum(steps)[: mask.size] > 0
    met[query] = True
    found[met] = np.unique(label[met], return_inverse=True)[1]
    return found


def mask_parts(mask: Mask, table: int = 0) -> int:
    """How many parts of a mask see nothing of one another, positions that neither see nor are seen apart.

    Examples
    --------
    >>> mask_parts(Mask.from_dense(np.tri(4, dtype=bool))), mask_parts(Mask.from_dense(np.kron(np.eye(2), np.ones((3, 3))) > 0))
    (1, 2)
    """
    return int(part_of(mask, table).max(initial=-1)) + 1


def _runs(start: Ints, end: Ints, size: int) -> Ints:
    """(N,) number of the run of neighbours that intervals join: p - 1 and p lie in one run if an interval holds both."""
    steps = np.bincount(start + 1, minlength=size + 2) - np.bincount(end, minlength=size + 2)
    joined = np.cumsum(steps)[:size] > 0
    return np.cumsum(~joined) - 1


def _least(one: Ints, other: Ints, count: int) -> Ints:
    """(count,) least number that each can reach along the edges between ``one`` and ``other``."""
    label = np.arange(count)
    while (label[one] != label[other]).any():
        least = np.minimum(label[one], label[other])
        for ends in (label[one], label[other]):
            np.minimum.at(label, ends, least)
        while (label[label] != label).any():
            label = label[label]
    return label
