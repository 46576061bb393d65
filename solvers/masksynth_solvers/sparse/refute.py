"""``python -m masksynth_solvers.sparse.refute FORMULA PROOF``: run CaDiCaL in a process that can be killed.

Exit codes as in SAT competitions: 20, unsatisfiable, and the proof is written; 10, satisfiable; any other: error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

REFUTED, HAS_MODEL = 20, 10
SLICE = 20_000
"""Conflicts between two checks whether the parent process is alive; CaDiCaL cannot be interrupted."""


def refute(formula: Path, proof: Path) -> bool:
    """Write a textual DRUP proof that a DIMACS formula is unsatisfiable; return False if it is satisfiable."""
    from pysat.solvers import Solver

    parent = os.getppid()
    with formula.open(encoding="ascii") as lines:
        clauses = [list(map(int, line.split()))[:-1] for line in lines if line[0] not in "cp"]
    if [] in clauses:
        proof.write_text("0\n", encoding="ascii")
        return True
    with Solver("cadical195", bootstrap_with=clauses, with_proof=True) as solver:
        satisfiable = None
        while satisfiable is None:
            if os.getppid() != parent:
                sys.exit(2)
            solver.conf_budget(SLICE)
            satisfiable = solver.solve_limited()
        if satisfiable:
            return False
        with proof.open("w", encoding="ascii") as file:
            file.writelines(f"{line}\n" for line in solver.get_proof())
    return True


if __name__ == "__main__":
    sys.exit(REFUTED if refute(Path(sys.argv[1]), Path(sys.argv[2])) else HAS_MODEL)
