"""Linear SAT-UNSAT search of a component, first alone, then with the bounds of the windows inside the component."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf

from masksynth.sparse import Component, Edge, SparseProblem, disjoint_intervals, first_solution
from masksynth.sparse.engines import Engine, Standing
from masksynth_solvers.sparse.branch import lp_bound
from masksynth_solvers.sparse.budget import Budget
from masksynth_solvers.sparse.descent import Descent
from masksynth_solvers.sparse.path_encoding import Formula, encode
from masksynth_solvers.sparse.russian_dolls import LEAST, select_windows, solve_in_steps

ALONE = 1.0
"""Effort before the bounds of intervals and windows are computed, and for each interval."""
MOST_ROWS = 5_000
"""Maximum number of clauses of a formula whose linear relaxation is solved for a bound."""


class WindowedDescent:
    """The engine ``sat`` on a component of a problem with one mask for all layers.

    Parameters
    ----------
    problem : SparseProblem
    forced : frozenset of Edge
        Edges that are in every solution.
    component : Component
    formula : Formula
        Its clauses.
    searching : Engine
        The search without windows.
    budget : Budget
        What this search may spend; windows get at most half of what is left when they begin.
    """

    def __init__(
        self,
        problem: SparseProblem,
        forced: frozenset[Edge],
        component: Component,
        formula: Formula,
        searching: Engine,
        budget: Budget,
    ) -> None:
        self.problem, self.forced, self.component = problem, forced, component
        self.formula, self.searching, self.budget = formula, searching, budget
        self.effort = 0.0
        self.known = Standing(problem.cost(component.edges), 0, component.edges, "all edges")
        self.steps = self._steps()

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Do the next steps of the search."""
        self.known, self.effort = self.known.better(known), effort
        while effort > 0 and not (self.known.closed or self.budget.over):
            effort -= next(self.steps)
        return self.known

    def _steps(self) -> Iterator[float]:
        """Search alone, compute bounds, search with the windows' bounds; yield the effort of each step."""
        yield from self._search(self.searching, ALONE)
        if len(self.formula.clauses) <= MOST_ROWS:
            self.known = self.known.proved(lp_bound(self.formula)[0], "duals")
        yield from self._bound_intervals()
        half = self.budget.share(2)
        windows = yield from solve_in_steps(self.problem, self.forced, self.component, half, {})
        formula = replace(self.formula, windows=select_windows(windows, self.problem, self.component, self.known.upper))
        # The edges of a solution inside a window solve the window, so each window's bound bounds the component.
        self.known = self.known.proved(max((window.bound for window in formula.windows), default=0), "windows")
        yield from self._search(Descent(formula, 0), inf)

    def _search(self, searching: Engine, most: float) -> Iterator[float]:
        """Run an engine until it has spent ``most`` effort."""
        while most > 0:
            effort = min(self.effort, most)
            self.known = searching.advance(self.known, effort, self.budget.until)
            most -= effort
            yield effort

    def _bound_intervals(self) -> Iterator[float]:
        """Add up the bounds of disjoint intervals, each small enough to be solved at once."""
        total = 0
        for interval in disjoint_intervals(self.problem, self.forced, self.component):
            chosen = first_solution(self.problem, self.forced, interval)
            known = Standing(self.problem.cost(chosen), min(map(self.problem.weight, interval.edges)), chosen)
            searching = Descent(encode(self.problem, self.forced, interval), 0)
            while not (known.closed or searching.spent >= ALONE or self.budget.over):
                before = searching.spent
                known = searching.advance(known, self.effort, self.budget.until)
                yield max(searching.spent - before, LEAST)
            total += known.lower
        self.known = self.known.proved(total, "windows")
