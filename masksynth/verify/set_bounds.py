"""A lower bound on the nodes of batches of sets that overlap in any way.

Units (samples, or groups that stay together) need sets of nodes, and each batch holds at most C nodes, among them all
that its units need. Nodes that the same units hold form a *class* K, of weight w(K), held by the units S(K). A batch
that holds K holds all of D(K) = {L : S(L) contains S(K)}, and a class L with S(L) strictly inside S(K) only together
with K. Hence (``docs/theory.md``, section 12) at least

    N(K) = max(1, N(L) for S(L) inside S(K), ceil(sum of w(L) N(L) / (C - h(L)) over these L))

batches hold K, where h(L) is the weight of the classes around L that are not inside K: a batch that holds L has no more
room for classes inside K. The same holds for any dual feasible function of the weights (Fekete and Schepers 2001) in
place of w(L) / (C - w(D(K))): weights above C - w(D(K)) - t count as 1, those below t as 0; or weights count as the
share of a bin that they take if at most k of them fit. Where a class has few
units, the least sum over all partitions of its units is found exactly, and replaces the sum over the classes inside
where it is greater. A unit that needs no node beyond those of another one is left out first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.verify.bin_bounds import count_large, sum_feasible
from masksynth.verify.holder_bounds import count_holders
from masksynth.verify.holder_classes import Holdings, add_everything, drop_dominated
from masksynth.verify.price_bounds import LARGEST, bound_nodes, count_batches
from masksynth.verify.price_sets import tree_of_classes
from masksynth.verify.ragged import prefix_sums, repeat_ranges, row_of_entry

EXACT = 10
"""Most units of a class all partitions of which are tried."""
PAIRS = 1 << 24
"""Most pairs of classes that are compared; beyond it, some classes keep N = 1, which is valid too."""


@dataclass(frozen=True, eq=False)
class Counted:
    """A lower bound on the nodes of all batches, and what prices may raise it with.

    Parameters
    ----------
    bound : int
    holdings : Holdings
        Without units that are inside another one, and with a class of all units.
    most, copies : (K,) int64
        At most this many units of each class fit into a batch; at least this many batches hold it.
    limit : int
    """

    bound: int
    holdings: Holdings
    most: Int64Array
    copies: Int64Array
    limit: int


def bound_sets(holdings: Holdings, limit: int, enough: int = 0) -> int:
    """Return a lower bound on the nodes of all batches.

    Parameters
    ----------
    holdings : Holdings
    limit : int
        Most nodes C of a batch; no unit needs more.
    enough : int
        A number of nodes that is sufficient; prices are sought while the bound is below it.

    Examples
    --------
    Two units of 4 and 3 nodes share 2 of them.

    >>> holdings = Holdings(np.array([2, 2, 1]), np.array([0, 2, 3, 4]), np.array([0, 1, 0, 1]))
    >>> bound_sets(holdings, 5), bound_sets(holdings, 4)
    (5, 7)
    """
    return raise_by_prices(count_sets(holdings, limit), enough)


def count_sets(holdings: Holdings, limit: int) -> Counted:
    """Return the lower bound of `bound_sets` without prices."""
    holdings = add_everything(drop_dominated(holdings))
    held = np.diff(holdings.offset)
    inside, around = _find_nested(holdings, limit)
    most, copies = count_holders(holdings, limit)
    gain: dict[int, int] = {}  # positions that exact partitions prove beyond the sum over the classes inside
    for number in sorted(inside, key=lambda k: (int(held[k]), k)):
        below = inside[number]
        more = _disjoint_gain(holdings, below, gain)
        copies[number] = max(int(copies[number]), _count_copies(holdings, number, below, around, copies, more, limit))
        total = int(holdings.weight[below] @ copies[below]) + more + int(holdings.weight[number] * copies[number])
        if copies[number] > 1 and held[number] <= EXACT:
            exact = _least_partition(holdings, number, np.append(below, number), limit)
            more += max(exact - total, 0)
        if more:
            gain[number] = more
    # the sum ends at the class of all units
    return Counted(int(holdings.weight @ copies) + gain.get(int(np.argmax(held)), 0), holdings, most, copies, limit)


def raise_by_prices(counted: Counted, enough: int) -> int:
    """Return the bound, raised by prices while it is below ``enough``."""
    bound, holdings, limit, copies = counted.bound, counted.holdings, counted.limit, counted.copies.copy()
    held = np.diff(holdings.offset)
    top = int(np.argmax(held))  # the class of all units
    if bound >= enough or int(held[top]) * limit > LARGEST:
        return bound
    tree = tree_of_classes(holdings, counted.most)
    if holdings.weight[top] and held[top] > EXACT:  # a gain is one of classes inside, so that it may be added
        missing = -(-(enough - bound) // int(holdings.weight[top]))
        more = max(count_batches(tree, len(copies), limit, int(copies[top]) + missing) - int(copies[top]), 0)
        copies[top] += more
        bound += more * int(holdings.weight[top])
    return bound if bound >= enough else max(bound, bound_nodes(holdings, tree, copies, limit, enough))


def _count_copies(
    holdings: Holdings,
    number: int,
    below: Int64Array,
    around: dict[int, Int64Array],
    copies: Int64Array,
    more: int,
    limit: int,
) -> int:
    """Return a lower bound on the number of batches that hold a class.

    Parameters
    ----------
    holdings : Holdings
    number : int
    below : (m,) int64
        The classes inside it.
    around : mapping of int to int64 array
        The classes around each class.
    copies : (K,) int64
        Lower bounds for the classes below.
    more : int
        Copies of nodes of the classes below, beyond those, that are proved to be needed.
    limit : int
    """
    weight = holdings.weight
    own = int(weight[number]) + int(weight[around[number]].sum())
    room = limit - own  # for the classes inside
    if not len(below) or room <= 0:
        return 1
    is_below = np.zeros(len(weight), bool)
    is_below[below] = True
    rooms = np.full(len(below), room)
    for index, k in enumerate(below.tolist()):
        if k in around:
            outer = around[k]
            rooms[index] = limit - int(weight[outer[~is_below[outer]]].sum())
    amount = weight[below]
    parts = float((amount * copies[below] / np.maximum(rooms, amount).clip(1)).sum()) + more / room
    parts = max(parts, sum_feasible(amount, copies[below], room), count_large(np.repeat(amount, copies[below]), room))
    return max(int(copies[below].max()), math.ceil(parts - 1e-6))


def _find_nested(holdings: Holdings, limit: int) -> tuple[dict[int, Int64Array], dict[int, Int64Array]]:
    """Return the classes strictly inside each class whose units may need two batches, and those around each class.

    Classes L and K have ``|S(L) & S(K)|`` units in common; L is inside K iff these are all of S(L).
    """
    held = np.diff(holdings.offset)
    owner = row_of_entry(holdings.offset)
    units = int(holdings.unit.max(initial=-1)) + 1
    need = np.zeros(units, np.int64)  # nodes of each unit
    np.add.at(need, holdings.unit, holdings.weight[owner])
    upper = np.zeros(len(held), np.int64)  # of the nodes of all units of each class together
    np.add.at(upper, owner, need[holdings.unit])
    by_unit = np.argsort(holdings.unit, kind="stable")
    degree = np.bincount(holdings.unit, minlength=units)
    start = prefix_sums(degree)
    inside: dict[int, Int64Array] = {}
    around: dict[int, Int64Array] = {}
    budget = PAIRS
    heavy = (held > 1) & (upper > limit)
    for number in sorted(range(len(held)), key=lambda k: (not heavy[k], -int(held[k]), k)):
        units_of = holdings.unit[holdings.offset[number] : holdings.offset[number + 1]]
        if not heavy[number]:
            units_of = units_of[:1] if held[number] == 1 else units_of
        budget -= int(degree[units_of].sum())
        if budget < 0 and inside:
            break
        others = owner[by_unit[repeat_ranges(start[units_of], degree[units_of])]]
        other, common = np.unique(others, return_counts=True)
        if heavy[number]:
            inside[number] = other[(common == held[other]) & (other != number)]
        around[number] = other[(common == held[number]) & (other != number)]
    return inside, around


def _disjoint_gain(holdings: Holdings, below: Int64Array, gain: dict[int, int]) -> int:
    """Return the sum of the gains of classes of pairwise disjoint units, the ones with most units first."""
    chosen = sorted(
        (k for k in below.tolist() if k in gain), key=lambda k: int(holdings.offset[k] - holdings.offset[k + 1])
    )
    taken: set[int] = set()
    total = 0
    for number in chosen:
        units = holdings.unit[holdings.offset[number] : holdings.offset[number + 1]].tolist()
        if taken.isdisjoint(units):
            taken.update(units)
            total += gain[number]
    return total


def _least_partition(holdings: Holdings, number: int, counted: Int64Array, limit: int) -> int:
    """Return the least sum, over the parts of a partition of a class's units, of the counted nodes that each holds.

    A part holds at most ``limit`` nodes, those included that are not counted.

    Parameters
    ----------
    holdings : Holdings
    number : int
        The class.
    counted : (m,) int64
        The classes inside it, and itself.
    limit : int
    """
    units = holdings.unit[holdings.offset[number] : holdings.offset[number + 1]]
    member = np.isin(holdings.unit, units)
    bit = np.left_shift(1, np.searchsorted(units, np.where(member, holdings.unit, units[0])))
    mask = np.zeros(len(holdings.weight), np.int64)  # the units of each class as bits
    np.bitwise_or.at(mask, row_of_entry(holdings.offset)[member], bit[member])
    parts = np.arange(1 << len(units))
    touched = np.unique(row_of_entry(holdings.offset)[member])
    size, cost = np.zeros(len(parts), np.int64), np.zeros(len(parts), np.int64)
    is_counted: BoolArray = np.isin(touched, counted)
    for k, counts in zip(touched.tolist(), is_counted.tolist(), strict=True):
        holds = (parts & mask[k] != 0) * holdings.weight[k]
        size += holds
        cost += holds if counts else 0
    infinite = np.iinfo(np.int64).max // 4
    cost[size > limit] = infinite
    least = np.full(len(parts), infinite)
    least[0] = 0
    for whole in range(1, len(parts)):
        lowest = whole & -whole
        others = parts[: whole + 1][(parts[: whole + 1] & ~(whole ^ lowest)) == 0]  # subsets without the lowest unit
        least[whole] = int((cost[others | lowest] + least[whole ^ lowest ^ others]).min())
    return int(least[-1])
