"""Symmetry breaking: positions that may be swapped, and clauses that keep one of the solutions that differ by swaps.

A *swap* of two positions is used if it maps the pairs, the edges with their weights, and the forced edges of a
component onto themselves. Then it maps each solution onto a solution of the same weight. Compare solutions as words of
0 and 1 in the order of the edges. The greatest of all solutions of least weight is at least as great as each of its
images, so demanding "at least as great as its image" of every swap keeps the least weight (lex-leader constraints). The
members of a class can always be swapped if weights, forced and forbidden edges do not distinguish them.

References
----------
J. Crawford, M. Ginsberg, E. Luks, A. Roy, "Symmetry-breaking predicates for search problems", KR 1996.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import combinations

import numpy as np

from masksynth.sparse import Component, Edge, SparseProblem
from masksynth_solvers.sparse.path_encoding import Formula

SYMMETRIC = 1.0
"""Formulas with this many swaps per position are symmetric: classes, and blocks of three or more members each."""
MAX_CHECKS = 500_000
"""Maximum number of edges that are compared with their images to find swaps; neighbours in a group come first."""


def is_symmetric(edges: Iterable[tuple[int, ...]], swaps: int) -> bool:
    """Return whether there are many swaps for the number of positions at the edges.

    Examples
    --------
    >>> is_symmetric([(1, 0), (2, 1), (0, 2)], 3), is_symmetric([(1, 0), (2, 1), (0, 2)], 2)
    (True, False)
    """
    return swaps >= SYMMETRIC * len({position for edge in edges for position in edge[-2:]})


def add_swaps(formula: Formula, swaps: Iterable[Edge]) -> None:
    """Demand of the chosen edges that no swap makes them greater.

    ``equal a b t`` is implied if the first t pairs of edges that the swap exchanges are equal.

    Examples
    --------
    In a class of three every edge has an image; the swap of 1 and 2 exchanges two pairs of edges at the position 0 ...

    >>> formula = Formula()
    >>> for edge in ((1, 0), (2, 0)):
    ...     formula.choose(edge, 1)
    >>> add_swaps(formula, [(1, 2)])
    >>> formula.clauses, formula.swaps
    ([[1, -2]], ((1, 2),))
    """
    formula.swaps = tuple(swaps)
    for a, b in formula.swaps:
        exchanged = list(_exchanged_edges(formula, (a, b)))
        before: list[int] = []  # the negated literal "all earlier pairs are equal"
        for count, (greater, smaller) in enumerate(exchanged, 1):
            formula.add([*before, greater, -smaller])
            if count < len(exchanged):
                equal = formula.new("equal", a, b, count)
                formula.add([*before, greater, equal])
                formula.add([*before, -smaller, equal])
                before = [-equal]


def _exchanged_edges(formula: Formula, swap: Edge) -> Iterator[tuple[int, int]]:
    """Yield the variables of each pair of edges that a swap exchanges, the earlier edge first."""
    for edge, variable in formula.edges.items():
        image = formula.edges[swap_edge(edge, swap)]
        if image > variable:
            yield variable, image


def swap_edge(edge: tuple[int, ...], swap: Edge) -> tuple[int, ...]:
    """Return the image of (query, key), or (layer, query, key), under a swap of two positions.

    Examples
    --------
    >>> swap_edge((2, 0), (0, 1)), swap_edge((1, 1, 0), (0, 1))
    ((2, 1), (1, 0, 1))
    """
    a, b = swap
    image = {a: b, b: a}
    return (*edge[:-2], image.get(edge[-2], edge[-2]), image.get(edge[-1], edge[-1]))


def make_greatest(formula: Formula, chosen: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Swap positions of a solution until no swap makes it greater; it then satisfies the clauses of `add_swaps`."""

    def word(edges: Collection[tuple[int, ...]]) -> list[bool]:
        held = set(edges)
        return [edge in held for edge in formula.edges]

    best = word(chosen)
    improved = True
    while improved:
        improved = False
        for swap in formula.swaps:
            image = tuple(swap_edge(edge, swap) for edge in chosen)
            if (other := word(image)) > best:
                chosen, best, improved = image, other, True
    return chosen


def find_swaps(problem: SparseProblem, forced: Iterable[tuple[int, ...]], component: Component) -> list[Edge]:
    """Return swaps (a, b), a < b, that map a component and the forced edges onto themselves.

    Only positions with equal rows and equal columns of the relation, apart from the two themselves, are considered.

    Examples
    --------
    >>> problem = SparseProblem(np.ones((3, 3), bool), 2)
    >>> edges = tuple((q, k) for q in range(3) for k in range(3) if q != k)
    >>> find_swaps(problem, (), Component(edges, edges))
    [(0, 1), (0, 2), (1, 2)]
    """
    given = frozenset(forced)
    used = sorted({position for edge in component.edges for position in edge[-2:]})
    candidates = sorted(
        (j - i, (a, b))
        for group in _equal_positions(problem, used)
        for (i, a), (j, b) in combinations(enumerate(group), 2)
    )
    most = MAX_CHECKS // max(1, len(component.pairs) + 2 * len(component.edges) + len(given))
    return sorted(swap for _, swap in candidates[:most] if _preserves(problem, given, component, swap))


def _equal_positions(problem: SparseProblem, used: list[int]) -> list[list[int]]:
    """Return groups of two or more positions whose rows and columns are equal, once with and once without itself."""
    groups: dict[bytes, list[int]] = {}
    for own in (True, False):
        relation = problem.relation.copy()
        np.fill_diagonal(relation, own)
        rows, columns = np.packbits(relation, axis=1), np.packbits(relation.T, axis=1)
        for position in used:
            key = bytes([own]) + rows[position].tobytes() + columns[position].tobytes()
            groups.setdefault(key, []).append(position)
    return [group for group in groups.values() if len(group) > 1]


def _preserves(problem: SparseProblem, forced: frozenset[tuple[int, ...]], component: Component, swap: Edge) -> bool:
    """Return whether a swap maps pairs, edges with weights, and forced edges onto themselves."""
    for edges in (component.pairs, component.edges, forced):
        members = set(edges)
        if any(swap_edge(edge, swap) not in members for edge in edges):
            return False
    return all(
        problem.weight((edge[-2], edge[-1])) == problem.weight(swap_edge((edge[-2], edge[-1]), swap))  # type: ignore[arg-type]
        for edge in component.edges
    )
