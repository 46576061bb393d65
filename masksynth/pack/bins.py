"""Fill bins with items: best fit first, and where that takes too many bins, each as full as possible."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from random import Random

REFILLS = 60
"""How often a few bins are filled anew."""
EFFORT = 1 << 30
"""Most bits that are shifted to fill bins as full as possible; beyond it, best fit is enough."""


def bins_of(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Return the items of each bin of at most ``limit``, in few bins.

    Items in a bin are ascending, and bins are sorted by their first item. Best fit decreasing needs at most 11/9 of the
    least number of bins, plus 1 (Johnson, Demers, Ullman, Garey, Graham 1974). Where that is more than the sum of the
    sizes requires, bins are also filled one after another as full as possible, then a few at a time anew, and the fewer
    bins are returned.

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
    if sum(sizes[item] for item in order[-2:]) > limit:  # no two items fit together
        return [[item] for item in range(len(sizes))]
    bins = _fit_best(sizes, order, limit)
    fewest = max(-(-sum(sizes) // max(limit, 1)), 1)
    if len(bins) > fewest:
        fuller = _fill_fully(sizes, order, limit)
        if fuller is not None:
            empty = [item for item in order if not sizes[item]]
            fuller = _refill(sizes, fuller, limit, fewest)
            fuller[0] = fuller[0] + empty
            bins = min(bins, fuller, key=len)
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
        effort -= len(others) * (limit - sizes[first] + 64)
        if effort < 0:
            return None
        bins.append([first, *fill_room(sizes, others, limit - sizes[first])])
        chosen = set(bins[-1])
        left = [item for item in left if item not in chosen]
    return bins


def fill_room(sizes: Sequence[int] | Mapping[int, int], items: Sequence[int], room: int) -> list[int]:
    """Return items of the greatest sum that is at most ``room``, by dynamic programming over the bits of integers."""
    mask = (1 << (room + 1)) - 1
    sums = [1]  # bit s of sums[i]: some of the first i items have the sum s
    for item in items:
        if sums[-1] >> room & 1:
            break
        sums.append((sums[-1] | sums[-1] << sizes[item]) & mask)
    total = sums[-1].bit_length() - 1
    chosen: list[int] = []
    for i in range(len(sums) - 1, 0, -1):
        if not sums[i - 1] >> total & 1:  # not without this item
            chosen.append(items[i - 1])
            total -= sizes[items[i - 1]]
    return chosen


def _refill(sizes: Sequence[int], bins: list[list[int]], limit: int, fewest: int) -> list[list[int]]:
    """Return as many or fewer bins: a few at a time are filled anew, so that the room left gathers in one of them.

    Parameters
    ----------
    sizes : sequence of int
    bins : list of lists of int
    limit : int
    fewest : int
        A number of bins that is enough.
    """
    rng = Random(0)
    for _ in range(REFILLS):
        if len(bins) <= max(fewest, 1):
            break
        numbers = set(rng.sample(range(len(bins)), min(len(bins), rng.randint(2, 4))))
        old = [bins[number] for number in numbers]
        pool = [item for chosen in old for item in chosen]
        rng.shuffle(pool)
        new: list[list[int]] = []
        while pool and len(new) < len(old):
            first, *others = pool
            new.append([first, *fill_room(sizes, others, limit - sizes[first])])
            chosen = set(new[-1])
            pool = [item for item in pool if item not in chosen]
        if not pool and _squares(sizes, new) >= _squares(sizes, old):
            bins = [each for number, each in enumerate(bins) if number not in numbers] + new
    return bins


def _squares(sizes: Sequence[int], bins: Sequence[Sequence[int]]) -> int:
    """Return the sum of the squares of the sums of the bins: greater, the more unequal they are."""
    return sum(sum(sizes[item] for item in chosen) ** 2 for chosen in bins)
