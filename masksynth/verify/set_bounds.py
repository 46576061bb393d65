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
from masksynth.verify.ragged import prefix_sums, repeat_ranges, row_of_entry

EXACT = 10
"""Most units of a class all partitions of which are tried."""
WIDEST = 1 << 16
"""Most pairs of classes and units that are compared to leave one unit out."""
PAIRS = 1 << 24
"""Most pairs of classes that are compared; beyond it, some classes keep N = 1, which is valid too."""


@dataclass(frozen=True, eq=False)
class Holdings:
    """Classes of nodes and the units that hold them.

    Parameters
    ----------
    weight : (K,) int64
        Number of nodes of each class.
    offset : (K + 1,) int64
        Row pointers of the classes into ``unit``.
    unit : (p,) int64
        Units 0, 1, ... that hold each class, ascending.
    """

    weight: Int64Array
    offset: Int64Array
    unit: Int64Array


def classes_of_nodes(node: Int64Array, unit: Int64Array, weight: Int64Array) -> Holdings:
    """Return the classes of nodes that are held by the same units.

    Parameters
    ----------
    node, unit : (p,) int64
        Pairs: a unit holds a node; repeated pairs count once.
    weight : (n,) int64
        Number of nodes that each node stands for.

    Examples
    --------
    >>> holdings = classes_of_nodes(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 0]), np.array([5, 1, 2]))
    >>> sorted(holdings.weight.tolist()), sorted(np.diff(holdings.offset).tolist())
    ([1, 7], [1, 2])
    """
    units = int(unit.max(initial=-1)) + 1
    pair = np.unique(node * units + unit)
    node, unit = pair // max(units, 1), pair % max(units, 1)
    present, count = np.unique(node, return_counts=True)
    offset = prefix_sums(count)
    word = np.random.default_rng(units).integers(0, 2**64, units, np.uint64)
    sums = prefix_sums(word[unit])
    key = sums[offset[1:]] - sums[offset[:-1]] + count.astype(np.uint64)  # equal for equal sets
    _, first, code = np.unique(key, return_index=True, return_inverse=True)
    # nodes whose units are not those of the first one with their key are left out: a bound on the others is valid
    size = np.minimum(count, count[first[code]])
    same = unit[repeat_ranges(offset[:-1], size)] == unit[repeat_ranges(offset[first[code]], size)]
    wrong = count != count[first[code]]
    wrong[np.repeat(np.arange(len(size)), size)[~same]] = True
    total = np.zeros(len(first), np.int64)
    np.add.at(total, code, np.where(wrong, 0, weight[present]))
    return Holdings(total, prefix_sums(count[first]), unit[repeat_ranges(offset[first], count[first])])


def bound_sets(holdings: Holdings, limit: int) -> int:
    """Return a lower bound on the nodes of all batches.

    Parameters
    ----------
    holdings : Holdings
    limit : int
        Most nodes C of a batch; no unit needs more.

    Examples
    --------
    Two units of 4 and 3 nodes share 2 of them.

    >>> holdings = Holdings(np.array([2, 2, 1]), np.array([0, 2, 3, 4]), np.array([0, 1, 0, 1]))
    >>> bound_sets(holdings, 5), bound_sets(holdings, 4)
    (5, 7)
    """
    holdings = _add_everything(_drop_dominated(holdings))
    held = np.diff(holdings.offset)
    inside, around = _find_nested(holdings, limit)
    copies = np.ones(len(held), np.int64)
    gain: dict[int, int] = {}  # positions that exact partitions prove beyond the sum over the classes inside
    for number in sorted(inside, key=lambda k: (int(held[k]), k)):
        below = inside[number]
        more = _disjoint_gain(holdings, below, gain)
        copies[number] = _count_copies(holdings, number, below, around, copies, more, limit)
        total = int(holdings.weight[below] @ copies[below]) + more + int(holdings.weight[number] * copies[number])
        if copies[number] > 1 and held[number] <= EXACT:
            exact = _least_partition(holdings, number, np.append(below, number), limit)
            more += max(exact - total, 0)
        if more:
            gain[number] = more
    return int(holdings.weight @ copies) + gain.get(int(np.argmax(held)), 0)


def _drop_dominated(holdings: Holdings) -> Holdings:
    """Return the holdings without units all classes of which another unit holds too; of equal units the first is left.

    Such a unit can join the other one, whatever the batches are.
    """
    owner = row_of_entry(holdings.offset)
    by_unit = np.argsort(holdings.unit, kind="stable")
    degree = np.bincount(holdings.unit)
    start = prefix_sums(degree)
    held = np.diff(holdings.offset)
    classes = owner[by_unit]
    kept = np.ones(len(degree), bool)
    holds = np.zeros(len(degree), bool)  # whether each unit holds a class; all False between two classes
    for unit in range(len(degree)):
        own = classes[start[unit] : start[unit + 1]]
        fewest = int(own[np.argmin(held[own])]) if len(own) else -1
        if fewest < 0 or held[fewest] == 1 or held[fewest] * len(own) > WIDEST:
            continue
        rivals = holdings.unit[holdings.offset[fewest] : holdings.offset[fewest + 1]]
        rivals = rivals[kept[rivals] & (rivals != unit)]  # one that was left out is inside a unit that was not
        for number in own.tolist():
            members = holdings.unit[holdings.offset[number] : holdings.offset[number + 1]]
            holds[members] = True
            rivals = rivals[holds[rivals]]
            holds[members] = False
            if not len(rivals):
                break
        kept[unit] = not len(rivals)
    entries = kept[holdings.unit]
    renumbered = np.cumsum(kept) - 1
    return classes_of_nodes(owner[entries], renumbered[holdings.unit[entries]], holdings.weight)


def _add_everything(holdings: Holdings) -> Holdings:
    """Return the holdings with a class that all units hold, of no nodes if there is none, where all sums end."""
    units = int(holdings.unit.max(initial=-1)) + 1
    if (np.diff(holdings.offset) == units).any():
        return holdings
    offset = np.append(holdings.offset, len(holdings.unit) + units)
    return Holdings(np.append(holdings.weight, 0), offset, np.append(holdings.unit, np.arange(units)))


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
