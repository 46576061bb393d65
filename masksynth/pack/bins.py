"""Distribute samples over batches: groups stay together if they fit, else are cut; bins are filled best fit first."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from masksynth.mask.csr import prefix_sums
from masksynth.mask.typing import Int64Array
from masksynth.pack.prefix import Forest

Slice = tuple[int, int]
"""Consecutive samples ``start <= i < end`` of a forest."""


def slices_of(forest: Forest, opens: Int64Array, limit: int) -> list[Slice]:
    """Return the forest's samples in slices of at most ``limit`` positions each.

    A cut repeats the positions that its two sides share. Among all ways to cut between consecutive samples the one with
    the fewest positions is taken, and of those one with the fewest slices (dynamic programming).

    Parameters
    ----------
    forest : Forest
    opens : (c,) int64
        Samples at which a slice begins in any case; the first is 0.
    limit : int
        Most positions of a slice.

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
        # the first sample of a slice shares nothing any more
        size = int(total[end - 1] - total[start] + forest.length[start])
        result += [(start, end)] if size <= limit else _cut_slice(forest, start, end, limit)
    return result


def sizes_of(forest: Forest, slices: Sequence[Slice]) -> Int64Array:
    """Return the number of positions of each slice."""
    if not slices:
        return np.zeros(0, np.int64)
    total = np.cumsum(forest.length - forest.shared)
    start, end = np.array(slices, np.int64).T
    sizes: Int64Array = total[end - 1] - total[start] + forest.length[start]
    return sizes


def _cut_slice(forest: Forest, start: int, end: int, limit: int) -> list[Slice]:
    """Cut consecutive samples into slices of at most ``limit`` positions, by dynamic programming."""
    length = forest.length[start:end]
    total = prefix_sums(length - forest.shared[start:end])
    count = end - start
    # cost[h] of the best cut of the first h samples: positions first, then slices; the last slice begins at before[h]
    cost = np.full(count + 1, np.iinfo(np.int64).max)
    before = np.zeros(count + 1, np.int64)
    cost[0] = 0
    low = 0
    for high in range(1, count + 1):
        while total[high] - total[low + 1] > limit:
            low += 1  # no slice that ends at `high` can begin earlier
        size = total[high] - total[low + 1 : high + 1] + length[low:high]  # of the slices low.., ..., high - 1..high
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
    """Return the items of each bin of at most ``limit``, by best fit, largest item first.

    Items in a bin are ascending, and bins are sorted by their first item. Best fit decreasing needs at most 11/9 of the
    least number of bins, plus 1 (Johnson, Demers, Ullman, Garey, Graham 1974).

    Parameters
    ----------
    sizes : sequence of int
        Size of each item, at most ``limit``.
    limit : int

    Examples
    --------
    >>> bins_of([3, 5, 2, 4], 7)
    [[0, 3], [1, 2]]
    """
    room: list[tuple[int, int]] = []  # (room left, bin), sorted
    bins: list[list[int]] = []
    for item in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        size = sizes[item]
        fullest = bisect_left(room, (size, -1))  # the bin with the least room that is enough
        if fullest == len(room):
            bins.append([item])
            insort(room, (limit - size, len(bins) - 1))
        else:
            left, number = room.pop(fullest)
            bins[number].append(item)
            insort(room, (left - size, number))
    return sorted(sorted(chosen) for chosen in bins)
