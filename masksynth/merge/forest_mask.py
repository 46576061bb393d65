"""The mask of a forest in which each row is the path to the root, as arrays."""

from __future__ import annotations

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import Int64Array


def forest_mask(parent: Int64Array) -> Mask:
    """Return the mask in which the row of each node is the path from it to its root.

    Along heavy paths a row is the part of the node's own path up to the node, and the row of the parent of that path's
    lowest node.

    Parameters
    ----------
    parent : (n,) int64
        The parent of each node, which has a smaller index; -1 for a root.

    Examples
    --------
    >>> print(forest_mask(np.array([-1, 0, 1, 0])))
    ■ · · ·
    ■ ■ · ·
    ■ ■ ■ ·
    ■ · · ■
    """
    place = np.arange(len(parent))
    head = np.flatnonzero(parent != place - 1)  # the lowest node of each path; node 0 has no parent
    head = np.union1d(head, np.zeros(min(len(parent), 1), np.int64))
    path = np.searchsorted(head, place, side="right") - 1
    below = _intervals_below(head.tolist(), parent[head].tolist(), path.tolist())
    base = indptr([len(intervals) for intervals in below])
    start, end = np.array([pair for row in below for pair in row], np.int64).reshape(-1, 2).T
    count = np.diff(base)[path]
    offset = indptr(count + 1)
    own = offset[1:] - 1  # the last interval of each row is on the node's own path
    is_below = np.ones(int(offset[-1]), bool)
    is_below[own] = False
    taken = repeat_ranges(base[:-1][path], count)
    key_start, key_end = np.empty((2, len(is_below)), np.int32)
    key_start[own], key_end[own] = head[path], place + 1
    key_start[is_below], key_end[is_below] = start[taken], end[taken]
    return Mask(offset[None], key_start, key_end)


def _intervals_below(head: list[int], parent: list[int], path: list[int]) -> list[list[tuple[int, int]]]:
    """Return the intervals of the row of the parent of each path, none for a root."""
    below: list[list[tuple[int, int]]] = []
    for lower in parent:
        below.append([*below[path[lower]], (head[path[lower]], lower + 1)] if lower >= 0 else [])
    return below
