"""Descending decisions by CaDiCaL: is there a solution that weighs less than the best? The last "no" is the proof.

A totalizer counts the weight; each better solution forbids one more of its outputs, so that the solver keeps all that it has learnt.
Effort is counted in conflicts, so the search is deterministic.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from masksynth_solvers.sparse.encoding import Formula, at_most
from masksynth.backends import Standing

CONFLICTS = 8_000
"""Conflicts that count as one unit of effort."""
SLICE = 2_000
"""Conflicts between two looks at the clock; what was learnt is kept."""


class Descent:
    """The engine ``sat``."""

    def __init__(self, formula: Formula, seed: int) -> None:
        self.formula = formula
        self.counts: list[int] = []
        self.solver: Any = None

    def _start(self, upper: int) -> None:
        from pysat.solvers import Solver

        own = len(self.formula.clauses), len(self.formula.names)
        self.counts = at_most(self.formula, upper - 1)
        self.solver = Solver(name="cadical195", bootstrap_with=self.formula.clauses)
        del self.formula.clauses[own[0] :], self.formula.names[own[1] :]

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Lower the best weight until there is none lower, or the conflicts are used up."""
        if self.solver is None:
            self._start(known.upper)
        solver = self.solver
        left = int(effort * CONFLICTS)
        while left > 0 and not known.closed:
            solver.add_clause([-self.counts[known.upper - 1]])
            before = solver.accum_stats()["conflicts"]
            solver.conf_budget(min(left, SLICE))
            answer = solver.solve_limited()
            left -= solver.accum_stats()["conflicts"] - before
            if answer is None and until is not None and monotonic() >= until:
                break
            if answer is False:
                return known.proved(known.upper, "sat")
            if answer is None:
                continue
            chosen = self.formula.chosen(solver.get_model())
            known = known.found(chosen, self.formula.cost(chosen), "sat")
        return known
