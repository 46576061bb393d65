"""Fill bins with items: best fit first, and where that takes too many bins, each as full as possible."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

EFFORT = 1 << 31
"""Most bits that are shifted to fill bins as full as possible; beyond it, best fit is enough."""


def bins_of(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Return the items of each bin of at most ``limit``, in few bins.

    Items in a bin are ascending, and bins are sorted by their first item. Best fit decreasing needs at most 11/9 of the
    least number of bins, plus 1 (Johnson, Demers, Ullman, Garey, Graham 1974). Where that is more than the sum of the
    sizes requires, bins are also filled one after another as full as possible, and the fewer bins are returned.

    Parameters
    ----------
    sizes : sequence of int
        Size of each item, at most ``limit``.
    limit : int

    Examples
    --------
    >>> bins_of([3, 5, 2, 4], 7)
    [[0, 3], [1, 2]]
    >>> bins_of([6, 5, 5, 4, 4, 3, 3], 15)
    [[0, 1, 3], [2, 4, 5, 6]]
    """
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
    bins = _fit_best(sizes, order, limit)
    if len(bins) > max(-(-sum(sizes) // max(limit, 1)), 1):
        fuller = _fill_fully(sizes, order, limit)
        bins = bins if fuller is None or len(fuller) >= len(bins) else fuller
    return sorted(sorted(chosen) for chosen in bins)


def _fit_best(sizes: Sequence[int], order: Sequence[int], limit: int) -> list[list[int]]:
    """Return bins to each of which items are added in the given order: an item goes where least room is left."""
    room: list[tuple[int, int]] = []  # (room left, bin), sorted
    bins: list[list[int]] = []
    for item in order:
        size = sizes[item]
        fullest = bisect_left(room, (size, -1))  # the bin with the least room that is enough
        if fullest == len(room):
            bins.append([item])
            insort(room, (limit - size, len(bins) - 1))
        else:
            left, number = room.pop(fullest)
            bins[number].append(item)
            insort(room, (left - size, number))
    return bins


def _fill_fully(sizes: Sequence[int], order: Sequence[int], limit: int) -> list[list[int]] | None:
    """Return bins filled one after another: the largest item left, and a set of others of the greatest sum that fits.

    None if that takes too much effort.

    Parameters
    ----------
    sizes : sequence of int
    order : sequence of int
        The items, the largest first.
    limit : int
    """
    bins: list[list[int]] = []
    left = [item for item in order if sizes[item]]
    effort = EFFORT
    while left:
        first, *others = left
        room = limit - sizes[first]
        mask = (1 << (room + 1)) - 1
        sums = [1]  # bit s of sums[i]: some of the first i others have the sum s
        for item in others:
            if sums[-1] >> room & 1:
                break
            sums.append((sums[-1] | sums[-1] << sizes[item]) & mask)
            effort -= room + 64
        if effort < 0:
            return None
        total = sums[-1].bit_length() - 1
        chosen = {first}
        for i in range(len(sums) - 1, 0, -1):
            if not sums[i - 1] >> total & 1:  # not without this item
                chosen.add(others[i - 1])
                total -= sizes[others[i - 1]]
        bins.append(sorted(chosen))
        left = [item for item in left if item not in chosen]
    empty = [item for item in order if not sizes[item]]
    return [bins[0] + empty, *bins[1:]] if bins else [empty]
