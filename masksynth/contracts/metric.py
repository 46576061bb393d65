"""Distances between elements on a line, on a grid, in a tree and in a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from masksynth.contracts.element_sets import pack
from masksynth.contracts.model import Elements
from masksynth.contracts.spaces import generations
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array, UInt64Array


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
    """Return shortest path lengths of a connected graph: the round in which each element is reached from each other.

    Searches from all elements advance together, one step a round, as rows of bits.
    """
    ends = np.array(edges, np.int64).reshape(-1, 2)
    both = np.concatenate([ends, ends[:, ::-1]])
    node, neighbour = both[np.argsort(both[:, 0], kind="stable")].T
    first = np.flatnonzero(np.diff(node, prepend=-1))
    total = np.zeros((count, count), np.int32)
    reached = pack(np.eye(count, dtype=bool))
    for distance in range(1, count):
        following = reached.copy()
        following[node[first]] |= np.bitwise_or.reduceat(reached[neighbour], first, axis=0)
        row, column = _members(following & ~reached)
        if not len(row):
            break
        total[row, column] = distance
        reached = following
    return total


def _members(words: UInt64Array) -> tuple[Int64Array, Int64Array]:
    """Return (row, column) of the set bits of packed rows."""
    row, word = np.nonzero(words)
    octets = words[row, word][:, None].view(np.uint8)
    index, bit = np.nonzero(np.unpackbits(octets, axis=1, bitorder="little"))
    return row[index], word[index] * 64 + bit


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
