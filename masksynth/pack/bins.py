"""Which samples go into which batch: groups are kept whole where they fit, cut where they must be, and packed best fit first."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.pack.prefix import Forest

Slice = tuple[int, int]


def slices_of(forest: Forest, opens: Int64Array, limit: int) -> list[Slice]:
    """The forest's samples in slices of at most ``limit`` positions each: those that begin at ``opens``, cut further where too long.

    A cut repeats what its two sides share. Among all ways to cut between consecutive samples the one with the fewest positions is taken,
    and of those one with the fewest slices (dynamic programming).

    Examples
    --------
    >>> forest = Forest(np.arange(3), np.array([4, 5, 5]), np.array([0, 3, 1]))
    >>> slices_of(forest, np.array([0]), 7)
    [(0, 2), (2, 3)]
    """
    bounds = [*opens.tolist(), len(forest.samples)]
    total = np.cumsum(forest.length - forest.shared)
    result: list[Slice] = []
    for start, end in pairwise(bounds):
        size = int(total[end - 1] - total[start] + forest.length[start])
        result += [(start, end)] if size <= limit else _cut(forest, start, end, limit)
    return result


def sizes_of(forest: Forest, slices: Sequence[Slice]) -> Int64Array:
    """Number of positions of each slice."""
    total = np.cumsum(forest.length - forest.shared)
    start, end = (np.array([s[i] for s in slices], np.int64) for i in (0, 1))
    return total[end - 1] - total[start] + forest.length[start] if len(slices) else np.zeros(0, np.int64)


def _cut(forest: Forest, start: int, end: int, limit: int) -> list[Slice]:
    length = forest.length[start:end]
    total = np.append(0, np.cumsum(length - forest.shared[start:end]))
    count = end - start
    cost = np.full(count + 1, np.iinfo(np.int64).max)
    before = np.zeros(count + 1, np.int64)
    cost[0] = 0
    low = 0
    for high in range(1, count + 1):
        while total[high] - total[low + 1] > limit:
            low += 1
        size = total[high] - total[low + 1 : high + 1] + length[low:high]
        fits = np.flatnonzero(size <= limit)
        price = cost[low:high][fits] + size[fits] * (count + 1) + 1
        best = int(np.argmin(price))
        cost[high], before[high] = price[best], low + fits[best]
    result: list[Slice] = []
    while count:
        result.append((start + int(before[count]), start + count))
        count = int(before[count])
    return result[::-1]


def bins_of(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Items into bins of at most ``limit``: best fit, largest first; items in a bin and bins by their first item.

    Best fit decreasing needs at most 11/9 of the least number of bins, plus 1 (Johnson, Demers, Ullman, Garey, Graham 1974).

    Examples
    --------
    >>> bins_of([3, 5, 2, 4], 7)
    [[0, 3], [1, 2]]
    """
    room: list[tuple[int, int]] = []
    bins: list[list[int]] = []
    for item in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        size = sizes[item]
        at = bisect_left(room, (size, -1))
        if at == len(room):
            bins.append([item])
            insort(room, (limit - size, len(bins) - 1))
        else:
            left, number = room.pop(at)
            bins[number].append(item)
            insort(room, (left - size, number))
    return sorted(sorted(chosen) for chosen in bins)
