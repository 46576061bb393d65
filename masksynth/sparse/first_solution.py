"""First solutions for a search to improve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from masksynth.mask import Mask
from masksynth.posets import layer_product
from masksynth.sparse.constructions.construct import Construction, construct
from masksynth.sparse.greedy import greedy, meets, reverse_delete
from masksynth.sparse.reduce import Part, reduce, relation_of
from masksynth.sparse.sparse_problem import Edge, SparseProblem

LayeredEdge = tuple[int, int, int]
"""(layer, query, key); layer 1 is applied first."""


def built(problem: SparseProblem) -> Construction | None:
    """A construction for a plain problem: one without weights, forced or forbidden edges; None for others."""
    if not _is_plain(problem):
        return None
    return construct(Mask.from_dense(problem.relation), problem.layers)


def _is_plain(problem: SparseProblem) -> bool:
    return not (problem.forced or problem.forbidden or problem.weights or problem.layered)


def built_edges(problem: SparseProblem, members: Sequence[int]) -> list[Edge]:
    """Edges of a construction for the flow among some positions, none for a problem that is not plain.

    Examples
    --------
    >>> built_edges(SparseProblem(np.tril(np.ones((9, 9), bool)), 2), [2, 4, 6])
    [(4, 2), (6, 4)]
    """
    inside = SparseProblem(problem.relation[np.ix_(members, members)], problem.layers)
    found = built(inside) if _is_plain(problem) else None
    return (
        []
        if found is None
        else [(members[q], members[k]) for q, k in zip(found.query.tolist(), found.key.tolist(), strict=True)]
    )


def first_solution(
    problem: SparseProblem, sure: frozenset[Edge], part: Part, known: Iterable[Edge] = ()
) -> tuple[Edge, ...]:
    """Edges that meet the demands of a part together with the sure ones: greedy, or what is left of a known solution if that is lighter."""
    chosen = greedy(problem, sure, part)
    shared = set(known) & set(part.edges)
    if not shared or not meets(problem, sure, part.demands, shared):
        return chosen
    return min(chosen, reverse_delete(problem, sure, part, sorted(shared)), key=problem.cost)


def layered_part(problem: SparseProblem) -> Part:
    """All pairs as demands, and every allowed edge in every layer."""
    demands = [(int(q), int(k)) for q, k in np.argwhere(problem.relation) if q != k]
    edges = [(int(q), int(k)) for q, k in np.argwhere(problem.allowed)]
    return Part(tuple(demands), tuple((layer, *edge) for layer in range(1, problem.depth + 1) for edge in edges))  # type: ignore[misc]


def first_layers(problem: SparseProblem) -> tuple[LayeredEdge, ...]:
    """The uniform solution in every layer, less what can be taken away again, the dearest and topmost first.

    The allowed edges must carry the flow.

    Examples
    --------
    Two layers carry the flow of a chain of four through 4 edges in all, where one mask for both layers needs 4 in each.

    >>> problem = SparseProblem(np.tril(np.ones((4, 4), bool)), 2, layered=True)
    >>> len(first_layers(problem))
    4
    """
    plain = SparseProblem(problem.relation, problem.layers, problem.forced, problem.forbidden, problem.weights)
    reduction = reduce(plain)
    uniform = reduction.sure | reduction.chosen
    for part in reduction.parts:
        uniform |= set(first_solution(plain, reduction.sure, part))
    masks = [relation_of(problem.size, uniform) | np.eye(problem.size, dtype=bool) for _ in range(problem.depth)]
    kept = [(layer, *edge) for layer in range(1, problem.depth + 1) for edge in sorted(uniform)]
    topmost = list(reversed(kept))
    for edge in sorted(topmost, key=lambda edge: -problem.weight(edge[1:])):
        layer, query, key = edge
        if (query, key) in problem.forced:
            continue
        masks[layer - 1][query, key] = False
        if np.array_equal(layer_product(masks), problem.relation):
            kept.remove(edge)
        else:
            masks[layer - 1][query, key] = True
    return tuple(kept)
