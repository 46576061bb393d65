"""CP-SAT with core-guided search: cores raise the bound until a solution meets it.

CP-SAT restarts from scratch, so slices are saved up until they allow a run as long as all runs before together.

The default search of CP-SAT does not help here: its bound stays at that of the linear relaxation.
"""

from __future__ import annotations

from math import ceil, inf
from time import monotonic
from typing import Any

from masksynth.errors import MasksynthError
from masksynth.sparse.engines import Standing
from masksynth_solvers.encoding import OutOfTime
from masksynth_solvers.interruptible import run, run_in_thread
from masksynth_solvers.sparse.path_encoding import Formula
from masksynth_solvers.sparse.symmetry_breaking import make_greatest


class Cores:
    """The engine ``cpsat``."""

    def __init__(self, formula: Formula, seed: int) -> None:
        self.formula, self.seed = formula, seed
        self.spent = self.saved = 0.0

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Run CP-SAT once the effort saved up is as much as that of all runs before together."""
        from ortools.sat.python import cp_model

        self.saved += effort
        if self.saved < self.spent:
            return known

        model, variables = self._model(known, until)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = self.seed
        solver.parameters.optimize_with_core = True
        solver.parameters.linearization_level = 0
        solver.parameters.catch_sigint_signal = False
        solver.parameters.max_deterministic_time = self.saved
        self.spent, self.saved = self.spent + self.saved, 0.0
        native, interrupted = run(lambda: solver.solve(model), solver.stop_search, until)
        if native in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            chosen = self.formula.chosen(
                number for number, variable in variables.items() if solver.boolean_value(variable)
            )
            known = known.found(chosen, self.formula.cost(chosen), "cpsat")
        elif native != cp_model.UNKNOWN:
            raise MasksynthError(f"CP-SAT returned {solver.status_name(native)} to a problem that has a solution")
        if interrupted and (until is None or monotonic() < until):
            raise KeyboardInterrupt
        bound = solver.best_objective_bound
        return known.proved(ceil(bound - 1e-6), "cpsat") if -inf < bound < inf else known

    def _model(self, known: Standing, until: float | None) -> tuple[Any, dict[int, Any]]:
        from ortools.sat.python import cp_model

        model = cp_model.CpModel()
        variables = {number: model.new_bool_var("") for number in range(1, len(self.formula.names) + 1)}
        for number, clause in enumerate(self.formula.clauses):
            if until is not None and number % 4096 == 0 and monotonic() >= until:
                raise OutOfTime
            model.add_bool_or([variables[literal] if literal > 0 else ~variables[-literal] for literal in clause])
        cost = sum(weight * variables[number] for number, weight in self.formula.weights.items())
        model.add(cost >= known.lower)
        model.minimize(cost)
        true = complete_model(self.formula, make_greatest(self.formula, known.chosen))
        for number, variable in variables.items():
            model.add_hint(variable, number in true)
        return model, variables


def complete_model(formula: Formula, chosen: tuple[tuple[int, ...], ...]) -> set[int]:
    """Return the true variables of a model in which exactly these edges are chosen."""
    from pysat.solvers import Solver

    held = set(chosen)
    with Solver(name="cadical195", bootstrap_with=formula.clauses) as solver:
        assumptions = [variable if edge in held else -variable for edge, variable in formula.edges.items()]
        if not run_in_thread(lambda: solver.solve(assumptions=assumptions)):
            raise MasksynthError("a solution given to an engine does not satisfy its formula")
        return {literal for literal in solver.get_model() if literal > 0}
