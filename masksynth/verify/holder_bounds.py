"""How many holders of a class fit into one batch at most, and so how many batches hold the class at least.

A batch that holds units u of a class K holds all of K and of the classes around K. Every other class L that some of
them hold is held by at most t = min(|S(L) and S(K)|, m(L)) units of one batch, where at most m(L) holders of L fit into
a batch. So each of these units may be charged w(L) / t nodes, and the charges r(u) of the units of a batch sum to at
most its room beside K (``docs/theory.md``, section 12). The units of least charge give m(K); and the bounds of bin
packing, with r(u) as sizes, the number of batches that hold K. Smaller m give greater charges, so this is repeated.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.verify.bin_bounds import count_large, sum_feasible
from masksynth.verify.holder_classes import Holdings
from masksynth.verify.ragged import prefix_sums, repeat_ranges, row_of_entry

PAIRS = 1 << 22
"""Most pairs of a class and a class of one of its units that are compared in a round."""
ROUNDS = 3
SCALE = 1 << 20
"""Charges are integers, in parts of a node; they are rounded down."""


class Holders(NamedTuple):
    """Bounds on the holders of each class.

    Parameters
    ----------
    most : (K,) int64
        At most this many of its units fit into a batch.
    copies : (K,) int64
        At least this many batches hold it.
    """

    most: Int64Array
    copies: Int64Array


def count_holders(holdings: Holdings, limit: int) -> Holders:
    """Return bounds on the number of holders of each class in a batch, and on the batches that hold it.

    Parameters
    ----------
    holdings : Holdings
    limit : int
        Most nodes C of a batch.

    Examples
    --------
    Three units share one node and have 4 nodes each; two of them fit into a batch of 9.

    >>> holdings = Holdings(np.array([1, 3, 3, 3]), np.array([0, 3, 4, 5, 6]), np.array([0, 1, 2, 0, 1, 2]))
    >>> holders = count_holders(holdings, 9)
    >>> holders.most.tolist(), holders.copies.tolist()
    ([2, 1, 1, 1], [2, 1, 1, 1])
    """
    held = np.diff(holdings.offset)
    by_unit = np.argsort(holdings.unit, kind="stable")
    degree = np.bincount(holdings.unit)
    start, classes = prefix_sums(degree), row_of_entry(holdings.offset)[by_unit]
    most, copies = held.copy(), np.ones(len(held), np.int64)
    # classes of least work first: those of few units
    shared = [k for k in np.argsort(held, kind="stable").tolist() if held[k] > 1]
    for _ in range(ROUNDS):
        before, budget = most.copy(), PAIRS
        for number in shared:
            units = holdings.unit[holdings.offset[number] : holdings.offset[number + 1]]
            budget -= int(degree[units].sum())
            if budget < 0:
                break
            other = classes[repeat_ranges(start[units], degree[units])]
            charge, room = _charge_units(holdings, most, degree[units], other, limit)
            fit = int(np.searchsorted(np.cumsum(np.sort(charge)), room, "right"))  # units of least charge
            most[number] = max(1, min(int(most[number]), fit))
            copies[number] = max(int(copies[number]), _count_batches(charge, room, int(most[number])))
        if np.array_equal(before, most):
            break
    return Holders(most, copies)


def _charge_units(
    holdings: Holdings, most: Int64Array, degree: Int64Array, other: Int64Array, limit: int
) -> tuple[Int64Array, int]:
    """Return what each unit of a class is charged, and the room beside the classes that all of them hold, in parts.

    Parameters
    ----------
    holdings : Holdings
    most : (K,) int64
    degree : (u,) int64
        Number of classes of each unit of the class.
    other : (sum of degree,) int64
        These classes, unit after unit.
    limit : int
    """
    kind, inverse, common = np.unique(other, return_inverse=True, return_counts=True)
    everywhere = common == len(degree)
    share = np.where(everywhere, 0, holdings.weight[kind] * SCALE // np.minimum(common, most[kind]))
    sums = prefix_sums(share[inverse])
    end = np.cumsum(degree)
    return sums[end] - sums[end - degree], SCALE * (limit - int(holdings.weight[kind[everywhere]].sum()))


def _count_batches(charge: Int64Array, room: int, most: int) -> int:
    """Return a lower bound on the number of batches that units of given charges need."""
    if room <= 0:
        return 1  # units that are charged nothing share a batch
    parts = max(int(charge.sum()) / room, sum_feasible(charge, np.ones_like(charge), room))
    return max(1, -(-len(charge) // most), math.ceil(parts - 1e-6), count_large(charge, room))
