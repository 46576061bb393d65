"""Forests in a mask: positions whose row is their own position and the row of their parent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.tree_rows import find_parents
from masksynth.mask.typing import Float64Array, Int64Array


@dataclass(frozen=True)
class Forest:
    """A forest of U units: maximal paths whose nodes, except the last, have one child.

    Parameters
    ----------
    nodes : (N,) int64
        Positions, unit after unit, each from the top down.
    start : (U + 1,) int64
        Where each unit begins in ``nodes``; a unit is after the unit above it.
    parent : (U,) int64
        Unit above, -1 for a root.
    weight : (U,) int64
        Number of positions in the unit and below it.
    """

    nodes: Int64Array
    start: Int64Array
    parent: Int64Array
    weight: Int64Array

    def order(self, rank: Float64Array) -> tuple[Int64Array, Int64Array]:
        """Return the depth-first order with siblings and roots sorted by ``rank``, and its units in order."""
        below: list[list[int]] = [[] for _ in range(len(self.parent) + 1)]
        for unit in np.argsort(-rank, kind="stable").tolist():
            below[int(self.parent[unit])].append(unit)
        stack, units = below[-1], []
        while stack:
            unit = stack.pop()
            units.append(unit)
            stack += below[unit]
        return self.list_positions(np.array(units, np.int64)), np.array(units, np.int64)

    def list_positions(self, units: Int64Array) -> Int64Array:
        """Return the positions of the given units, unit after unit."""
        length = np.diff(self.start)[units]
        return self.nodes[repeat_ranges(self.start[units], length)]


def find_forest(mask: Mask) -> Int64Array | None:
    """Return the parent of each position (-1 for a root) if the rows of a mask are those of a forest, else None.

    In a forest each row consists of the position itself and the row of its parent. A wrong match would only give a
    worse order, since costs are counted exactly.

    Examples
    --------
    >>> tree = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]], bool)
    >>> find_forest(Mask.from_dense(tree)), find_forest(Mask.from_dense(tree.T))
    (array([-1,  0,  0]), None)
    """
    if mask.tables != 1:
        return None
    parent = find_parents(mask)
    return None if (parent < -1).any() else parent


def build_forest(parent: Int64Array, depth: Int64Array) -> Forest:
    """Return the units of a forest, numbered level by level, then by the lowest position of their tops.

    Parameters
    ----------
    parent : (N,) int64
        As `find_forest` returns it.
    depth : (N,) int64
        Number of keys of each row.

    Examples
    --------
    >>> build_forest(np.array([-1, 0, 1, 1]), np.array([1, 2, 3, 3]))
    Forest(nodes=array([0, 1, 2, 3]), start=array([0, 2, 3, 4]), parent=array([-1,  0,  0]), weight=array([4, 1, 1]))
    """
    size = len(parent)
    children = np.bincount(parent[parent >= 0], minlength=size)
    top = (parent < 0) | (children[parent] != 1)
    head = jump_to_roots(np.where(top, np.arange(size), parent))  # the top of the unit of each position
    tops = np.flatnonzero(top)
    tops = tops[np.argsort(depth[tops], kind="stable")]
    unit_of_top = np.zeros(size, np.int64)
    unit_of_top[tops] = np.arange(len(tops))
    unit = unit_of_top[head]
    nodes = np.lexsort((depth, unit))
    start = indptr(np.bincount(unit, minlength=len(tops)))
    above = np.where(parent[tops] < 0, -1, unit[parent[tops]])
    weight = np.diff(start)
    for number in range(len(tops) - 1, -1, -1):
        if above[number] >= 0:
            weight[above[number]] += weight[number]
    return Forest(nodes, start, above, weight)


def jump_to_roots(above: Int64Array) -> Int64Array:
    """Return the root above each unit, by pointer jumping."""
    while (above[above] != above).any():
        above = above[above]
    return above
