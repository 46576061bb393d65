"""Rooted trees whose leaves are elements and some of whose nodes are targets, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np

from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.equal_values import distinct
from masksynth.mask.typing import Int64Array


@dataclass(frozen=True, eq=False)
class Tree:
    """A rooted tree over elements; the elements of a node are those of the leaves below it.

    Parameters
    ----------
    parent : (V,) int64
        Parent of each node, which precedes it; -1 for the root, node 0.
    element : (V,) int64
        Element of each leaf; -1 for inner nodes.
    target : (V,) int64
        Target that is predicted from all elements outside the node; -1: none.

    Examples
    --------
    >>> tree = Tree(np.array([-1, 0, 0, 0]), np.array([-1, 0, 1, 2]), np.array([-1, 0, 1, 2]))
    >>> [level.tolist() for level in tree.levels()]
    [[0], [1, 2, 3]]
    """

    parent: Int64Array
    element: Int64Array
    target: Int64Array

    @property
    def size(self) -> int:
        """V, the number of nodes."""
        return len(self.parent)

    def children(self) -> tuple[Int64Array, Int64Array]:
        """Return (indptr, node): the children of each node, ascending."""
        order = np.argsort(self.parent, kind="stable")
        degree = np.bincount(self.parent[1:], minlength=self.size)
        return indptr(degree), order[1:]

    def levels(self) -> list[Int64Array]:
        """Return the nodes at each distance from the root."""
        first, child = self.children()
        levels = [np.zeros(1, np.int64)]
        while len(following := child[repeat_ranges(first[levels[-1]], np.diff(first)[levels[-1]])]):
            levels.append(following)
        return levels


def tree_of_levels(sizes: list[int]) -> Tree:
    """Return the tree with given numbers of nodes at each level, children shared as evenly as possible, leaves last.

    Parameters
    ----------
    sizes : list of int
        Numbers of nodes, from 1, not decreasing; the last is the number of elements, and each leaf is a target.

    Examples
    --------
    >>> tree_of_levels([1, 2, 3]).parent.tolist()
    [-1, 0, 0, 1, 1, 2]
    """
    starts = np.concatenate([[0], np.cumsum(sizes)])
    parents = [np.full(1, -1)]
    for level, (above, here) in enumerate(pairwise(sizes)):
        parents.append(starts[level] + (np.arange(here) * above) // here)
    leaf = np.full(int(starts[-1]), -1)
    leaf[starts[-2] :] = np.arange(sizes[-1])
    return Tree(np.concatenate(parents).astype(np.int64), leaf, leaf.copy())


def tree_of_sets(members: list[Int64Array], count: int) -> Tree | None:
    """Return the tree of a laminar family: node 0 holds all elements, target t is predicted outside of ``members[t]``.

    Equal sets become a chain of nodes, and elements hang below the least set that holds them.

    Parameters
    ----------
    members : list of (m,) int64
        A set of elements for each target, ascending.
    count : int
        n, the number of elements.

    Returns
    -------
    Tree or None
        None if two sets overlap without one holding the other.

    Examples
    --------
    >>> tree = tree_of_sets([np.array([0, 1]), np.array([1])], 3)
    >>> tree.parent.tolist(), tree.element.tolist(), tree.target.tolist()
    ([-1, 0, 0, 1, 1, 3], [-1, -1, 2, -1, 0, 1], [-1, 0, -1, 1, -1, -1])
    """
    order = sorted(range(len(members)), key=lambda t: -len(members[t]))
    innermost = np.zeros(count, np.int64)
    parent, target = [-1], [-1]
    for t in order:
        above = distinct(innermost[members[t]])
        if len(above) > 1:
            return None
        innermost[members[t]] = len(parent)
        # a target that hides nothing, all of which come last, goes below the node before it
        parent.append(int(above[0]) if len(above) else len(parent) - 1)
        target.append(t)
    inner = len(parent)
    everything = np.concatenate([np.array(parent, np.int64), innermost])
    leaf = np.concatenate([np.full(inner, -1), np.arange(count)])
    return breadth_first(Tree(everything, leaf, np.concatenate([np.array(target, np.int64), np.full(count, -1)])))


def breadth_first(tree: Tree) -> Tree:
    """Return the tree with its nodes numbered level by level, so that parents come first."""
    order = np.concatenate(tree.levels())
    rank = np.empty(tree.size, np.int64)
    rank[order] = np.arange(tree.size)
    parent = tree.parent[order]
    parent[1:] = rank[parent[1:]]
    return Tree(parent, tree.element[order], tree.target[order])


def binary_tree(tree: Tree) -> Tree:
    """Return the tree with nodes of at most two children: those without targets joined first, lowest ones first.

    In-place rerooting then has the fewest edges that trees with these sets give: a node costs one edge upwards, and
    downwards three where both children have targets below, one where one has.

    Examples
    --------
    >>> binary_tree(tree_of_levels([1, 4])).parent.tolist()
    [-1, 0, 0, 1, 1, 2, 2]
    """
    height = [0] * tree.size
    demanded = (tree.target >= 0).tolist()
    parent = tree.parent.tolist()
    first, child = tree.children()
    for level in reversed(tree.levels()):
        for node in level[np.diff(first)[level] > 0].tolist():
            below = child[first[node] : first[node + 1]].tolist()
            plain = [(height[x], x) for x in below if not demanded[x]]
            others = [(height[x], x) for x in below if demanded[x]]
            demanded[node] |= bool(others)
            limit = 1 if plain and others else 2
            plain, others = _join_pairs(plain, limit, parent, height), _join_pairs(others, limit, parent, height)
            for _, top in plain + others:
                parent[top] = node
            # elements without targets below them arrive in the layer in which the others are complete, if not later
            arrives = [high + (limit == 1 or len(plain) == 2) for high, _ in plain]
            height[node] = max(arrives + [high + (len(others) == 2) for high, _ in others])
    more = np.full(len(parent) - tree.size, -1)
    everything = Tree(
        np.array(parent, np.int64), np.concatenate([tree.element, more]), np.concatenate([tree.target, more])
    )
    return breadth_first(everything)


def _join_pairs(
    group: list[tuple[int, int]], limit: int, parent: list[int], height: list[int]
) -> list[tuple[int, int]]:
    """Join the two lowest of (height, node) to a new node until at most ``limit`` are left; return these."""
    heapify(group)
    while len(group) > limit:
        (_, low), (high, other) = heappop(group), heappop(group)
        parent[low] = parent[other] = len(parent)
        heappush(group, (high + 1, len(parent)))
        parent.append(-1)
        height.append(high + 1)
    return group
