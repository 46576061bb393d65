"""MaxSAT by RC2 (PySAT) over CaDiCaL, one core at a time: its cost is a proved lower bound throughout.

A. Ignatiev, A. Morgado, J. Marques-Silva, "RC2: an efficient MaxSAT solver", JSAT 11 (2019).
"""

from __future__ import annotations

from threading import Event
from time import monotonic
from typing import Any

from masksynth.errors import MasksynthError
from masksynth.sparse.engines import Standing
from masksynth_solvers.interruptible import run_in_thread, run_stoppable
from masksynth_solvers.sparse.conflict_budget import ConflictBudget
from masksynth_solvers.sparse.path_encoding import Formula
from masksynth_solvers.sparse.symmetry_breaking import is_symmetric

CONFLICTS = 24_000
"""Conflicts per unit of effort: no totalizer of the total weight slows the solver down, as it does in ``sat``."""


class Rc2:
    """The engine ``maxsat``."""

    def __init__(self, formula: Formula, seed: int) -> None:
        self.formula = formula
        self.rc2: Any = None
        self.budget = ConflictBudget()

    def _start(self) -> None:
        from pysat.formula import WCNF

        from masksynth_solvers.sparse.limited_rc2 import LimitedRC2

        formula = WCNF()
        formula.extend(self.formula.clauses)
        costs = [(variable, weight) for variable, weight in self.formula.weights.items() if weight]
        formula.extend([[-variable] for variable, _ in costs], weights=[weight for _, weight in costs])
        # Cores that differ by swaps shrink a lot; elsewhere the calls cost more than smaller cores save.
        symmetric = is_symmetric(self.formula.edges, len(self.formula.swaps))
        self.rc2 = run_in_thread(lambda: LimitedRC2(formula, solver="cd19", exhaust=True, minz=symmetric))

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Find cores until the formula is satisfied, or the conflicts are used up."""
        if self.rc2 is None:
            self._start()
        return run_stoppable(lambda stop: self._search(known, int(effort * CONFLICTS), until, stop), until)

    def _search(self, known: Standing, left: int, until: float | None, stop: Event) -> Standing:
        rc2, oracle = self.rc2, self.rc2.oracle
        while left > 0 and not known.closed and not stop.is_set():
            before, began = oracle.accum_stats()["conflicts"] + rc2.calls, monotonic()
            oracle.conf_budget(self.budget.next_call(left, until))
            answer = oracle.solve_limited(assumptions=rc2.active_assumps())
            if answer:
                chosen = self.formula.chosen(_formula_literals(rc2, oracle.get_model()))
                return known.found(chosen, self.formula.cost(chosen), "maxsat").proved(rc2.cost, "maxsat")
            if answer is False:
                rc2.get_core()
                if not rc2.core:
                    raise MasksynthError("RC2 found no model of a problem that has a solution")
                rc2.process_core()
                known = known.proved(rc2.cost, "maxsat")
            spent = oracle.accum_stats()["conflicts"] + rc2.calls - before + 1  # a call without conflicts counts, too
            self.budget.spend(spent, began)
            left -= spent
        return known


def _formula_literals(rc2: Any, model: list[int]) -> list[int]:
    """Translate the true variables of RC2's internal model to variables of the formula."""
    external = rc2.vmap.i2e
    return [external[literal] for literal in model if literal > 0 and literal in external]
