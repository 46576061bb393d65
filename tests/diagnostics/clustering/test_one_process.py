"""scipy's solvers, which carry a HiGHS of their own, and OR-tools in one process, whichever comes first."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCIPY = """
from scipy.optimize import LinearConstraint, linprog, milp
assert abs(linprog([-1, -2], A_ub=[[1, 1]], b_ub=[4], bounds=[(0, 3), (0, 3)], method="highs").fun + 7) < 1e-9
assert abs(milp([-1, -2], constraints=LinearConstraint([[2, 2]], ub=7), integrality=[1, 1]).fun + 6) < 1e-9
"""
ORTOOLS = """
from ortools.sat.python import cp_model
from ortools.linear_solver import pywraplp
model = cp_model.CpModel()
x = model.new_int_var(0, 9, "x")
model.add(2 * x <= 7)
model.maximize(x)
solver = cp_model.CpSolver()
assert solver.solve(model) == cp_model.OPTIMAL and solver.value(x) == 3
for name in ("HIGHS", "SCIP", "GLOP"):
    lp = pywraplp.Solver.CreateSolver(name)
    y = lp.NumVar(0, 5, "y")
    lp.Add(2 * y <= 7)
    lp.Maximize(y)
    assert lp.Solve() == pywraplp.Solver.OPTIMAL and abs(y.solution_value() - 3.5) < 1e-6, name
"""
OURS = """
import masksynth as ms
from masksynth.diagnostics.clustering import diagnose
for backend in ("cpsat", "ilp"):
    answer = ms.solve(ms.catalog.butterfly(n=3), backend=backend)
    assert answer.status is ms.Status.OPTIMAL
    diagnose(answer.merged.mask, seeds=1, time=1.0)
"""


@pytest.mark.parametrize(
    "parts", [(SCIPY, ORTOOLS, SCIPY), (ORTOOLS, SCIPY, ORTOOLS), (SCIPY, OURS, ORTOOLS), (OURS, SCIPY)]
)
def test_both_solve_in_one_process(parts):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "".join(parts)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_a_wrong_optimum_would_be_seen():
    done = subprocess.run(
        [sys.executable, "-c", SCIPY.replace("+ 7", "+ 8")], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "AssertionError" in done.stderr
