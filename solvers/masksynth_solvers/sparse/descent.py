"""Descending decisions by CaDiCaL: is there a solution that weighs less than the best? The last "no" is the proof.

A totalizer counts the weight; each better solution forbids one more of its outputs, so that the solver keeps all that it has learnt. What
is known of windows is counted likewise: a window that costs b leaves at most the best weight - 1 - b for the edges outside it.
Effort is counted in conflicts, so the search is deterministic.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from masksynth.sparse.engines import Standing
from masksynth_solvers.interruptible import run_in_thread
from masksynth_solvers.sparse.encoding import Formula, at_most

CONFLICTS = 8_000
"""Conflicts that count as one unit of effort."""
SLICE = 2_000
"""Conflicts between two looks at the clock; what was learnt is kept."""


class Descent:
    """The engine ``sat``."""

    def __init__(self, formula: Formula, seed: int) -> None:
        self.formula = formula
        self.counts: list[list[int]] = []
        self.solver: Any = None
        self.spent = 0.0

    def _start(self, upper: int) -> None:
        from pysat.solvers import Solver

        self.counts, clauses = counted(self.formula, upper - 1)
        self.solver = Solver(name="cadical195", bootstrap_with=clauses)

    def _forbid(self, weight: int) -> None:
        """No solution of this weight or more: what windows must spend leaves less for the rest."""
        for inside, outputs in zip((0, *(window.bound for window in self.formula.windows)), self.counts, strict=True):
            if weight - inside <= 0:
                self.solver.add_clause([])
            elif weight - inside <= len(outputs):
                self.solver.add_clause([-outputs[weight - inside - 1]])

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Lower the best weight until there is none lower, or the conflicts are used up."""
        if self.solver is None:
            self._start(known.upper)
        solver = self.solver
        left = int(effort * CONFLICTS)
        while left > 0 and not known.closed:
            self._forbid(known.upper)
            before = solver.accum_stats()["conflicts"]
            solver.conf_budget(min(left, SLICE))
            answer = run_in_thread(solver.solve_limited)
            used = solver.accum_stats()["conflicts"] - before
            left -= used
            self.spent += used / CONFLICTS
            if answer is None and until is not None and monotonic() >= until:
                break
            if answer is False:
                return known.proved(known.upper, "sat")
            if answer is None:
                continue
            chosen = self.formula.chosen(solver.get_model())
            known = known.found(chosen, self.formula.cost(chosen), "sat")
        return known


def counted(formula: Formula, most: int) -> tuple[list[list[int]], list[list[int]]]:
    """Counters of the weight and of the rest outside each window, for solutions of weight at most ``most``.

    Returns
    -------
    (outputs, clauses)
        The counters' outputs, the whole first, and all clauses; the formula stays as it was.
    """
    own = len(formula.clauses), len(formula.names)
    outputs = [at_most(formula, most)]
    for place, window in enumerate(formula.windows):
        outputs.append(at_most(formula, most - window.bound, formula.terms(set(window.part.edges)), ("rest", place)))
    clauses = list(formula.clauses)
    del formula.clauses[own[0] :], formula.names[own[1] :]
    return outputs, clauses
