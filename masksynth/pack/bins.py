"""Fill bins with items, best fit first."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


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
