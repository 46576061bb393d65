"""MaxSAT by RC2 (PySAT) on the common encoding: core-guided, so its cost is a proved lower bound throughout.

A. Ignatiev, A. Morgado, J. Marques-Silva, "RC2: an Efficient MaxSAT Solver", JSAT 11, 2019.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

from masksynth.backends import Limits, Outcome, Status
from masksynth.errors import MasksynthError
from masksynth.problem import Problem
from masksynth_solvers.encoding import Encoding
from masksynth_solvers.interruptible import run, search


class MaxSat:
    """The backend ``maxsat``. It is deterministic and ignores the seed and the number of workers."""

    name = "maxsat"

    def available(self) -> str:
        """Return an empty string, or the install line."""
        return "" if find_spec("pysat") else "python-sat: pip install python-sat"

    def versions(self) -> dict[str, str]:
        """Return the version of PySAT."""
        return {"python-sat": version("python-sat")}

    def solve(self, problem: Problem, limits: Limits) -> Outcome:
        """Find a partition of least cost; on a time-out, return all nodes apart with the bound of the cores so far."""
        return search(problem, limits, self._search)

    def _search(self, encoding: Encoding, until: float | None) -> Outcome:
        from pysat.examples.rc2 import RC2
        from pysat.formula import WCNF

        formula = WCNF()
        formula.extend(encoding.clauses)
        formula.extend([[-literal] for literal in encoding.cost], weights=[1] * len(encoding.cost))
        proof = f"RC2 of PySAT {self.versions()['python-sat']}: disjoint unsatisfiable cores"
        with RC2(formula, solver="g4") as rc2:
            model, stopped = run(lambda: rc2.compute(expect_interrupt=True), rc2.interrupt, until)
            bound = encoding.offset + int(rc2.cost)
        if model is None and not stopped:
            raise MasksynthError("RC2 found no model of a problem that always has a solution")
        if model is None:
            return Outcome(Status.FEASIBLE, encoding.classes(encoding.apart()), bound, proof)
        return Outcome(Status.OPTIMAL, encoding.classes(model), bound, proof)
