"""MaxSAT by RC2 (PySAT) over CaDiCaL, one core at a time: its cost is a proved lower bound throughout.

A. Ignatiev, A. Morgado, J. Marques-Silva, "RC2: an efficient MaxSAT solver", JSAT 11 (2019).
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from masksynth.errors import MasksynthError
from masksynth.sparse.engines import Standing
from masksynth_solvers.interruptible import run_in_thread
from masksynth_solvers.sparse.path_encoding import Formula

CONFLICTS = 8_000
"""Conflicts per unit of effort."""
MOST_PAIRED = 600
"""Maximum number of edges for which RC2 looks for at-most-one constraints among soft clauses (quadratic)."""
SLICE = 2_000
"""Conflicts between two checks of the clock."""


class Rc2:
    """The engine ``maxsat``."""

    def __init__(self, formula: Formula, seed: int) -> None:
        self.formula = formula
        self.rc2: Any = None

    def _start(self) -> None:
        from pysat.examples.rc2 import RC2
        from pysat.formula import WCNF

        formula = WCNF()
        formula.extend(self.formula.clauses)
        costs = [(variable, weight) for variable, weight in self.formula.weights.items() if weight]
        formula.extend([[-variable] for variable, _ in costs], weights=[weight for _, weight in costs])
        self.rc2 = run_in_thread(lambda: RC2(formula, solver="cd19", adapt=True, exhaust=True, minz=True))
        if len(costs) <= MOST_PAIRED:
            run_in_thread(self.rc2.adapt_am1)

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Find cores until the formula is satisfied, or the conflicts are used up."""
        if self.rc2 is None:
            self._start()
        rc2, oracle = self.rc2, self.rc2.oracle
        left = int(effort * CONFLICTS)
        while left > 0 and not known.closed:
            before = oracle.accum_stats()["conflicts"]
            oracle.conf_budget(min(left, SLICE))
            answer = run_in_thread(lambda: oracle.solve_limited(assumptions=rc2.active_assumps()))
            if answer:
                chosen = self.formula.chosen(_formula_literals(rc2, oracle.get_model()))
                known = known.found(chosen, self.formula.cost(chosen), "maxsat")
                return known.proved(rc2.cost, "maxsat")
            if answer is False:
                run_in_thread(rc2.get_core)
                if not rc2.core:
                    raise MasksynthError("RC2 found no model of a problem that has a solution")
                run_in_thread(rc2.process_core)
                known = known.proved(rc2.cost, "maxsat")
            left -= oracle.accum_stats()["conflicts"] - before + 1
            if until is not None and monotonic() >= until:
                break
        return known


def _formula_literals(rc2: Any, model: list[int]) -> list[int]:
    """Translate the true variables of RC2's internal model to variables of the formula."""
    external = rc2.vmap.i2e
    return [external[literal] for literal in model if literal > 0 and literal in external]
