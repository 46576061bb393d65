"""CP-SAT (OR-Tools) on the common encoding."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from math import ceil
from typing import Any

from masksynth.backends import Limits, Outcome, Status
from masksynth.errors import MasksynthError
from masksynth.problem import Problem
from masksynth_solvers.encoding import Encoding
from masksynth_solvers.interruptible import run, search


class CpSat:
    """The backend ``cpsat``: clauses as disjunctions, the cost as objective, all nodes apart as the first solution."""

    name = "cpsat"

    def available(self) -> str:
        """Return an empty string, or the install line."""
        return "" if find_spec("ortools") else "ortools: pip install ortools"

    def versions(self) -> dict[str, str]:
        """Return the version of OR-Tools."""
        return {"ortools": version("ortools")}

    def solve(self, problem: Problem, limits: Limits) -> Outcome:
        """Find a partition of least cost, or the best within the limits."""
        return search(problem, limits, lambda encoding, until: self._search(encoding, until, limits))

    def _search(self, encoding: Encoding, until: float | None, limits: Limits) -> Outcome:
        from ortools.sat.python import cp_model

        model, variables = _model(encoding)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = limits.workers
        solver.parameters.random_seed = limits.seed
        solver.parameters.catch_sigint_signal = False
        native, _ = run(lambda: solver.solve(model), solver.stop_search, until)
        proof = f"CP-SAT {self.versions()['ortools']}: the bound of its search"
        bound = encoding.offset
        if native in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            true = [number for number, variable in variables.items() if solver.boolean_value(variable)]
            bound = encoding.offset + max(0, ceil(solver.best_objective_bound - 1e-6))
            status = Status.OPTIMAL if native == cp_model.OPTIMAL else Status.FEASIBLE
            return Outcome(status, encoding.classes(true), bound, proof)
        if native == cp_model.UNKNOWN:
            return Outcome(Status.FEASIBLE, encoding.classes(encoding.apart()), bound, proof)
        raise MasksynthError(f"CP-SAT returned {solver.status_name(native)} to a problem that always has a solution")


def _model(encoding: Encoding) -> tuple[Any, dict[int, Any]]:
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    variables = {number: model.new_bool_var("") for number in range(1, encoding.variables + 1)}
    for clause in encoding.clauses:
        model.add_bool_or([variables[literal] if literal > 0 else ~variables[-literal] for literal in clause])
    model.minimize(sum(variables[literal] for literal in encoding.cost))
    apart = encoding.apart()
    for number, variable in variables.items():
        model.add_hint(variable, number in apart)
    return model, variables
