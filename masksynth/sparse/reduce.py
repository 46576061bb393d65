"""Reduction of a sparse problem: forced edges, uncovered pairs, and independent components.

Let G be the allowed edges. An edge is *forced* if it costs nothing, is required by the problem, or is necessary: G
without it has no path of at most L edges between its ends (the covers of a partial order, both arcs of a class of two).
Every solution may be assumed to contain the forced edges. Pairs that they connect within L layers are covered; each
other pair is *uncovered* and needs a path of *useful* edges, those on a walk of at most L allowed edges between its
ends. Uncovered pairs that share no useful edge, directly or through other pairs, are independent: the least weight is
the sum over the connected *components*. At unbounded depth, disjoint *cuts* replace the components: disjoint sets of
edges, each of which every solution must hit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from masksynth.mask.typing import Int32Array
from masksynth.posets import Relation, compose
from masksynth.posets.preorder import least_mutual
from masksynth.posets.relation import covers
from masksynth.sparse.sparse_problem import Edge, SparseProblem


@dataclass(frozen=True)
class Component:
    """Pairs to connect, and the edges that may help; both are disjoint from those of every other component.

    Parameters
    ----------
    pairs : tuple of Edge
        Uncovered pairs (query, key).
    edges : tuple of Edge
        Edges that may be chosen, without the forced ones; (layer, query, key) of a layered problem.
    """

    pairs: tuple[Edge, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Cut:
    """A set of edges that every solution must hit, since without it nothing connects ``pair`` within L layers."""

    edges: tuple[Edge, ...]
    pair: Edge


@dataclass(frozen=True)
class Reduction:
    """A sparse problem split into independent components.

    Parameters
    ----------
    forced : frozenset of Edge
        Edges that are in every solution.
    cuts : tuple of Cut
        Disjoint cuts; ``chosen`` takes one edge of each.
    components : tuple of Component
        What remains to be searched, smallest first.
    chosen : frozenset of Edge
        Edges that, with the forced ones, connect every pair outside the components, at the weight of the cuts.
    unreachable : Edge or None
        A pair of the relation that the allowed edges do not connect within L layers: there is no solution.
    """

    forced: frozenset[Edge]
    cuts: tuple[Cut, ...] = ()
    components: tuple[Component, ...] = ()
    chosen: frozenset[Edge] = frozenset()
    unreachable: Edge | None = None


def hop_counts(edges: Relation, limit: int) -> Int32Array:
    """Return the least number of edges from each query to each key; ``limit + 1`` where it is more than ``limit``.

    Parameters
    ----------
    edges : (n, n) bool
    limit : int

    Returns
    -------
    (n, n) int32

    Examples
    --------
    >>> hop_counts(np.array([[False, False, False], [True, False, False], [False, True, False]]), 2)[2].tolist()
    [2, 1, 0]
    """
    step = edges | np.eye(len(edges), dtype=bool)
    reached = np.eye(len(edges), dtype=bool)
    distance = np.where(reached, 0, limit + 1).astype(np.int32)
    for hop in range(1, limit + 1):
        further = compose(step, reached)
        new = further & ~reached
        if not new.any():
            break
        distance[new] = hop
        reached = further
    return distance


def edge_matrix(size: int, edges: Iterable[Edge]) -> Relation:
    """Return the (n, n) bool array of a set of edges."""
    matrix = np.zeros((size, size), bool)
    for edge in edges:
        matrix[edge] = True
    return matrix


def list_edges(matrix: Relation) -> tuple[Edge, ...]:
    """Return the edges of an (n, n) bool array, sorted."""
    return tuple((int(query), int(key)) for query, key in np.argwhere(matrix))


def reduce(problem: SparseProblem) -> Reduction:
    """Split a sparse problem (not a layered one) into forced edges, cuts and independent components.

    Parameters
    ----------
    problem : SparseProblem

    Returns
    -------
    Reduction
        ``least weight = weight(forced) + sum of least weights in cuts + sum of least weights of components``.

    Notes
    -----
    For a partial order the forced edges of weight 1 are the covers; at unbounded depth they are the solution
    (transitive reduction; Aho, Garey and Ullman 1972). With classes of several members, each member needs an edge that
    leaves it inside its class, and each cover of the quotient needs one arc: both are cuts, hit by one simple cycle per
    class and one arc per cover.

    Examples
    --------
    On a chain of five at L = 2, the pairs three and four apart share edges: one component, besides four covers.

    >>> chain = SparseProblem(np.tril(np.ones((5, 5), bool)), 2)
    >>> reduction = reduce(chain)
    >>> sorted(reduction.forced), [(len(component.pairs), len(component.edges)) for component in reduction.components]
    ([(1, 0), (2, 1), (3, 2), (4, 3)], [(3, 6)])
    """
    limit = problem.depth
    distance = hop_counts(problem.allowed, limit)
    missed = list_edges(problem.relation & (distance > limit))
    if missed:
        return Reduction(frozenset(), unreachable=missed[0])
    free = {edge for edge, weight in problem.weights.items() if weight <= 0 and problem.allowed[edge]}
    forced = frozenset(problem.forced | free | _necessary(problem, limit))
    if problem.layers is None or limit >= problem.size - 1:
        closed_form = _reduce_unbounded(problem, forced)
        if closed_form is not None:
            return closed_form
    covered = hop_counts(edge_matrix(problem.size, forced), limit) <= limit
    pairs = list_edges(problem.relation & ~covered)
    return Reduction(forced, components=_split_components(problem, forced, pairs, distance))


def _necessary(problem: SparseProblem, limit: int) -> set[Edge]:
    """Return the allowed edges without which their own ends are not connected within L layers."""
    allowed = problem.allowed
    if limit == 1:
        return set(list_edges(allowed))
    candidates = list_edges(allowed & ~compose(allowed, allowed))
    # A longer path q -> w -> ... -> k has the pair (w, k) in R, so there is a path of two edges unless that pair is
    # forbidden.
    if limit == 2 or not problem.forbidden:
        return set(candidates)
    return {edge for edge in candidates if not _is_connected_without(allowed, edge, limit)}


def _is_connected_without(allowed: Relation, edge: Edge, limit: int) -> bool:
    """Return whether a path of at most ``limit`` edges connects the ends of an edge without using it."""
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


def useful_edges(distance: Int32Array, pair: Edge, limit: int) -> Relation:
    """Return the pairs (a, b) that, as edges, lie on a walk from q to k of at most ``limit`` hops, (n, n) bool.

    Parameters
    ----------
    distance : (n, n) int32
        `hop_counts` of the allowed edges.
    pair : (q, k)
    limit : int
    """
    query, key = pair
    is_on_walk: Relation = distance[query][:, None] + 1 + distance[:, key][None, :] <= limit
    return is_on_walk


def positions_between(problem: SparseProblem, pairs: Iterable[Edge]) -> list[int]:
    """Return the positions between the ends of one of the pairs, ascending: all paths of the pairs stay among these.

    Examples
    --------
    >>> positions_between(SparseProblem(np.tril(np.ones((9, 9), bool))), [(5, 3), (4, 2)])
    [2, 3, 4, 5]
    """
    between = np.zeros(problem.size, bool)
    for query, key in pairs:
        between |= problem.relation[query] & problem.relation[:, key]
    return [int(position) for position in np.flatnonzero(between)]


def _split_components(
    problem: SparseProblem, forced: frozenset[Edge], pairs: tuple[Edge, ...], distance: Int32Array
) -> tuple[Component, ...]:
    """Return the connected components of "these pairs share a useful edge", smallest first."""
    from networkx.utils import UnionFind

    open_edges = problem.allowed & ~edge_matrix(problem.size, forced)
    edge_number = np.cumsum(open_edges.ravel()) - 1  # number of each open edge (query, key); undefined elsewhere
    last_pair = np.full(int(open_edges.sum()), -1)  # the last pair that each edge was useful to
    groups = UnionFind(range(len(pairs)))
    for index, pair in enumerate(pairs):
        edges = edge_number[np.flatnonzero(useful_edges(distance, pair, problem.depth) & open_edges)]
        groups.union(index, *(other for other in np.unique(last_pair[edges]).tolist() if other >= 0))
        last_pair[edges] = index
    members: dict[int, tuple[list[Edge], list[Edge]]] = {}  # root of a group: its pairs and its edges
    for index, pair in enumerate(pairs):
        members.setdefault(groups[index], ([], []))[0].append(pair)
    for edge, index in zip(list_edges(open_edges), last_pair.tolist(), strict=True):
        if index >= 0:
            members[groups[index]][1].append(edge)
    components = [Component(tuple(pairs), tuple(edges)) for pairs, edges in members.values()]
    return tuple(sorted(components, key=lambda component: (len(component.edges), component.edges)))


def _reduce_unbounded(problem: SparseProblem, forced: frozenset[Edge]) -> Reduction | None:
    """Return the closed form at unbounded depth.

    It is None if weights, forced or forbidden edges inside a class leave something to search.
    """
    least = least_mutual(problem.relation)
    cuts: list[Cut] = []
    chosen: set[Edge] = set()
    for representative in np.unique(least):
        members = np.flatnonzero(least == representative).tolist()
        if len(members) < 3:
            continue  # both arcs of a class of two are forced
        inner = [(q, k) for q in members for k in members if q != k]
        weight = problem.weight(inner[0])
        if any(edge in forced or edge in problem.forbidden or problem.weight(edge) != weight for edge in inner):
            return None
        for query in members:
            leaving = tuple(edge for edge in inner if edge[0] == query)
            cuts.append(Cut(leaving, leaving[0]))
        chosen |= {*((k, q) for q, k in pairwise(members)), (members[0], members[-1])}  # one cycle through the class
    representatives = np.flatnonzero(least == np.arange(problem.size))
    for upper, lower in np.argwhere(covers(problem.relation[np.ix_(representatives, representatives)])):
        above = np.flatnonzero(least == representatives[upper])
        below = np.flatnonzero(least == representatives[lower])
        arcs = [(int(q), int(k)) for q in above for k in below if problem.allowed[q, k]]
        if not any(arc in forced for arc in arcs):
            cuts.append(Cut(tuple(arcs), (int(above[0]), int(below[0]))))
            chosen.add(min(arcs, key=problem.weight))
    return Reduction(forced, tuple(cuts), (), frozenset(chosen))
