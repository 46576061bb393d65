"""What a sparse problem decides by itself: edges that are sure, pairs that need nothing more, and parts that can be solved apart.

Let G be the allowed edges. An edge is *sure* if it costs nothing, is forced, or is necessary: G without it has no path of at most L
edges between its ends (the covers of a partial order, both arcs of a class of two). Sure edges may be assumed in every solution. Pairs
that they connect within L layers need nothing more; each other pair is a *demand*, met by a path of *useful* edges: those on a walk of at
most L allowed edges between its ends. Demands that share no useful edge, directly or through others, are independent: the least weight
is the sum over the connected *parts*. At unbounded depth a *packing* replaces parts: disjoint sets of edges, each of which every solution
must use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from masksynth.posets import Relation, compose
from masksynth.posets.preorder import least_mutual
from masksynth.posets.relation import covers
from masksynth.sparse.sparse_problem import Edge, SparseProblem

Hops = NDArray[np.int32]


@dataclass(frozen=True)
class Part:
    """Demands that only depend on one another: pairs to connect, and the edges (not sure) that may help."""

    demands: tuple[Edge, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Hit:
    """A set of edges that every solution must use, since without it nothing connects ``demand`` within L layers."""

    edges: tuple[Edge, ...]
    demand: Edge


@dataclass(frozen=True)
class Reduction:
    """A sparse problem taken apart.

    Parameters
    ----------
    sure : frozenset of Edge
        Edges to take in any case.
    packing : tuple of Hit
        Disjoint sets, one edge of each being taken by ``chosen``.
    parts : tuple of Part
        What is left to search, smallest first.
    chosen : frozenset of Edge
        Beside the sure edges, those that settle everything outside the parts, at the price of the packing.
    unreachable : Edge or None
        A pair of the relation that the allowed edges do not connect within L layers: there is no solution.
    """

    sure: frozenset[Edge]
    packing: tuple[Hit, ...] = ()
    parts: tuple[Part, ...] = ()
    chosen: frozenset[Edge] = frozenset()
    unreachable: Edge | None = None


def hops(edges: Relation, limit: int) -> Hops:
    """Return the least number of edges from each query to each key, ``limit + 1`` where it is more than ``limit``.

    Examples
    --------
    >>> hops(np.array([[False, False, False], [True, False, False], [False, True, False]]), 2)[2].tolist()
    [2, 1, 0]
    """
    step = edges | np.eye(len(edges), dtype=bool)
    reached = np.eye(len(edges), dtype=bool)
    distance = np.where(reached, 0, limit + 1).astype(np.int32)
    for hop in range(1, limit + 1):
        further = compose(step, reached)
        fresh = further & ~reached
        if not fresh.any():
            break
        distance[fresh] = hop
        reached = further
    return distance


def relation_of(size: int, edges: Iterable[Edge]) -> Relation:
    """Return the (n, n) bool array of a set of edges."""
    array = np.zeros((size, size), bool)
    for edge in edges:
        array[edge] = True
    return array


def reduce(problem: SparseProblem) -> Reduction:
    """Take a sparse problem (not a layered one) apart.

    Parameters
    ----------
    problem : SparseProblem

    Returns
    -------
    Reduction
        ``least weight = weight(sure) + sum of least weights in packing + sum of least weights of the parts``.

    Notes
    -----
    For a partial order the sure edges of weight 1 are the covers, and at unbounded depth they are all (transitive reduction; Aho, Garey
    and Ullman 1972). With classes of several members each member must keep an edge that leaves it inside its class, and each cover of the
    quotient one arc: both are sets of a packing, met by one simple cycle a class and one arc a cover.

    Examples
    --------
    On a chain of five at L = 2, the pairs three and four apart share edges: one part, beside four covers.

    >>> chain = SparseProblem(np.tril(np.ones((5, 5), bool)), 2)
    >>> found = reduce(chain)
    >>> sorted(found.sure), [(len(part.demands), len(part.edges)) for part in found.parts]
    ([(1, 0), (2, 1), (3, 2), (4, 3)], [(3, 6)])
    """
    limit = problem.depth
    distance = hops(problem.allowed, limit)
    missed = np.argwhere(problem.relation & (distance > limit))
    if len(missed):
        return Reduction(frozenset(), unreachable=(int(missed[0][0]), int(missed[0][1])))
    free = {edge for edge, weight in problem.weights.items() if weight <= 0 and problem.allowed[edge]}
    sure = frozenset(problem.forced | free | _necessary(problem, limit))
    if problem.layers is None or limit >= problem.size - 1:
        closed = _unbounded(problem, sure)
        if closed is not None:
            return closed
    given = hops(relation_of(problem.size, sure), limit)
    demands = [(int(q), int(k)) for q, k in np.argwhere(problem.relation & (given > limit))]
    return Reduction(sure, parts=_parts(problem, sure, demands, distance))


def _necessary(problem: SparseProblem, limit: int) -> set[Edge]:
    """Allowed edges without which their own ends are not connected within L layers."""
    allowed = problem.allowed
    if limit == 1:
        return {(int(q), int(k)) for q, k in np.argwhere(allowed)}
    candidates = [(int(q), int(k)) for q, k in np.argwhere(allowed & ~compose(allowed, allowed))]
    # A longer way q -> w -> ... -> k has the pair (w, k) in R, so there is a way of two edges unless that pair is forbidden.
    if limit == 2 or not problem.forbidden:
        return set(candidates)
    return {edge for edge in candidates if not _connected_without(allowed, edge, limit)}


def _connected_without(allowed: Relation, edge: Edge, limit: int) -> bool:
    """Whether the ends of an edge are still connected within ``limit`` edges when it is gone."""
    query, key = edge
    front = allowed[query].copy()
    front[key] = False
    seen = front.copy()
    seen[query] = True
    for _ in range(limit - 1):
        if allowed[front, key].any():
            return True
        front = allowed[front].any(axis=0) & ~seen
        seen |= front
    return False


def useful(distance: Hops, demand: Edge, limit: int) -> Relation:
    """(n, n) bool: pairs (a, b) that lie on a walk q -> a -> b -> k of at most ``limit`` hops, if (a, b) is an edge."""
    query, key = demand
    on_the_way: Relation = distance[query][:, None] + 1 + distance[:, key][None, :] <= limit
    return on_the_way


def span(problem: SparseProblem, demands: Iterable[Edge]) -> list[int]:
    """The positions between the ends of some demands, ascending: all paths that meet them stay among these.

    Examples
    --------
    >>> span(SparseProblem(np.tril(np.ones((9, 9), bool))), [(5, 3), (4, 2)])
    [2, 3, 4, 5]
    """
    between = np.zeros(problem.size, bool)
    for query, key in demands:
        between |= problem.relation[query] & problem.relation[:, key]
    return [int(position) for position in np.flatnonzero(between)]


def _parts(problem: SparseProblem, sure: frozenset[Edge], demands: list[Edge], distance: Hops) -> tuple[Part, ...]:
    """Connected parts of "these demands share a useful edge", smallest first."""
    from networkx.utils import UnionFind

    open_edges = problem.allowed & ~relation_of(problem.size, sure)
    number = np.cumsum(open_edges.ravel()) - 1
    last = np.full(int(open_edges.sum()), -1)  # the last demand that an edge was useful to
    together = UnionFind(range(len(demands)))
    for place, demand in enumerate(demands):
        edges = number[np.flatnonzero(useful(distance, demand, problem.depth) & open_edges)]
        together.union(place, *(other for other in np.unique(last[edges]).tolist() if other >= 0))
        last[edges] = place
    listed = [(int(q), int(k)) for q, k in np.argwhere(open_edges)]
    members: dict[int, tuple[list[Edge], list[Edge]]] = {}
    for place, demand in enumerate(demands):
        members.setdefault(together[place], ([], []))[0].append(demand)
    for edge, place in zip(listed, last.tolist(), strict=True):
        if place >= 0:
            members[together[place]][1].append(edge)
    parts = [Part(tuple(demands), tuple(edges)) for demands, edges in members.values()]
    return tuple(sorted(parts, key=lambda part: (len(part.edges), part.edges)))


def _unbounded(problem: SparseProblem, sure: frozenset[Edge]) -> Reduction | None:
    """The closed form at unbounded depth; None where weights, forced or forbidden edges inside a class leave something to search."""
    least = least_mutual(problem.relation)
    packing: list[Hit] = []
    chosen: set[Edge] = set()
    for leader in np.unique(least):
        members = np.flatnonzero(least == leader).tolist()
        if len(members) < 3:
            continue  # both arcs of a class of two are sure
        inner = [(q, k) for q in members for k in members if q != k]
        if any(
            edge in sure or edge in problem.forbidden or problem.weight(edge) != problem.weight(inner[0])
            for edge in inner
        ):
            return None
        packing += [
            Hit(tuple(edge for edge in inner if edge[0] == q), (q, next(k for k in members if k != q))) for q in members
        ]
        chosen |= {*((k, q) for q, k in pairwise(members)), (members[0], members[-1])}
    leaders = np.flatnonzero(least == np.arange(problem.size))
    for upper, lower in np.argwhere(covers(problem.relation[np.ix_(leaders, leaders)])):
        above, below = np.flatnonzero(least == leaders[upper]), np.flatnonzero(least == leaders[lower])
        arcs = [(int(q), int(k)) for q in above for k in below if problem.allowed[q, k]]
        if not any(arc in sure for arc in arcs):
            packing.append(Hit(tuple(arcs), (int(above[0]), int(below[0]))))
            chosen.add(min(arcs, key=problem.weight))
    return Reduction(sure, tuple(packing), (), frozenset(chosen))
