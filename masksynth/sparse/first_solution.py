"""Feasible solutions for a search to start from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from masksynth.mask import Mask
from masksynth.posets import layer_product
from masksynth.sparse.constructions.construct import Construction, construct
from masksynth.sparse.greedy import connects_all, greedy, reverse_delete
from masksynth.sparse.reduce import Component, edge_matrix, list_edges, reduce
from masksynth.sparse.sparse_problem import Edge, SparseProblem

LayeredEdge = tuple[int, int, int]
"""(layer, query, key); layer 1 is applied first."""


def construct_plain(problem: SparseProblem) -> Construction | None:
    """Return a construction for a plain problem, else None.

    A plain problem has no weights, no forced or forbidden edges, and one mask for all layers.
    """
    return construct(Mask.from_dense(problem.relation), problem.layers) if _is_plain(problem) else None


def _is_plain(problem: SparseProblem) -> bool:
    return not (problem.forced or problem.forbidden or problem.weights or problem.layered)


def construction_edges(problem: SparseProblem, members: Sequence[int]) -> list[Edge]:
    """Return the edges of a construction for the flow among some positions; none if the problem is not plain.

    Examples
    --------
    >>> construction_edges(SparseProblem(np.tril(np.ones((9, 9), bool)), 2), [2, 4, 6])
    [(4, 2), (6, 4)]
    """
    if not _is_plain(problem):
        return []
    flow = Mask.from_dense(problem.relation[np.ix_(members, members)])
    construction = construct(flow, problem.layers)
    edges = zip(construction.query.tolist(), construction.key.tolist(), strict=True)
    return [(members[query], members[key]) for query, key in edges]


def first_solution(
    problem: SparseProblem, forced: frozenset[Edge], component: Component, solution: Iterable[Edge] = ()
) -> tuple[Edge, ...]:
    """Return edges that, with the forced ones, connect all pairs of a component.

    Parameters
    ----------
    problem : SparseProblem
    forced : frozenset of Edge
        Edges that are in every solution (`Reduction.forced`).
    component : Component
    solution : iterable of Edge
        A solution of the complete problem, such as a construction. Its edges in the component, less the redundant ones,
        are returned if they are lighter than the greedy choice.
    """
    chosen = greedy(problem, forced, component)
    shared = set(solution) & set(component.edges)
    if not shared or not connects_all(problem, forced, component.pairs, shared):
        return chosen
    return min(chosen, reverse_delete(problem, forced, component, sorted(shared)), key=problem.cost)


def layered_component(problem: SparseProblem) -> Component:
    """Return the single component of a layered problem: all pairs, and every allowed edge in every layer."""
    edges = tuple((layer, *edge) for layer in range(1, problem.depth + 1) for edge in list_edges(problem.allowed))
    return Component(list_edges(problem.relation & ~np.eye(problem.size, dtype=bool)), edges)  # type: ignore[arg-type]


def first_layered_solution(problem: SparseProblem) -> tuple[LayeredEdge, ...]:
    """Return a uniform solution repeated in every layer, less redundant edges (heaviest and topmost are dropped first).

    The allowed edges must carry the flow.

    Examples
    --------
    Two layers carry the flow of a chain of four with 4 edges in total; one mask for both layers needs 4 in each.

    >>> problem = SparseProblem(np.tril(np.ones((4, 4), bool)), 2, layered=True)
    >>> len(first_layered_solution(problem))
    4
    """
    plain = SparseProblem(problem.relation, problem.layers, problem.forced, problem.forbidden, problem.weights)
    reduction = reduce(plain)
    uniform = reduction.forced | reduction.chosen
    for component in reduction.components:
        uniform |= set(first_solution(plain, reduction.forced, component))
    masks = [edge_matrix(problem.size, uniform) | np.eye(problem.size, dtype=bool) for _ in range(problem.depth)]
    kept = [(layer, *edge) for layer in range(1, problem.depth + 1) for edge in sorted(uniform)]
    top_down = list(reversed(kept))
    for edge in sorted(top_down, key=lambda edge: -problem.weight(edge[1:])):
        layer, query, key = edge
        if (query, key) in problem.forced:
            continue
        masks[layer - 1][query, key] = False
        if np.array_equal(layer_product(masks), problem.relation):
            kept.remove(edge)
        else:
            masks[layer - 1][query, key] = True
    return tuple(kept)
