"""Russian doll search: each component is solved with the bounds of the smaller windows inside it, smallest first.

A window of a component consists of the pairs below one of its positions, or above one. The edges that a solution
chooses inside a window solve the window, so at least its least weight is spent there. On chains and grids, windows of
equal size are isomorphic and are solved once. Without windows a chain at L = 2 is not proved beyond about 21 positions;
with them every chain up to 31 is proved in seconds.

References
----------
G. Verfaillie, M. Lemaitre, T. Schiex, "Russian doll search for solving constraint optimization problems", AAAI 1996.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from masksynth.sparse import Component, Edge, SparseProblem, construction_edges, first_solution, positions_between
from masksynth.sparse.engines import Standing
from masksynth_solvers.sparse.budget import Budget
from masksynth_solvers.sparse.descent import Descent
from masksynth_solvers.sparse.path_encoding import Window, encode

EFFORT = 20.0
"""Maximum effort for one window."""
STEP = 0.25
"""Maximum effort of one step."""
LEAST = 0.001
"""Effort of a step without conflicts."""
COUNTER_LIMIT = 60_000
"""Largest product of terms and bound in a window's counter; counters of smaller windows are larger and help less."""


@dataclass(frozen=True)
class Lemma:
    """A solved window, with the inner windows that its proof uses. Its bound holds for all isomorphic windows."""

    component: Component
    bound: int
    windows: tuple[Window, ...]


Solved = dict[bytes, Lemma]


def solve_windows(
    problem: SparseProblem, forced: frozenset[Edge], component: Component, budget: Budget, solved: Solved | None = None
) -> list[Window]:
    """Solve the windows of a component, each with the bounds of its own windows, and return those that were solved.

    Parameters
    ----------
    problem : SparseProblem
    forced : frozenset of Edge
        Edges that are in every solution.
    component : Component
    budget : Budget
        Reduced by the effort that is spent; when it is used up, the windows solved so far are returned.
    solved : dict, optional
        Cache of solved windows by their canonical form.

    Examples
    --------
    >>> from masksynth.sparse import reduce
    >>> problem = SparseProblem(np.tril(np.ones((7, 7), bool)), 2)
    >>> found = reduce(problem)
    >>> sorted(window.bound for window in solve_windows(problem, found.forced, found.components[0], Budget()))
    [1, 1, 2, 2, 3, 3]
    """
    steps = solve_in_steps(problem, forced, component, budget, {} if solved is None else solved)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            windows: list[Window] = end.value
            return windows


def solve_in_steps(
    problem: SparseProblem, forced: frozenset[Edge], component: Component, budget: Budget, solved: Solved
) -> Generator[float, None, list[Window]]:
    """Do the work of `solve_windows`; yield the effort of each step, at most ``STEP``."""
    windows = []
    for window in _list_windows(component, problem):
        form = canonical_form(problem, forced, window)
        if form not in solved:
            if budget.over:
                break
            solved[form] = yield from _solve(problem, forced, window, budget, solved)
        windows.append(Window(window, solved[form].bound))
    return windows


def _solve(
    problem: SparseProblem, forced: frozenset[Edge], window: Component, budget: Budget, solved: Solved
) -> Generator[float, None, Lemma]:
    """Prove a lower bound on the weight inside a window: its least weight if the effort suffices."""
    inner = yield from solve_in_steps(problem, forced, window, budget, solved)
    construction = construction_edges(problem, positions_between(problem, window.pairs))
    chosen = first_solution(problem, forced, window, construction)
    known = Standing(problem.cost(chosen), max((small.bound for small in inner), default=0), chosen)
    kept = select_windows(inner, problem, window, known.upper)
    if known.closed or budget.over:
        return Lemma(window, known.lower, tuple(kept))
    formula = encode(problem, forced, window, budget.until)
    formula.windows = kept
    searching = Descent(formula, 0)
    while not (known.closed or budget.over or searching.spent >= EFFORT):
        before = searching.spent
        known = searching.advance(known, min(STEP, EFFORT - before, budget.effort), budget.until)
        spent = max(searching.spent - before, LEAST)
        budget.effort -= spent
        yield spent
    return Lemma(window, known.lower, tuple(kept))


def select_windows(windows: list[Window], problem: SparseProblem, component: Component, upper: int) -> list[Window]:
    """Return the windows whose counters are small enough to help a search for solutions lighter than ``upper``."""
    total = problem.cost(component.edges)

    def counter_size(window: Window) -> int:
        return (total - problem.cost(window.component.edges)) * max(upper - window.bound, 1)

    return [window for window in windows if window.bound > 0 and counter_size(window) <= COUNTER_LIMIT]


def _list_windows(component: Component, problem: SparseProblem) -> list[Component]:
    """Return the windows below and above each position of a component, smallest first, without duplicates."""
    pairs = np.array(component.pairs)
    edges = np.array(component.edges)
    ends = sorted(set(pairs.ravel().tolist()))
    seen: set[tuple[Edge, ...]] = {component.pairs}
    windows: list[Component] = []
    for end in ends:
        for members in (problem.relation[end], problem.relation[:, end]):  # positions below, and above
            inner = tuple(map(tuple, pairs[members[pairs].all(axis=1)].tolist()))
            if inner and inner not in seen:
                seen.add(inner)
                kept = np.isin(edges, positions_between(problem, inner)).all(axis=1)
                windows.append(Component(inner, tuple(map(tuple, edges[kept].tolist()))))
    return sorted(windows, key=lambda window: len(window.edges))


def canonical_form(problem: SparseProblem, forced: frozenset[Edge], window: Component) -> bytes:
    """Return a key that is equal for windows that differ in the numbering of positions only.

    Such windows have equal least weights; their `positions_between`, in ascending order, correspond.
    """
    rank = {position: index for index, position in enumerate(positions_between(problem, window.pairs))}
    form = (
        [(rank[q], rank[k]) for q, k in window.pairs],
        [(rank[q], rank[k], problem.weight((q, k))) for q, k in window.edges],
        [(rank[q], rank[k]) for q, k in sorted(forced) if q in rank and k in rank],
    )
    return repr(form).encode()
