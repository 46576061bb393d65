"""Windows inside windows: each part is solved with the help of the smaller parts inside it, smallest first ("Russian dolls").

A window of a part is what lies below one of its positions, or above one. Whatever a solution chooses inside a window solves the window, so
its least weight is spent there, and little is left for the rest. On chains and grids, windows of one size are alike and are solved once.
Without this a chain at L = 2 is out of reach beyond about 21 positions; with it, every chain up to 31 is proved in seconds.

References
----------
G. Verfaillie, M. Lemaitre, T. Schiex, "Russian doll search for solving constraint optimization problems", AAAI 1996.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from masksynth.sparse.engines import Standing
from masksynth.sparse import Edge, Part, SparseProblem, built_edges, first_solution, span
from masksynth_solvers.sparse.budget import Budget
from masksynth_solvers.sparse.descent import Descent
from masksynth_solvers.sparse.encoding import Window, encode

EFFORT = 20.0
"""Effort for one window."""
MOST_COUNTED = 60_000
"""Most terms times bound of a window's counter; smaller windows help less and cost more."""


@dataclass(frozen=True)
class Lemma:
    """A window as it was solved: its bound is proved with the help of its own windows, and holds for all that are alike."""

    part: Part
    bound: int
    windows: tuple[Window, ...]


Solved = dict[bytes, Lemma]


def windows_of(
    problem: SparseProblem, sure: frozenset[Edge], part: Part, budget: Budget, solved: Solved | None = None
) -> list[Window]:
    """Solve the windows of a part, each with the help of its own, and return those with a positive bound.

    Parameters
    ----------
    problem, sure, part
    budget : Budget
        Is spent; when it is over, the windows solved so far are returned.
    solved : dict, optional
        Windows by form, each as it was solved first; shared by all that are alike.

    Examples
    --------
    >>> from masksynth.sparse import reduce
    >>> problem = SparseProblem(np.tril(np.ones((7, 7), bool)), 2)
    >>> found = reduce(problem)
    >>> sorted(window.bound for window in windows_of(problem, found.sure, found.parts[0], Budget()))
    [1, 1, 2, 2, 3, 3]
    """
    solved = {} if solved is None else solved
    found = []
    for window in _inside(part, problem):
        form = form_of(problem, sure, window)
        if form not in solved:
            if budget.over:
                break
            solved[form] = _solve(problem, sure, window, budget, solved)
        found.append(Window(window, solved[form].bound))
    return found


def _solve(problem: SparseProblem, sure: frozenset[Edge], window: Part, budget: Budget, solved: Solved) -> Lemma:
    """A window with a proved bound on the weight inside: its least weight if the effort lasts."""
    inner = windows_of(problem, sure, window, budget, solved)
    chosen = first_solution(problem, sure, window, built_edges(problem, span(problem, window.demands)))
    known = Standing(problem.cost(chosen), max((small.bound for small in inner), default=0), chosen)
    kept = helpful(inner, problem, window, known.upper)
    if not (known.closed or budget.over):
        formula = encode(problem, sure, window, budget.until)
        formula.windows = kept
        searching = Descent(formula, 0)
        known = searching.advance(known, min(EFFORT, budget.effort), budget.until)
        budget.effort -= searching.spent
    return Lemma(window, known.lower, tuple(kept))


def helpful(found: list[Window], problem: SparseProblem, part: Part, upper: int) -> list[Window]:
    """The windows whose counters are small enough to help a search below ``upper``."""
    total = problem.cost(part.edges)
    return [
        w
        for w in found
        if w.bound > 0 and (total - problem.cost(w.part.edges)) * max(upper - w.bound, 1) <= MOST_COUNTED
    ]


def _inside(part: Part, problem: SparseProblem) -> Iterator[Part]:
    """The parts of a part below each of its positions and above each, smallest first, each once."""
    below = problem.relation
    demands = np.array(part.demands)
    edges = np.array(part.edges)
    ends = sorted(set(demands.ravel().tolist()))
    seen: set[tuple[Edge, ...]] = {part.demands}
    found: list[Part] = []
    for end in ends:
        for members in (below[end], below[:, end]):
            inner = tuple(map(tuple, demands[members[demands].all(axis=1)].tolist()))
            if inner and inner not in seen:
                seen.add(inner)
                kept = np.isin(edges, span(problem, inner)).all(axis=1)
                found.append(Part(inner, tuple(map(tuple, edges[kept].tolist()))))
    yield from sorted(found, key=lambda window: len(window.edges))


def form_of(problem: SparseProblem, sure: frozenset[Edge], window: Part) -> bytes:
    """What a window is, whatever its positions are called: equal forms have equal least weights.

    Windows of one form are mapped to one another by pairing their `span` positions in order.
    """
    place = {position: number for number, position in enumerate(span(problem, window.demands))}
    known = [(place[q], place[k]) for q, k in sorted(sure) if q in place and k in place]
    parts = (
        [(place[q], place[k]) for q, k in window.demands],
        [(place[q], place[k], problem.weight((q, k))) for q, k in window.edges],
        known,
    )
    return repr(parts).encode()
