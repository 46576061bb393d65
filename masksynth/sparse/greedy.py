"""Good solutions fast: greedy choice, then reverse delete. What they give is right and minimal under deletion, not optimal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from masksynth.posets import Relation
from masksynth.sparse.reduce import Hops, Part, hops, relation_of
from masksynth.sparse.sparse_problem import Edge, SparseProblem


def greedy(problem: SparseProblem, sure: frozenset[Edge], part: Part) -> tuple[Edge, ...]:
    """Return edges of a part that meet its demands with the sure ones: the edge that meets most demands per weight first.

    Where no single edge meets a demand, the nearest demand gets a shortest way of edges. What later choices made needless is deleted.

    Notes
    -----
    Each round costs L products of n x n matrices, and there are as many rounds as edges chosen.

    Examples
    --------
    A chain of seven at L = 2, where ten edges are best:

    >>> from masksynth.sparse.reduce import reduce
    >>> problem = SparseProblem(np.tril(np.ones((7, 7), bool)), 2)
    >>> found = reduce(problem)
    >>> len(found.sure) + len(greedy(problem, found.sure, found.parts[0]))
    11
    """
    limit, n = problem.depth, problem.size
    candidate = relation_of(n, part.edges)
    weight = np.ones((n, n))
    for edge in part.edges:
        weight[edge] = problem.weight(edge)
    due = relation_of(n, part.demands)
    chosen = relation_of(n, sure)
    picked: list[Edge] = []
    while True:
        distance = hops(chosen, limit)
        missing = due & (distance > limit)
        if not missing.any():
            break
        gain = np.where(candidate & ~chosen, _gains(distance, missing, limit) / weight, 0)
        best = int(gain.argmax())
        fresh = (
            [divmod(best, n)]
            if gain.ravel()[best] > 0
            else _shortest_way(chosen, candidate, np.argwhere(missing)[0], limit)
        )
        for edge in fresh:
            chosen[edge] = True
            picked.append((int(edge[0]), int(edge[1])))
    return reverse_delete(problem, sure, part, picked)


def _gains(distance: Hops, missing: Relation, limit: int) -> NDArray[np.float32]:
    """For each pair (a, b), how many missing pairs (q, k) the edge would connect: those with distance(q, a) + 1 + distance(b, k) <= L."""
    gain = np.zeros(missing.shape, np.float32)
    wanted = missing.astype(np.float32)
    for before in range(limit):
        starts = (distance == before).astype(np.float32)
        ends = (distance <= limit - 1 - before).astype(np.float32)
        gain += starts.T @ (wanted @ ends.T)
    return gain


def _shortest_way(chosen: Relation, candidate: Relation, pair: NDArray[np.int64], limit: int) -> list[Edge]:
    """The fresh edges of a walk of at most L edges between a pair that has the fewest of them."""
    n, (query, key) = len(chosen), pair.tolist()
    price = np.where(chosen, 0, np.where(candidate, 1, 2 * n)).astype(np.int64)
    np.fill_diagonal(price, 0)
    best = [np.where(np.arange(n) == key, 0, 2 * n)]
    for _ in range(limit):
        best.append((price + best[-1][None, :]).min(axis=1))
    way, at = [], query
    for left in range(limit, 0, -1):
        step = int((price[at] + best[left - 1]).argmin())
        if step != at and not chosen[at, step]:
            way.append((at, step))
        at = step
    return way


def reverse_delete(
    problem: SparseProblem, sure: frozenset[Edge], part: Part, picked: Iterable[Edge]
) -> tuple[Edge, ...]:
    """Drop, the dearest and latest first, each edge without which all demands of a part are still met.

    Examples
    --------
    >>> problem = SparseProblem(np.tril(np.ones((3, 3), bool)), 2)
    >>> reverse_delete(problem, frozenset({(1, 0), (2, 1)}), Part(((2, 0),), ((2, 0),)), [(2, 0)])
    ()
    """
    limit = problem.depth
    kept = list(dict.fromkeys(picked))
    chosen = relation_of(problem.size, sure | set(kept))
    due = relation_of(problem.size, part.demands)
    latest = list(reversed(kept))
    for edge in sorted(latest, key=lambda edge: -problem.weight(edge)):
        chosen[edge] = False
        if (due & (hops(chosen, limit) > limit)).any():
            chosen[edge] = True
        else:
            kept.remove(edge)
    return tuple(sorted(kept))


def meets(problem: SparseProblem, sure: Iterable[Edge], demands: Sequence[Edge], edges: Iterable[Edge]) -> bool:
    """Whether sure and chosen edges meet every demand within L layers.

    Examples
    --------
    >>> problem = SparseProblem(np.tril(np.ones((3, 3), bool)), 1)
    >>> meets(problem, [(1, 0), (2, 1)], [(2, 0)], []), meets(problem, [(1, 0), (2, 1)], [(2, 0)], [(2, 0)])
    (False, True)
    """
    distance = hops(relation_of(problem.size, {*sure, *edges}), problem.depth)
    return all(distance[demand] <= problem.depth for demand in demands)
