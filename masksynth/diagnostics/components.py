"""Find the connected components of a mask from row intervals."""

from __future__ import annotations

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.intervals import count_covering, row_intervals
from masksynth.mask.typing import Int64Array


def part_of(mask: Mask, table: int = 0) -> Int64Array:
    """Return the component of each position, (N,); no position attends to one of another component.

    A position that neither attends nor is attended to belongs to no component: -1.

    Examples
    --------
    >>> part_of(Mask.from_dense(np.kron(np.eye(2), np.ones((2, 2))) > 0)).tolist()
    [0, 0, 1, 1]
    """
    query, start, end = row_intervals(mask, table)
    part = np.full(mask.size, -1)
    if not len(query):
        return part
    run = _runs(start, end, mask.size)
    label = _least(run[query], run[start], int(run[-1]) + 1)[run]
    has_pair = count_covering((query, start, end), mask.size) > 0
    has_pair[query] = True
    part[has_pair] = np.unique(label[has_pair], return_inverse=True)[1]
    return part


def mask_parts(mask: Mask, table: int = 0) -> int:
    """Count the connected components of a mask, without positions that have no pair.

    Examples
    --------
    >>> mask_parts(Mask.from_dense(np.tri(4, dtype=bool)))
    1
    >>> mask_parts(Mask.from_dense(np.kron(np.eye(2), np.ones((3, 3))) > 0))
    2
    """
    return int(part_of(mask, table).max(initial=-1)) + 1


def _runs(start: Int64Array, end: Int64Array, size: int) -> Int64Array:
    """Return the number of the run of each position: p - 1 and p are in one run if an interval contains both."""
    steps = np.bincount(start + 1, minlength=size + 2) - np.bincount(end, minlength=size + 2)
    joined = np.cumsum(steps)[:size] > 0
    return np.cumsum(~joined) - 1


def _least(left: Int64Array, right: Int64Array, count: int) -> Int64Array:
    """Return the least number that each can reach along the edges between ``left`` and ``right``, (count,)."""
    label = np.arange(count)
    while (label[left] != label[right]).any():
        least = np.minimum(label[left], label[right])
        for ends in (label[left], label[right]):
            np.minimum.at(label, ends, least)
        while (label[label] != label).any():
            label = label[label]
    return label
