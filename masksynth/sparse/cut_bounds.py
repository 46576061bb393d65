"""Lower bounds without a search: disjoint cuts that every solution hits, and disjoint intervals solved separately.

Both are certificates that can be checked by themselves: a cut by the paths that avoid it, an interval as a component of
its own.
"""

from __future__ import annotations

import numpy as np

from masksynth.posets import Relation
from masksynth.sparse.reduce import Component, Cut, edge_matrix, hop_counts, list_edges, useful_edges
from masksynth.sparse.sparse_problem import Edge, SparseProblem

INTERVAL_SIZE = 12
"""Default for the most positions of an interval."""
UNCUTTABLE = 10**9
"""Capacity of an edge that no cut may contain."""


def disjoint_cuts(problem: SparseProblem, forced: frozenset[Edge], component: Component) -> tuple[Cut, ...]:
    """Return pairwise disjoint cuts, which every solution must hit: their least weights add up to a lower bound.

    For each pair, closest pairs first, the smallest set of unused edges is taken that cuts all paths of at most L edges
    between its two positions, if there is one. It is a minimum cut in the layered graph with nodes (position, hops so
    far), where forced and used edges cannot be cut (Menger's theorem). Its edges, each taken once for all hops, form
    the set.

    Parameters
    ----------
    problem : SparseProblem
    forced : frozenset of Edge
        Edges that are in every solution (`Reduction.forced`).
    component : Component

    Examples
    --------
    >>> from masksynth.sparse.reduce import reduce
    >>> problem = SparseProblem(np.tril(np.ones((5, 5), bool)), 2)
    >>> reduction = reduce(problem)
    >>> [cut.pair for cut in disjoint_cuts(problem, reduction.forced, reduction.components[0])]
    [(3, 0)]
    """
    distance = hop_counts(problem.allowed, problem.depth)
    free = edge_matrix(problem.size, component.edges)
    solid = edge_matrix(problem.size, forced)
    row_size = problem.relation.sum(axis=1).tolist()
    cuts: list[Cut] = []
    for pair in sorted(component.pairs, key=lambda pair: (row_size[pair[0]] - row_size[pair[1]], pair)):
        useful = useful_edges(distance, pair, problem.depth) & problem.allowed
        edges = _least_cut(useful & (solid | ~free), useful & free & ~solid, pair, problem.depth)
        if edges:
            cuts.append(Cut(tuple(sorted(edges)), pair))
            for edge in edges:
                free[edge] = False
                solid[edge] = True
    return tuple(cuts)


def _least_cut(solid: Relation, free: Relation, pair: Edge, limit: int) -> set[Edge]:
    """Return free edges that meet every walk of at most ``limit`` edges from query to key.

    The set is empty if solid edges alone connect the pair.
    """
    import networkx as nx

    query, key = pair
    graph = nx.DiGraph()
    for edges, capacity in ((solid, UNCUTTABLE), (free, 1)):
        for a, b in np.argwhere(edges).tolist():
            for hop in range(limit):
                graph.add_edge((a, hop), (b, hop + 1), capacity=capacity)
    for hop in range(limit):  # a walk that has arrived may wait, so that shorter walks count as well
        graph.add_edge((key, hop), (key, hop + 1), capacity=UNCUTTABLE)
    if (query, 0) not in graph or (key, limit) not in graph:
        return set()
    value, (source_side, _) = nx.minimum_cut(graph, (query, 0), (key, limit))
    if value >= UNCUTTABLE:
        return set()
    return {(a[0], b[0]) for a, b in graph.edges if a in source_side and b not in source_side}


def disjoint_intervals(
    problem: SparseProblem, forced: frozenset[Edge], component: Component, max_size: int = INTERVAL_SIZE
) -> tuple[Component, ...]:
    """Return intervals of a component that share no edge, of at most ``max_size`` positions, largest first.

    The interval of a pair (q, k) contains every position w with q >= w >= k, so a path between two of its members stays
    inside, and the edges that a solution has inside an interval solve the interval. The least weights of the intervals
    add up to a lower bound.

    Parameters
    ----------
    problem : SparseProblem
    forced : frozenset of Edge
        Edges that are in every solution (`Reduction.forced`).
    component : Component
    max_size : int
        Most positions of an interval.

    Examples
    --------
    >>> from masksynth.sparse.reduce import reduce
    >>> problem = SparseProblem(np.tril(np.ones((9, 9), bool)), 2)
    >>> reduction = reduce(problem)
    >>> intervals = disjoint_intervals(problem, reduction.forced, reduction.components[0], 5)
    >>> [(max(interval.pairs), len(interval.edges)) for interval in intervals]
    [((4, 1), 6), ((7, 4), 6)]
    """
    relation = problem.relation
    distance = hop_counts(problem.allowed, problem.depth)
    unused = edge_matrix(problem.size, component.edges)
    open_edges = problem.allowed & ~edge_matrix(problem.size, forced)
    uncovered = edge_matrix(problem.size, component.pairs)
    size = {(query, key): int((relation[query] & relation[:, key]).sum()) for query, key in component.pairs}
    intervals: list[Component] = []
    for pair in sorted((pair for pair in size if size[pair] <= max_size), key=lambda pair: (-size[pair], pair)):
        interval = relation[pair[0]] & relation[:, pair[1]]
        inner = list_edges(uncovered & interval[:, None] & interval[None, :])
        useful = np.zeros_like(unused)
        for inner_pair in inner:
            useful |= useful_edges(distance, inner_pair, problem.depth)
        edges = useful & open_edges
        if unused[edges].all():
            unused &= ~edges
            intervals.append(Component(inner, list_edges(edges)))
    return tuple(intervals)
