"""Distances and flows of small graphs, by products of boolean matrices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from masksynth.verify.proof.proof_files import Bools
from masksynth.verify.proof.statement import Edge

Numbers = NDArray[np.int64]


def product(left: Bools, right: Bools) -> Bools:
    """Return the Boolean product: true at (i, j) iff ``left[i, w]`` and ``right[w, j]`` for some w.

    Examples
    --------
    >>> product(np.array([[True, False]]), np.array([[False, True], [True, True]])).tolist()
    [[False, True]]
    """
    # A sum of at most 4096 ones is exact in float32.
    result: Bools = left.astype(np.float32) @ right.astype(np.float32) > 0.5
    return result


def table(size: int, edges: Iterable[Edge]) -> Bools:
    """Return (n, n) bool, true at the edges.

    Examples
    --------
    >>> table(2, [(1, 0)]).tolist()
    [[False, False], [True, False]]
    """
    matrix = np.zeros((size, size), bool)
    for edge in edges:
        matrix[edge] = True
    return matrix


def distances(edges: Bools, most: int) -> Numbers:
    """Return (n, n): the fewest edges of a path q -> ... -> k, at most ``most + 1``; 0 on the diagonal.

    Examples
    --------
    >>> distances(table(3, [(1, 0), (2, 1)]), 1).tolist()
    [[0, 2, 2], [1, 0, 2], [2, 1, 0]]
    """
    within = np.eye(len(edges), dtype=bool)
    longer = np.zeros(edges.shape, np.int64)
    for _ in range(most + 1):
        longer += ~within
        if np.array_equal(wider := within | product(within, edges), within):
            return np.where(within, longer, most + 1)
        within = wider
    return longer


def flow(masks: Iterable[Bools], size: int) -> Bools:
    """Return what each position sees, ``... (A_2 or I)(A_1 or I)``; the first mask is applied first.

    Examples
    --------
    >>> flow([table(3, [(1, 0)]), table(3, [(2, 1)])], 3)[2].tolist()
    [True, True, True]
    """
    seen = np.eye(size, dtype=bool)
    for mask in masks:
        seen = seen | product(mask, seen)
    return seen


def power(mask: Bools, layers: int) -> Bools:
    """Return ``(A or I)^L``, stopping once it is stable.

    Examples
    --------
    >>> power(table(3, [(1, 0), (2, 1)]), 10**9)[2].tolist()
    [True, True, True]
    """
    seen = np.eye(len(mask), dtype=bool)
    for _ in range(min(layers, len(mask))):
        if np.array_equal(wider := seen | product(mask, seen), seen):
            break
        seen = wider
    return seen


def connected(edges: Bools, pair: Edge, most: int) -> bool:
    """Return whether a path of at most ``most`` edges leads from the query to the key of a pair.

    Examples
    --------
    >>> connected(table(3, [(1, 0), (2, 1)]), (2, 0), 1)
    False
    """
    query, key = pair
    seen = np.zeros(len(edges), bool)
    seen[query] = True
    front = seen
    for _ in range(most):
        if seen[key] or not front.any():
            break
        front = edges[front].any(axis=0) & ~seen
        seen = seen | front
    return bool(seen[key])


def useful(distance: Numbers, demands: Iterable[Edge], most: int) -> Bools:
    """Return (n, n) bool: pairs (a, b) with ``dist(q, a) + 1 + dist(b, k) <= most`` for a demand (q, k).

    Demands of one query are treated together: (a, b) helps one of them iff it helps the one whose key is nearest to b.

    Examples
    --------
    >>> useful(distances(table(3, [(1, 0), (2, 1), (2, 0)]), 2), [(2, 0)], 2)[2].tolist()
    [True, True, True]
    """
    keys: dict[int, list[int]] = {}
    for query, key in demands:
        keys.setdefault(query, []).append(key)
    result = np.zeros(distance.shape, bool)
    for query, ends in keys.items():
        nearest = distance[:, ends].min(axis=1)
        result |= distance[query][:, None] + 1 + nearest[None, :] <= most
    return result
