"""Lower bounds that stand without a search: disjoint sets that every solution must hit, and disjoint windows that can be solved apart.

Both are certificates: a set is judged by the paths that avoid it, a window is a part of its own.
"""

from __future__ import annotations

import numpy as np

from masksynth.posets import Relation
from masksynth.sparse.reduce import Hit, Part, hops, relation_of, useful
from masksynth.sparse.sparse_problem import Edge, SparseProblem

WINDOW = 12
"""Most positions of a window."""
FOREVER = 10**9


def packing(problem: SparseProblem, sure: frozenset[Edge], part: Part) -> tuple[Hit, ...]:
    """Return pairwise disjoint sets of edges of a part, each of which every solution must use: their least weights add up to a bound.

    For one demand after another, nearest first, a smallest set of unused edges that cuts all its paths of at most L edges is taken, if
    there is one: a minimum cut in the graph of (position, hops so far), where sure and used edges cannot be cut (Menger's theorem gives
    the cut, and its edges, once for all hops, are the set).

    Examples
    --------
    >>> from masksynth.sparse.reduce import reduce
    >>> problem = SparseProblem(np.tril(np.ones((5, 5), bool)), 2)
    >>> found = reduce(problem)
    >>> [hit.demand for hit in packing(problem, found.sure, found.parts[0])]
    [(3, 0)]
    """
    distance = hops(problem.allowed, problem.depth)
    free = relation_of(problem.size, part.edges)
    solid = relation_of(problem.size, sure)
    found: list[Hit] = []
    below = problem.relation.sum(axis=1).tolist()
    for demand in sorted(part.demands, key=lambda demand: (below[demand[0]] - below[demand[1]], demand)):
        near = useful(distance, demand, problem.depth) & problem.allowed
        cut = _least_cut(near & (solid | ~free), near & free & ~solid, demand, problem.depth)
        if cut:
            found.append(Hit(tuple(sorted(cut)), demand))
            for edge in cut:
                free[edge] = False
                solid[edge] = True
    return tuple(found)


def _least_cut(solid: Relation, free: Relation, demand: Edge, limit: int) -> set[Edge]:
    """A set of free edges that meets every walk of at most ``limit`` edges; empty if solid ones alone connect the demand."""
    import networkx as nx

    query, key = demand
    graph = nx.DiGraph()
    for edges, capacity in ((solid, FOREVER), (free, 1)):
        for a, b in np.argwhere(edges).tolist():
            for hop in range(limit):
                graph.add_edge((a, hop), (b, hop + 1), capacity=capacity)
    for hop in range(limit):
        graph.add_edge((key, hop), (key, hop + 1), capacity=FOREVER)
    if (query, 0) not in graph or (key, limit) not in graph:
        return set()
    value, (upper, _) = nx.minimum_cut(graph, (query, 0), (key, limit))
    if value >= FOREVER:
        return set()
    return {(a[0], b[0]) for a, b in graph.edges if a in upper and b not in upper}


def windows(problem: SparseProblem, sure: frozenset[Edge], part: Part, most: int = WINDOW) -> tuple[Part, ...]:
    """Return parts of a part that share no edge: intervals of at most ``most`` positions, the largest first.

    An interval holds everything between its ends, so a path between two of its members stays inside: what a solution has inside a window
    solves the window. The least weights of the windows add up to a bound of the part.

    Examples
    --------
    >>> from masksynth.sparse.reduce import reduce
    >>> problem = SparseProblem(np.tril(np.ones((9, 9), bool)), 2)
    >>> found = reduce(problem)
    >>> [(max(small.demands), len(small.edges)) for small in windows(problem, found.sure, found.parts[0], 5)]
    [((4, 1), 6), ((7, 4), 6)]
    """
    relation = problem.relation
    distance = hops(problem.allowed, problem.depth)
    unused = relation_of(problem.size, part.edges)
    due = relation_of(problem.size, part.demands)
    sizes = {demand: int((relation[demand[0]] & relation[:, demand[1]]).sum()) for demand in part.demands}
    found: list[Part] = []
    for demand in sorted(
        (demand for demand in part.demands if sizes[demand] <= most), key=lambda demand: (-sizes[demand], demand)
    ):
        inside = relation[demand[0]] & relation[:, demand[1]]
        inner = [(int(q), int(k)) for q, k in np.argwhere(due & inside[:, None] & inside[None, :])]
        needed = np.zeros_like(unused)
        for pair in inner:
            needed |= useful(distance, pair, problem.depth)
        edges = needed & problem.allowed & ~relation_of(problem.size, sure)
        if unused[edges].all():
            unused &= ~edges
            found.append(Part(tuple(inner), tuple((int(q), int(k)) for q, k in np.argwhere(edges))))
    return tuple(found)
