"""Integer linear programming by SCIP, which is part of OR-Tools: a clause is "sum of literals >= 1".

It uses no solutions of other engines.

SCIP computes in floating point: a value may be off by its tolerance times the sum of the weights. A bound is lowered by
that much before it is rounded up, and weights for which that is half a unit or more are refused.
"""

from __future__ import annotations

from math import ceil, inf
from time import monotonic
from typing import Any

from masksynth.errors import MasksynthError, Unsupported
from masksynth.sparse.engines import Standing
from masksynth_solvers.interruptible import run
from masksynth_solvers.sparse.path_encoding import Formula

TOLERANCE = 1e-6
"""SCIP's tolerance for the integrality of a variable and the violation of a row."""
SETTINGS = ("misc/catchctrlc = FALSE", "limits/gap = 0", "propagating/genvbounds/freq = -1")
"""Parameters of SCIP: the caller handles Ctrl-C; no gap (OR-Tools stops SCIP at 0.01 % by default); no propagator of
generic bounds, which fails ("No memory": it sorts an empty list) when an interrupted search is continued."""


class Linear:
    """The engine ``ilp``. A slice lasts ``effort`` seconds and continues where the last one ended."""

    def __init__(self, formula: Formula, seed: int) -> None:
        self.formula, self.seed = formula, seed
        self.tolerance = TOLERANCE * (1 + sum(formula.weights.values()))
        if self.tolerance >= 0.5:
            raise Unsupported(
                "ilp: the weights are too large for floating point; scale them down, or use another backend"
            )
        self._build()

    def _build(self) -> None:
        from ortools.linear_solver import pywraplp

        formula, seed = self.formula, self.seed
        self.solver: Any = pywraplp.Solver.CreateSolver("SCIP")
        if self.solver is None:
            raise MasksynthError("this build of ortools has no SCIP")
        self.solver.SetSolverSpecificParametersAsString(
            "\n".join((f"randomization/randomseedshift = {seed}", *SETTINGS, ""))
        )
        self.variables = [self.solver.BoolVar(str(number)) for number in range(len(formula.names) + 1)]
        for clause in formula.clauses:
            row = self.solver.Constraint(1 - sum(literal < 0 for literal in clause), self.solver.infinity())
            for literal in clause:
                row.SetCoefficient(self.variables[abs(literal)], 1 if literal > 0 else -1)
        for variable, weight in formula.weights.items():
            self.solver.Objective().SetCoefficient(self.variables[variable], weight)
        self.solver.Objective().SetMinimization()

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Branch and cut until the end of the slice."""
        end = min(monotonic() + effort, inf if until is None else until)
        native, interrupted = run(self.solver.Solve, self.solver.InterruptSolve, end)
        if native in (self.solver.OPTIMAL, self.solver.FEASIBLE):
            true = [number for number, variable in enumerate(self.variables) if variable.solution_value() > 0.5]
            chosen = self.formula.chosen(true)
            known = known.found(chosen, self.formula.cost(chosen), "ilp")
        elif native == self.solver.ABNORMAL and interrupted:  # SCIP cannot continue what was stopped at this point
            self._build()
            if monotonic() < end:
                raise KeyboardInterrupt
            return known
        elif native != self.solver.NOT_SOLVED:
            raise MasksynthError(f"SCIP returned status {native} to a problem that has a solution")
        if interrupted and monotonic() < end:
            raise KeyboardInterrupt
        bound = self.solver.Objective().BestBound()
        known = known.proved(ceil(bound - self.tolerance), "ilp") if -inf < bound < inf else known
        if native == self.solver.OPTIMAL and not known.closed:  # another slice would give the same result
            raise MasksynthError(f"SCIP calls {known.upper} optimal, with the bound {bound}; use another backend")
        return known
