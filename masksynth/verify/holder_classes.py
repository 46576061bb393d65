"""Classes of nodes that the same units hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.verify.ragged import prefix_sums, repeat_ranges, row_of_entry

WIDEST = 1 << 16
"""Most pairs of classes and units that are compared to leave one unit out."""


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


def drop_dominated(holdings: Holdings) -> Holdings:
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


def add_everything(holdings: Holdings) -> Holdings:
    """Return the holdings with a class that all units hold, of no nodes if there is none, where all sums end."""
    units = int(holdings.unit.max(initial=-1)) + 1
    if (np.diff(holdings.offset) == units).any():
        return holdings
    offset = np.append(holdings.offset, len(holdings.unit) + units)
    return Holdings(np.append(holdings.weight, 0), offset, np.append(holdings.unit, np.arange(units)))
