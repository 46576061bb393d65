"""Integer linear programming by SCIP (in OR-Tools) on the common encoding: a clause is "sum of literals >= 1"."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from math import ceil

from masksynth.backends import Limits, Outcome, Status
from masksynth.errors import MasksynthError
from masksynth.problem import Problem
from masksynth_solvers.encoding import Encoding
from masksynth_solvers.interruptible import run, search


class Ilp:
    """The backend ``ilp``: 0/1 variables, one row per clause, the cost as objective.

    Bounds are floating point numbers, rounded up to integers.
    """

    name = "ilp"

    def available(self) -> str:
        """Return an empty string, or the install line."""
        return "" if find_spec("ortools") else "ortools: pip install ortools"

    def versions(self) -> dict[str, str]:
        """Return the version of OR-Tools, whose wheel contains SCIP."""
        return {"ortools": version("ortools")}

    def solve(self, problem: Problem, limits: Limits) -> Outcome:
        """Find a partition of least cost, or the best within the limits."""
        return search(problem, limits, lambda encoding, until: self._search(encoding, until, limits))

    def _search(self, encoding: Encoding, until: float | None, limits: Limits) -> Outcome:
        from ortools.linear_solver import pywraplp

        solver = pywraplp.Solver.CreateSolver("SCIP")
        if solver is None:
            raise MasksynthError("this build of ortools has no SCIP")
        # By default OR-Tools stops SCIP at a gap of 0.01 % and calls that optimal.
        settings = (f"randomization/randomseedshift = {limits.seed}", "misc/catchctrlc = FALSE", "limits/gap = 0", "")
        solver.SetSolverSpecificParametersAsString("\n".join(settings))
        variables = [solver.BoolVar(str(number)) for number in range(encoding.variables + 1)]
        for clause in encoding.clauses:
            row = solver.Constraint(1 - sum(literal < 0 for literal in clause), solver.infinity())
            for literal in clause:
                row.SetCoefficient(variables[abs(literal)], 1 if literal > 0 else -1)
        for literal in encoding.cost:
            solver.Objective().SetCoefficient(variables[literal], 1)
        solver.Objective().SetMinimization()
        apart = encoding.apart()
        solver.SetHint(variables, [float(number in apart) for number in range(len(variables))])
        native, _ = run(solver.Solve, solver.InterruptSolve, until)
        proof = f"SCIP of OR-Tools {self.versions()['ortools']}: branch and cut in floating point"
        if native in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
            true = [number for number, variable in enumerate(variables) if variable.solution_value() > 0.5]
            best = encoding.offset + max(0, ceil(solver.Objective().BestBound() - 1e-6))
            status = Status.OPTIMAL if native == pywraplp.Solver.OPTIMAL else Status.FEASIBLE
            return Outcome(status, encoding.classes(true), best, proof)
        if native == pywraplp.Solver.NOT_SOLVED:
            return Outcome(Status.FEASIBLE, encoding.classes(encoding.apart()), encoding.offset, proof)
        raise MasksynthError(f"SCIP returned status {native} to a problem that always has a solution")
