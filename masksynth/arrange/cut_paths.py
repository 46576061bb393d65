"""Orders of trees in which paths are cut at block borders, so that fewer blocks meet two of them.

In a depth-first order a block border mostly cuts a path: the block row that begins there meets the block of the path's
beginning besides those of the ancestors above the path. If the beginning is moved up, behind the end of the parent path
or behind some path in between, then what lies in between moves down by as much, the path goes on exactly at the border,
and its rows may find the beginning in a block that they meet anyway. Parents stay in front of their children, and each
tree in its range of positions, so the cost of a tree is counted alone.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

import numpy as np

from masksynth.arrange.forest import Forest
from masksynth.mask.csr import repeat_ranges
from masksynth.mask.typing import Int64Array

Slice = tuple[int, int, int]
"""(unit, first node, number of nodes): consecutive nodes of a unit of a forest."""
PLACES = 6
"""Places that are tried for the beginning of a path."""
VISITS = 4_000_000
"""Limit on the slices that are visited, over all trees (about two seconds)."""
PASSES = 3
"""Passes over the borders of a tree."""


def cut_paths(trees: Forest, units: Int64Array, block: int) -> Int64Array:
    """Return an order of the positions in which beginnings of paths are moved up where that saves blocks.

    Parameters
    ----------
    trees : Forest
    units : (U,) int64
        All units in depth-first order.
    block : int

    Returns
    -------
    (N,) int64
    """
    parent, length = trees.parent.tolist(), np.diff(trees.start)
    slices: list[Slice] = []
    start, visits = 0, VISITS
    for part in np.split(units, np.flatnonzero(trees.parent[units] < 0)[1:]):
        tree, _, visits = _cut_tree(list_slices(part, length), parent, start, block, visits)
        slices += tree
        start += sum(count for _, _, count in tree)
    unit, begin, count = np.array(slices, np.int64).reshape(-1, 3).T
    return trees.nodes[repeat_ranges(trees.start[unit] + begin, count)]


def count_saved(trees: Forest, layouts: list[list[Int64Array]], layout: Int64Array, block: int) -> Int64Array:
    """Return how many blocks cutting saves for each tree at each offset, (trees, B); 0 beyond the limit of visits.

    Parameters
    ----------
    trees : Forest
    layouts : list of lists of (units,) int64
        Depth-first orders of the units of each tree.
    layout : (trees, B) int64
        Order of each tree at each offset, an index into ``layouts``.
    block : int
    """
    parent, length = trees.parent.tolist(), np.diff(trees.start)
    saved, visits = np.zeros(layout.shape, np.int64), VISITS
    for number, offset in np.ndindex(layout.shape):
        if visits < 0:
            break
        tree = list_slices(layouts[layout[number, offset]][number], length)
        if len(tree) > 1:
            _, saved[number, offset], visits = _cut_tree(tree, parent, offset, block, visits)
    return saved


def list_slices(units: Int64Array, length: Int64Array) -> list[Slice]:
    """Return complete units as slices."""
    return [(unit, 0, count) for unit, count in zip(units.tolist(), length[units].tolist(), strict=True)]


def count_met(tree: list[Slice], parent: list[int], start: int, block: int) -> int:
    """Return the number of blocks that the rows of one tree meet, over the block rows that hold them.

    Parameters
    ----------
    tree : list of Slice
        Parents before children, the nodes of a unit in order.
    parent : list of int
        Unit above each unit, -1 for a root.
    start : int
        Position of the first node.
    block : int

    Examples
    --------
    A path of two nodes with children of five and four nodes, in blocks of four: the second block meets itself and the
    first, the third also the second. With the beginning of the second child moved up, it does not.

    >>> count_met([(0, 0, 2), (1, 0, 5), (2, 0, 4)], [-1, 0, 0], 0, 4)
    6
    >>> count_met([(0, 0, 2), (2, 0, 1), (1, 0, 5), (2, 1, 3)], [-1, 0, 0], 0, 4)
    5
    """
    above: dict[int, int] = {-1: 0}  # for each unit, the blocks of its nodes so far and of their ancestors, as bits
    met: dict[int, int] = {}
    position = start % block
    for unit, _, count in tree:
        bits = above[unit] if unit in above else above[parent[unit]]
        for number in range(position // block, (position + count - 1) // block + 1):
            bits |= 1 << number
            met[number] = met.get(number, 0) | bits
        above[unit] = bits
        position += count
    return sum(bits.bit_count() for bits in met.values())


def _cut_tree(
    tree: list[Slice], parent: list[int], start: int, block: int, visits: int
) -> tuple[list[Slice], int, int]:
    """Return the slices of one tree after the moves that save blocks, how many, and what is left of the visits."""
    size = sum(count for _, _, count in tree)
    best = given = count_met(tree, parent, start, block)
    for _ in range(PASSES):
        before = best
        for border in range((start // block + 1) * block, start + size, block):
            for moved in _move_beginnings(tree, parent, border - start):
                visits -= len(tree)
                if visits < 0:
                    return tree, given - best, visits
                if (cost := count_met(moved, parent, start, block)) < best:
                    best, tree = cost, moved
        if best == before:
            break
    return tree, given - best, visits


def _move_beginnings(tree: list[Slice], parent: list[int], border: int) -> list[list[Slice]]:
    """Return the tree with what the slice across ``border`` has before it moved up to the first possible places."""
    ends = list(accumulate(count for _, _, count in tree))
    index = bisect_left(ends, border)
    unit, first, count = tree[index]
    cut = border - (ends[index] - count)
    if cut == count:  # the border is between two slices
        return []
    upper = unit if first else parent[unit]  # the slice may be moved up to behind the last slice of this unit
    place = 1 + max((at for at in range(index) if tree[at][0] == upper), default=-1)
    head, tail = (unit, first, cut), (unit, first + cut, count - cut)
    return [
        [*tree[:at], head, *tree[at:index], tail, *tree[index + 1 :]] for at in range(place, min(index, place + PLACES))
    ]
