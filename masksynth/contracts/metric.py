"""Distances between elements on a line, on a grid, in a tree and in a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from masksynth.contracts.model import Elements
from masksynth.contracts.spaces import generations
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array


def distances(elements: Elements) -> Int32Array:
    """Return the distance of each two elements, as (n, n) int32.

    Parameters
    ----------
    elements : Elements
        Without a space they lie on a line, in order: |i - j|. On a grid distances are Chebyshev's (the largest
        difference of two coordinates, so that a ball is a square) or, with ``"metric": "manhattan"``, sums of
        differences. In a tree and in a graph they are lengths of shortest paths.

    Examples
    --------
    >>> distances(Elements((0, 1, 2), (0, 1, 2), {"tree": [None, 0, 0]})).tolist()
    [[0, 1, 1], [1, 0, 2], [1, 2, 0]]
    """
    space = elements.space
    if "tree" in space:
        return _tree_distances(space["tree"])
    if "graph" in space:
        return _graph_distances(elements.count, space["graph"]["edges"])
    every = np.arange(elements.count)[:, None]
    return distances_from(elements, every)


def distances_from(elements: Elements, rows: Int64Array) -> Int32Array:
    """Return the distances of some elements on a line or on a grid from every element, as (r, n) int32.

    Parameters
    ----------
    elements : Elements
    rows : (r, 1) int64
        Indices of the elements.
    """
    shape = elements.space.get("grid", [elements.count])
    is_sum = elements.space.get("metric") == "manhattan"
    total = np.zeros((len(rows), elements.count), np.int32)
    coordinates = np.unravel_index(np.arange(elements.count), shape)
    for axis in coordinates:
        difference = np.abs(axis[rows] - axis).astype(np.int32)
        total = total + difference if is_sum else np.maximum(total, difference)
    return total


def _tree_distances(parents: Sequence[int | None]) -> Int32Array:
    """Return path lengths in a tree: from a node to those that came before it is one more than from its parent."""
    up = np.array([0 if parent is None else parent for parent in parents], np.int64)
    order = np.concatenate(generations(parents))
    total = np.zeros((len(parents), len(parents)), np.int32)
    for index, node in enumerate(order[1:].tolist(), start=1):
        before = order[:index]
        total[node, before] = total[before, node] = total[up[node], before] + 1
    return total


def _graph_distances(count: int, edges: Sequence[Sequence[int]]) -> Int32Array:
    """Return shortest path lengths: the number of rounds until a breadth-first search from each node meets each other.

    All searches advance together, one step a round, as rows of bits.
    """
    ends = np.array(edges, np.int64).reshape(-1, 2)
    near = _adjacency(count, ends)
    total = np.zeros((count, count), np.int32)
    reached = np.eye(count, dtype=bool)
    while not reached.all():
        total += ~reached  # a pair that is not reached yet is at least one step farther apart
        following = reached.copy()
        for node in range(count):
            following[node] |= reached[near[node]].any(axis=0)
        reached = following
    return total


def _adjacency(count: int, ends: Int64Array) -> list[Int64Array]:
    both = np.concatenate([ends, ends[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    return np.split(both[:, 1], np.searchsorted(both[:, 0], np.arange(1, count)))


def subtrees(parents: Sequence[int | None]) -> BoolArray:
    """Return (n, n) bool: whether element w lies in the subtree of v, the root of which is v.

    Examples
    --------
    >>> subtrees([None, 0, 0]).astype(int).tolist()
    [[1, 1, 1], [0, 1, 0], [0, 0, 1]]
    """
    inside = np.eye(len(parents), dtype=bool)
    for level in reversed(generations(parents)[1:]):
        for node in level.tolist():
            inside[parents[node]] |= inside[node]
    return inside
