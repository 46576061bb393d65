"""Brute force over all sets of edges, lightest first, checked by a plain search: the engines' specification."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from time import monotonic

from masksynth.errors import Unsupported
from masksynth.sparse.engines import Standing
from masksynth_solvers.sparse.path_encoding import Formula

MAX_EDGES = 26
"""Maximum number of edges that may be chosen."""


class Brute:
    """The engine ``brute``. It uses the edges, pairs and depth of a formula, not its clauses."""

    def __init__(self, formula: Formula, seed: int) -> None:
        if len(formula.edges) > MAX_EDGES:
            raise Unsupported(
                f"brute: expected at most {MAX_EDGES} edges that may be chosen, got {len(formula.edges)};"
                " use another backend"
            )
        self.formula = formula

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Try all sets that weigh less than the best solution; ``effort`` is ignored."""
        for weight, chosen in by_weight(self.formula):
            if weight >= known.upper:
                break
            if until is not None and monotonic() >= until:
                return known.proved(weight, "brute")
            if connects_pairs(self.formula, chosen):
                return known.found(chosen, weight, "brute").proved(weight, "brute")
        return known.proved(known.upper, "brute")


def connects_pairs(formula: Formula, chosen: Iterable[tuple[int, ...]]) -> bool:
    """Return whether chosen and forced edges connect every pair, by search from each query, last layer first.

    Examples
    --------
    >>> formula = Formula(depth=2, pairs=((2, 0),))
    >>> connects_pairs(formula, [(2, 1), (1, 0)]), connects_pairs(formula, [(2, 1)])
    (True, False)
    >>> connects_pairs(formula, [(2, 2, 1), (1, 1, 0)]), connects_pairs(formula, [(1, 2, 1), (2, 1, 0)])
    (True, False)
    """
    held = set(chosen)
    if any(edge in formula.edges and edge not in held for edge in formula.forced):
        return False
    edges = formula.forced | held
    for query, key in formula.pairs:
        seen = {query}
        for layer in range(formula.depth, 0, -1):
            seen |= {edge[-1] for edge in edges if edge[-2] in seen and (len(edge) == 2 or edge[0] == layer)}
        if key not in seen:
            return False
    return True


def by_weight(formula: Formula) -> Iterator[tuple[int, tuple[tuple[int, ...], ...]]]:
    """Yield (weight, edges) of every set of edges in ascending order of weight.

    Each set is extended only by later edges, so it is yielded once; weights are not negative, so no set comes before a
    lighter one.
    """
    edges = list(formula.edges)
    costs = [formula.weights[formula.edges[edge]] for edge in edges]
    heap: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    heapify(heap)
    while heap:
        weight, members = heappop(heap)
        yield weight, tuple(edges[member] for member in members)
        for member in range(members[-1] + 1 if members else 0, len(edges)):
            heappush(heap, (weight + costs[member], (*members, member)))
