"""Fast feasible solutions: greedy choice, then reverse delete; minimal under deletion of edges, not optimal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from masksynth.mask.typing import Int32Array
from masksynth.posets import Relation
from masksynth.sparse.reduce import Component, edge_matrix, hop_counts
from masksynth.sparse.sparse_problem import Edge, SparseProblem


def greedy(problem: SparseProblem, forced: frozenset[Edge], component: Component) -> tuple[Edge, ...]:
    """Return edges that, with the forced ones, connect all pairs of a component: most pairs connected per weight first.

    Where no single edge connects a further pair, the first uncovered pair gets a path with the fewest new edges.
    Redundant edges are deleted at the end.

    Parameters
    ----------
    problem : SparseProblem
    forced : frozenset of Edge
        Edges that are in every solution (`Reduction.forced`).
    component : Component

    Notes
    -----
    Each round costs L products of n x n matrices, and there are as many rounds as edges chosen.

    Examples
    --------
    A chain of seven at L = 2, where ten edges are optimal:

    >>> from masksynth.sparse.reduce import reduce
    >>> problem = SparseProblem(np.tril(np.ones((7, 7), bool)), 2)
    >>> reduction = reduce(problem)
    >>> len(reduction.forced) + len(greedy(problem, reduction.forced, reduction.components[0]))
    11
    """
    limit, n = problem.depth, problem.size
    candidate = edge_matrix(n, component.edges)
    weight = np.ones((n, n))
    for edge in component.edges:
        weight[edge] = problem.weight(edge)
    pairs = edge_matrix(n, component.pairs)
    chosen = edge_matrix(n, forced)
    picked: list[Edge] = []
    while True:
        distance = hop_counts(chosen, limit)
        uncovered = pairs & (distance > limit)
        if not uncovered.any():
            break
        gain = np.where(candidate & ~chosen, _gains(distance, uncovered, limit) / weight, 0)
        best = int(gain.argmax())
        if gain.ravel()[best] > 0:
            new_edges = [divmod(best, n)]
        else:
            new_edges = _cheapest_path(chosen, candidate, np.argwhere(uncovered)[0], limit)
        for query, key in new_edges:
            chosen[query, key] = True
            picked.append((int(query), int(key)))
    return reverse_delete(problem, forced, component, picked)


def _gains(distance: Int32Array, uncovered: Relation, limit: int) -> NDArray[np.float32]:
    """Return (n, n) counts: how many uncovered pairs (q, k) each edge (a, b) would connect.

    These are the pairs with distance(q, a) + 1 + distance(b, k) <= limit.
    """
    gain = np.zeros(uncovered.shape, np.float32)
    missing = uncovered.astype(np.float32)
    for before in range(limit):  # distance(q, a) is exactly ``before``, so that each pair is counted once
        from_query = (distance == before).astype(np.float32)
        to_key = (distance <= limit - 1 - before).astype(np.float32)
        gain += from_query.T @ (missing @ to_key.T)
    return gain


def _cheapest_path(chosen: Relation, candidate: Relation, pair: NDArray[np.int64], limit: int) -> list[Edge]:
    """Return the new edges of a walk of at most ``limit`` edges from query to key that has the fewest new edges."""
    n, (query, key) = len(chosen), pair.tolist()
    impossible = 2 * n
    price = np.where(chosen, 0, np.where(candidate, 1, impossible)).astype(np.int64)
    np.fill_diagonal(price, 0)  # waiting costs nothing
    to_key = [np.where(np.arange(n) == key, 0, impossible)]  # to_key[h][v]: least price from v to key in h steps
    for _ in range(limit):
        to_key.append((price + to_key[-1][None, :]).min(axis=1))
    path, position = [], query
    for left in range(limit, 0, -1):
        following = int((price[position] + to_key[left - 1]).argmin())
        if following != position and not chosen[position, following]:
            path.append((position, following))
        position = following
    return path


def reverse_delete(
    problem: SparseProblem, forced: frozenset[Edge], component: Component, picked: Iterable[Edge]
) -> tuple[Edge, ...]:
    """Drop redundant edges: by descending weight, latest first, each edge without which all pairs stay connected.

    Parameters
    ----------
    problem : SparseProblem
    forced : frozenset of Edge
        Edges that are in every solution (`Reduction.forced`); they are never dropped.
    component : Component
    picked : iterable of Edge
        Edges that connect the pairs of the component, in the order in which they were picked.

    Examples
    --------
    >>> problem = SparseProblem(np.tril(np.ones((3, 3), bool)), 2)
    >>> reverse_delete(problem, frozenset({(1, 0), (2, 1)}), Component(((2, 0),), ((2, 0),)), [(2, 0)])
    ()
    """
    limit = problem.depth
    kept = list(dict.fromkeys(picked))
    chosen = edge_matrix(problem.size, forced | set(kept))
    pairs = edge_matrix(problem.size, component.pairs)
    latest_first = list(reversed(kept))
    for edge in sorted(latest_first, key=lambda edge: -problem.weight(edge)):
        chosen[edge] = False
        if (pairs & (hop_counts(chosen, limit) > limit)).any():
            chosen[edge] = True
        else:
            kept.remove(edge)
    return tuple(sorted(kept))


def connects_all(problem: SparseProblem, forced: Iterable[Edge], pairs: Sequence[Edge], edges: Iterable[Edge]) -> bool:
    """Return whether forced and chosen edges together connect every pair within L layers.

    Examples
    --------
    >>> problem = SparseProblem(np.tril(np.ones((3, 3), bool)), 1)
    >>> [connects_all(problem, [(1, 0), (2, 1)], [(2, 0)], edges) for edges in ([], [(2, 0)])]
    [False, True]
    """
    distance = hop_counts(edge_matrix(problem.size, {*forced, *edges}), problem.depth)
    return all(distance[pair] <= problem.depth for pair in pairs)
