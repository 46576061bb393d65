"""Distances between elements on a line, on a grid, in a tree and in a graph."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from masksynth.contracts.element_sets import packed_rows
from masksynth.contracts.model import Elements
from masksynth.contracts.spaces import generations
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Int32Array, Int64Array, UInt64Array

MAX_DISTANCES = 16_384
"""Maximal number of elements all of whose distances are computed (1 GiB)."""

BIT_ROUNDS = 8
"""Rounds of a search from all nodes of a graph that are made on rows of bits; then pairs of nodes are followed."""


def distances(elements: Elements) -> Int32Array:
    """Return the distance of each two elements, as (n, n) int32, for at most ``MAX_DISTANCES`` elements.

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
    if elements.count > MAX_DISTANCES:
        fact = f"distances of {elements.count} elements, more than {MAX_DISTANCES}"
        raise InvalidInstance(fact, "$.elements", "give fewer elements")
    if "tree" in space:
        return _tree_distances(space["tree"])
    if "graph" in space:
        return _graph_distances(elements)
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


def _graph_distances(elements: Elements) -> Int32Array:
    """Return shortest path lengths of a connected graph: the round in which each element is reached from each other.

    Rounds on rows of bits cost the same however few elements they reach, so after ``BIT_ROUNDS`` only the pairs that
    the last round reached are followed: each pair then costs its degree, once.
    """
    n = elements.count
    total = np.zeros((n, n), np.int32)
    row = column = np.arange(n)
    before = None
    for distance, reached in enumerate(islice(_growing_balls(elements), BIT_ROUNDS + 1)):
        if before is not None:
            row, column = _members(reached & ~before)
            total[row, column] = distance
        before = reached
    if np.count_nonzero(total) < n * (n - 1):
        _follow_pairs(total, row, column, *_neighbours(elements))
    return total


def _follow_pairs(
    total: Int32Array, row: Int64Array, column: Int64Array, neighbour: Int64Array, first: Int64Array
) -> None:
    """Write the distances beyond those of the pairs (row, column), all of which are equal, round by round.

    Parameters
    ----------
    total : (n, n) int32
        Distances so far; 0 where none is known, and on the diagonal.
    row, column : (p,) int64
        The pairs reached last.
    neighbour, first : (2 m,) int64, (n + 1,) int64
        Neighbours of each element, as in CSR.
    """
    n, flat = len(total), total.reshape(-1)
    distance = int(total[row[0], column[0]])
    while len(row):
        distance += 1
        degree = first[column + 1] - first[column]
        ends = np.cumsum(degree)
        # Entry i of the neighbours of pair p is neighbour[first[column[p]] + i].
        entry = np.arange(ends[-1]) + np.repeat(first[column] - ends + degree, degree)
        row, column = np.repeat(row, degree), neighbour[entry]
        is_new = (flat[row * n + column] == 0) & (row != column)
        code = row[is_new] * n + column[is_new]
        # Of equal codes the last one written is kept.
        flat[code] = np.arange(1, len(code) + 1)
        code = code[flat[code] == np.arange(1, len(code) + 1)]
        flat[code] = distance
        row, column = np.divmod(code, n)


def balls(elements: Elements, radius: int) -> UInt64Array:
    """Return which elements are at most a radius away from each, as (n, ceil(n / 64)) packed words.

    Examples
    --------
    >>> balls(Elements((0, 1, 2), (0, 1, 2), {"tree": [None, 0, 1]}), 1).tolist()
    [[3], [7], [6]]
    """
    n = elements.count
    if "tree" not in elements.space and "graph" not in elements.space:
        return packed_rows(n, n, lambda row: distances_from(elements, row) <= radius)
    return deque(islice(_growing_balls(elements), radius + 1), maxlen=1).pop()


def _growing_balls(elements: Elements) -> Iterator[UInt64Array]:
    """Yield the balls of radius 0, 1, ... in a tree or a graph as packed words, up to the first that is everything.

    Searches from all elements advance together, one step a round, as rows of bits.
    """
    n = elements.count
    neighbour, offset = _neighbours(elements)
    node = np.flatnonzero(np.diff(offset))
    first = offset[node]
    reached = packed_rows(n, n, lambda row: np.arange(n) == row)
    while True:
        yield reached
        following = reached.copy()
        if len(first):
            following[node] |= np.bitwise_or.reduceat(reached[neighbour], first, axis=0)
        if np.array_equal(following, reached):
            return
        reached = following


def _neighbours(elements: Elements) -> tuple[Int64Array, Int64Array]:
    """Return the neighbours of all elements, one after another, and (n + 1,) where those of each begin."""
    ends = np.array(edges_of(elements), np.int64).reshape(-1, 2)
    both = np.concatenate([ends, ends[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    return both[:, 1], np.searchsorted(both[:, 0], np.arange(elements.count + 1))


def edges_of(elements: Elements) -> list[tuple[int, int]]:
    """Return the edges of a tree or a graph, each once and in one direction."""
    if "tree" in elements.space:
        return [(node, parent) for node, parent in enumerate(elements.space["tree"]) if parent is not None]
    return [(a, b) for a, b in elements.space["graph"]["edges"]]


def _members(words: UInt64Array) -> tuple[Int64Array, Int64Array]:
    """Return (row, column) of the set bits of packed rows."""
    row, word = np.nonzero(words)
    octets = words[row, word][:, None].view(np.uint8)
    index, bit = np.nonzero(np.unpackbits(octets, axis=1, bitorder="little"))
    return row[index], word[index] * 64 + bit


def subtrees(parents: Sequence[int | None]) -> UInt64Array:
    """Return which elements lie in the subtree of each, the root of which it is, as (n, ceil(n / 64)) packed words.

    Examples
    --------
    >>> subtrees([None, 0, 0]).tolist()
    [[7], [2], [4]]
    """
    n = len(parents)
    inside = packed_rows(n, n, lambda row: np.arange(n) == row)
    for level in reversed(generations(parents)[1:]):
        for node in level.tolist():
            inside[parents[node]] |= inside[node]
    return inside
