"""Linear SAT-UNSAT search by CaDiCaL: is there a solution lighter than the best one? The last "no" is the proof.

A totalizer counts the weight. Each better solution forbids one more of its outputs, so the solver keeps all learnt
clauses. Windows are counted likewise: a window that costs at least b leaves at most (best weight - 1 - b) for the edges
outside it. Effort is counted in conflicts, so the search is deterministic.
"""

from __future__ import annotations

from threading import Event
from time import monotonic
from typing import Any

from masksynth.sparse.engines import Standing
from masksynth_solvers.interruptible import run_stoppable
from masksynth_solvers.sparse.conflict_budget import CONFLICTS, ConflictBudget
from masksynth_solvers.sparse.path_encoding import Formula
from masksynth_solvers.sparse.totalizer import at_most

CLAUSES = 400_000
"""Clauses that are built per unit of effort."""


class Descent:
    """The engine ``sat``."""

    def __init__(self, formula: Formula, seed: int) -> None:
        self.formula = formula
        self.counts: list[list[int]] = []
        self.solver: Any = None
        self.forbidden: int | None = None
        self.spent = 0.0
        self.budget = ConflictBudget()

    def _start(self, upper: int) -> None:
        from pysat.solvers import Solver

        self.counts, clauses = build_counters(self.formula, upper - 1)
        self.solver = Solver(name="cadical195", bootstrap_with=clauses)
        self.spent += len(clauses) / CLAUSES

    def _forbid(self, weight: int) -> None:
        """Forbid solutions of this weight or more; the weight inside a window leaves less for the edges outside it."""
        if weight == self.forbidden:
            return
        self.forbidden = weight
        for inside, outputs in zip((0, *(window.bound for window in self.formula.windows)), self.counts, strict=True):
            if weight - inside <= 0:
                self.solver.add_clause([])
            elif weight - inside <= len(outputs):
                self.solver.add_clause([-outputs[weight - inside - 1]])

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Search for lighter solutions until there are none, or the conflicts are used up."""
        if self.solver is None:
            self._start(known.upper)
        return run_stoppable(lambda stop: self._search(known, int(effort * CONFLICTS), until, stop), until)

    def _search(self, known: Standing, left: int, until: float | None, stop: Event) -> Standing:
        solver = self.solver
        self._forbid(known.upper)
        while left > 0 and not known.closed and not stop.is_set():
            before, began = solver.accum_stats()["conflicts"], monotonic()
            solver.conf_budget(self.budget.next_call(left, until))
            answer = solver.solve_limited()
            spent = solver.accum_stats()["conflicts"] - before + 1  # a call without conflicts counts, too
            self.budget.spend(spent, began)
            left -= spent
            self.spent += spent / CONFLICTS
            if answer is False:
                return known.proved(known.upper, "sat")
            if answer:
                chosen = self.formula.chosen(solver.get_model())
                known = known.found(chosen, self.formula.cost(chosen), "sat")
                self._forbid(known.upper)
        return known


def build_counters(formula: Formula, most: int) -> tuple[list[list[int]], list[list[int]]]:
    """Build counters of the total weight and of the weight outside each window, up to ``most``.

    Returns
    -------
    (outputs, clauses)
        The counters' outputs, the total first, and all clauses; the formula is not changed.
    """
    sizes = len(formula.clauses), len(formula.names)
    outputs = [at_most(formula, most)]
    for index, window in enumerate(formula.windows):
        outputs.append(
            at_most(formula, most - window.bound, formula.terms(set(window.component.edges)), ("rest", index))
        )
    clauses = list(formula.clauses)
    del formula.clauses[sizes[0] :], formula.names[sizes[1] :]
    return outputs, clauses
