"""Nodes that units hold, and lower bounds on the batches of these units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask.csr import indptr, prefix_sums, row_of_entry
from masksynth.mask.typing import Int64Array
from masksynth.pack.cut_runs import holders_of_nodes
from masksynth.pack.position_sets import PositionSets
from masksynth.pack.prefix import Forest

DUAL = 20
"""Number of dual feasible functions that bound the number of batches."""


@dataclass(frozen=True, eq=False)
class Holdings:
    """The nodes that each unit holds, of a compressed trie or single positions, and the units that hold each node.

    Parameters
    ----------
    weight : (n,) int64
        Number of positions of each node.
    size : (u,) int64
        Number of positions of each unit.
    node, node_offset : (p,), (u + 1,) int64
        Nodes of each unit.
    unit, unit_offset : (p,), (n + 1,) int64
        Units of each node.
    """

    weight: Int64Array
    size: Int64Array
    node: Int64Array
    node_offset: Int64Array
    unit: Int64Array
    unit_offset: Int64Array


def holdings_of(forest: Forest, unit: Int64Array) -> Holdings:
    """Return the nodes that each unit of a forest holds."""
    node, held, weight = holders_of_nodes(forest, unit)
    units = int(unit.max(initial=-1)) + 1
    by_unit = np.argsort(held, kind="stable")
    size = np.zeros(units, np.int64)
    np.add.at(size, held, weight[node])
    node_offset = indptr(np.bincount(held, minlength=units))
    return Holdings(weight, size, node[by_unit], node_offset, held, indptr(np.bincount(node, minlength=len(weight))))


def holdings_of_sets(sets: PositionSets) -> Holdings:
    """Return the positions that each unit needs, each position as a node."""
    count = np.bincount(sets.position)
    by_position = np.argsort(sets.position, kind="stable")
    units = row_of_entry(sets.offset)[by_position]
    size = np.diff(sets.offset)
    return Holdings(np.ones(len(count), np.int64), size, sets.position, sets.offset, units, indptr(count))


def least_positions(holdings: Holdings, limit: int) -> int:
    """Return a lower bound on the number of positions of any distribution that keeps units whole.

    A batch holds the positions that only its units hold, and those that one of them shares. So batches are at least as
    many as the bins that the former need, and each of them holds the nodes that all units hold.

    Examples
    --------
    >>> forest = Forest(np.arange(3), np.array([5, 5, 5]), np.array([0, 1, 1]))
    >>> least_positions(holdings_of(forest, np.arange(3)), 10)
    14
    """
    count = np.diff(holdings.unit_offset)  # units of each node
    alone = np.where(count == 1, holdings.weight, 0)[holdings.node]
    own = np.diff(prefix_sums(alone)[holdings.node_offset])
    bins = least_bins(own, max(1, limit - int((holdings.size - own).min())))
    return int(holdings.weight.sum()) + (bins - 1) * int(holdings.weight[count == len(holdings.size)].sum())


def least_bins(sizes: Int64Array, room: int) -> int:
    """Return a lower bound on the number of bins: the best of the dual feasible functions of Fekete and Schepers, 2001.

    The function k replaces x = size / room by x if (k + 1) x is an integer, and by floor((k + 1) x) / k otherwise: what
    fits into a bin still does.

    Examples
    --------
    >>> least_bins(np.array([4, 4, 4]), 10), least_bins(np.array([5, 5, 5, 5]), 10)
    (2, 2)
    """
    bounds = [-(-int(sizes.sum()) // room)]
    for k in range(1, DUAL + 1):
        whole, rest = np.divmod((k + 1) * sizes, room)
        parts = np.where(rest == 0, k * whole, (k + 1) * whole)  # in units of 1 / (k (k + 1))
        bounds.append(-(-int(parts.sum()) // (k * (k + 1))))
    return max(1, *bounds)
