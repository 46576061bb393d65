"""Represent rooted trees over positions (signal hierarchies) as arrays in level order.

Level order: the root is node 0, a level follows the one above it, and the children of a node are neighbours. A *family*
is the children of one node; M is the number of families (nodes that are not leaves), b the size of the largest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from masksynth.booleans import holds_booleans
from masksynth.errors import InvalidInstance
from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import Int64Array


class Families(NamedTuple):
    """F families at one depth with b children each: node numbers ``parent`` (F,) and ``child`` (F, b)."""

    parent: Int64Array
    child: Int64Array


@dataclass(frozen=True, eq=False)
class Tree:
    """A signal hierarchy over positions 0, ..., N - 1, from `tree_of_lists`, `tree_of_parents` or `windows`.

    Parameters
    ----------
    parent : (V,) int64
        The parent of each node in level order; -1 for the root, node 0.
    position : (V,) int64
        The position of each leaf, -1 for the others; every position is one leaf.

    Raises
    ------
    InvalidInstance
        In one line: no nodes, no level order, an empty family, a position in two families or in none.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.nested_lists import tree_of_lists
    >>> tree = tree_of_lists([[0, 1], [2, 3, 4]])
    >>> tree.size, tree.families, tree.largest, tree.depth, tree.count.tolist()
    (5, 3, 3, 2, [5, 2, 3, 1, 1, 1, 1, 1])
    """

    parent: Int64Array
    position: Int64Array

    def __post_init__(self) -> None:
        parent, position = (np.ascontiguousarray(a) for a in (self.parent, self.position))
        if parent.ndim != 1 or parent.shape != position.shape or not len(parent):
            raise InvalidInstance("the tree is empty", remedy="give at least one position")
        if any(array.dtype.kind not in "iu" for array in (parent, position)):
            raise InvalidInstance(f"expected integers as parent and position, got {parent.dtype} and {position.dtype}")
        parent, position = parent.astype(np.int64), position.astype(np.int64)
        if (
            parent[0] != -1
            or (parent[1:] < 0).any()
            or (parent >= np.arange(len(parent))).any()
            or (np.diff(parent) < 0).any()
        ):
            raise InvalidInstance("the nodes are not in level order", remedy="make the tree with tree_of_parents")
        _check_leaves(parent, position)
        for name, array in (("parent", parent), ("position", position)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __repr__(self) -> str:
        families = "1 family" if self.families == 1 else f"{self.families} families"
        return f"Tree({self.size} positions, {families} of at most {self.largest}, depth {self.depth})"

    @property
    def size(self) -> int:
        """Number of positions, N."""
        return len(self.order)

    @property
    def nodes(self) -> int:
        """Number of nodes, V."""
        return len(self.parent)

    @property
    def families(self) -> int:
        """Number of families, M."""
        return self.nodes - self.size

    @property
    def largest(self) -> int:
        """Largest number of children of a node, the paper's b; 0 where the root is a leaf."""
        return int(np.diff(self.child_offset).max())

    @property
    def depth(self) -> int:
        """Largest number of steps from the root to a leaf."""
        return len(self.level_offset) - 2

    @property
    def sibling_pairs(self) -> int:
        """Sum of b^2 over the families: pairs of siblings, each node with itself included."""
        return int((np.diff(self.child_offset) ** 2).sum())

    @cached_property
    def child_offset(self) -> Int64Array:
        """Row pointers, (V + 1,): node v has the children ``child_offset[v] .. child_offset[v + 1] - 1``."""
        return 1 + indptr(np.bincount(self.parent[1:], minlength=self.nodes))

    @cached_property
    def level_offset(self) -> Int64Array:
        """Row pointers of levels, (depth + 2,): depth l has ``range(level_offset[l], level_offset[l + 1])``."""
        result = [0, 1]
        while result[-1] < self.nodes:
            result.append(int(self.child_offset[result[-1]]))
        return np.array(result)

    @cached_property
    def count(self) -> Int64Array:
        """Number of leaves below each node, itself included, (V,)."""
        result = (self.position >= 0).astype(np.int64)
        for low, high in self.levels[:0:-1]:
            base = int(self.parent[low])
            sums = np.bincount(self.parent[low:high] - base, weights=result[low:high]).astype(np.int64)
            result[base : base + len(sums)] += sums
        return result

    @cached_property
    def first(self) -> Int64Array:
        """Rank of the first leaf below each node, (V,); its leaves are ``first[v] .. first[v] + count[v] - 1``."""
        result = np.zeros(self.nodes, np.int64)
        for low, high in self.levels[1:]:
            before = np.cumsum(self.count[low:high]) - self.count[low:high]
            family = self.parent[low:high]
            result[low:high] = result[family] + before - before[self.child_offset[family] - low]
        return result

    @cached_property
    def leaves(self) -> Int64Array:
        """The leaves from left to right, as nodes, (N,)."""
        result = np.flatnonzero(self.position >= 0)
        return result[np.argsort(self.first[result])]

    @cached_property
    def order(self) -> Int64Array:
        """The positions of the leaves from left to right, (N,)."""
        result = np.flatnonzero(self.position >= 0)
        return self.position[result] if len(result) == 1 else self.position[self.leaves]

    @cached_property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Half-open ranges of nodes of the levels, from the root down."""
        return tuple(pairwise(self.level_offset.tolist()))

    @cached_property
    def plan(self) -> tuple[tuple[Families, ...], ...]:
        """Families of each depth of parents, from the root down, those of one size together."""
        return tuple(self._families(low, high) for low, high in self.levels[:-1])

    def _families(self, low: int, high: int) -> tuple[Families, ...]:
        count = np.diff(self.child_offset[low : high + 1])
        groups = []
        for size in np.unique(count[count > 0]).tolist():
            parents = low + np.flatnonzero(count == size)
            groups.append(Families(parents, self.child_offset[parents][:, None] + np.arange(size)))
        return tuple(groups)


def _check_leaves(parent: Int64Array, position: Int64Array) -> None:
    """Check that each leaf has a position, other nodes none, and that the positions are 0, ..., N - 1."""
    has_children = np.bincount(parent[1:], minlength=len(parent)) > 0
    if (empty := np.flatnonzero(~has_children & (position < 0))).size:
        raise InvalidInstance(
            f"the family of node {empty[0]} is empty" if len(parent) > 1 else "the tree is empty", remedy="leave it out"
        )
    if (both := np.flatnonzero(has_children & (position >= 0))).size:
        raise InvalidInstance(f"position {position[both[0]]} has children", remedy="give positions to leaves only")
    leaves = np.sort(position[~has_children])
    if (twice := leaves[1:][leaves[1:] == leaves[:-1]]).size:
        raise InvalidInstance(
            f"position {twice[0]} occurs more than once among the leaves", remedy="give each position exactly once"
        )
    if leaves[-1] != len(leaves) - 1:
        missing = int(np.flatnonzero(leaves != np.arange(len(leaves)))[0])
        raise InvalidInstance(
            f"position {missing} is missing, although there is position {leaves[-1]}",
            remedy="give each position from 0 on exactly once",
        )


def tree_of_parents(parent: ArrayLike, position: ArrayLike) -> Tree:
    """Build the tree in which node v has parent ``parent[v]`` (-1: root) and position ``position[v]`` (-1: no leaf).

    Nodes may be numbered in any way; the children of a node are in the order of their numbers.

    Raises
    ------
    InvalidInstance
        If there is not exactly one root, a parent is not a node, nodes form a cycle, or `Tree` refuses.

    Examples
    --------
    >>> tree_of_parents([-1, 0, 0, 2, 2], [-1, 0, -1, 1, 2]).parent.tolist()
    [-1, 0, 0, 2, 2]
    """
    parents, positions = (_integers(value) for value in (parent, position))
    if not len(parents) and not len(positions):
        raise InvalidInstance("the tree is empty", remedy="give at least one position")
    if parents.shape != positions.shape:
        raise InvalidInstance(
            f"{len(parents)} parents for {len(positions)} nodes",
            remedy="give one parent and one position for each node",
        )
    roots = np.flatnonzero(parents == -1)
    if (outside := np.flatnonzero((parents < -1) | (parents >= len(parents)))).size:
        raise InvalidInstance(
            f"node {outside[0]} has parent {parents[outside[0]]} of {len(parents)} nodes", remedy="count nodes from 0"
        )
    if len(roots) > 1:
        raise InvalidInstance(f"nodes {roots[0]} and {roots[1]} are both roots", remedy="give one node the parent -1")
    order = _level_order(parents, roots)
    if len(order) < len(parents):
        raise InvalidInstance(
            f"node {_on_cycle(parents, order)} is its own ancestor: a cycle", remedy="let every node lead to the root"
        )
    number = np.zeros(len(order), np.int64)
    number[order] = np.arange(len(order))
    above = parents[order]
    return Tree(np.where(above < 0, -1, number[above]), positions[order])


def _integers(value: ArrayLike) -> Int64Array:
    try:
        result = np.asarray(value)
    except ValueError:
        result = np.zeros((0, 0))
    result = result.astype(np.int64) if result.shape == (0,) else result
    if result.ndim != 1 or result.dtype.kind not in "iu" or holds_booleans(value):
        raise InvalidInstance(
            "expected lists of integers as parents and positions", remedy="give -1 where there is none"
        )
    return result.astype(np.int64)


def _level_order(parents: Int64Array, frontier: Int64Array) -> Int64Array:
    """Return the nodes that lead to the root, level by level."""
    children = np.argsort(parents, kind="stable")
    cut = np.searchsorted(parents[children], np.arange(len(parents) + 1))
    result = [frontier]
    while len(frontier):
        frontier = children[repeat_ranges(cut[frontier], cut[frontier + 1] - cut[frontier])]
        result.append(frontier)
    return np.concatenate(result)


def _on_cycle(parents: Int64Array, reached: Int64Array) -> int:
    node = int(np.setdiff1d(np.arange(len(parents)), reached)[0])
    for _ in range(len(parents)):  # after V steps up a walk that never ends is on its cycle
        node = int(parents[node])
    return node
