"""``python -m masksynth_solvers.sparse.refute FORMULA PROOF``: CaDiCaL in a process of its own, which can be ended at any time.

Exit code 20: the proof is written. 10: the formula has a model. As solvers have it; anything else is trouble.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

REFUTED, HAS_MODEL = 20, 10
SLICE = 20_000
"""Conflicts between two looks at whether the parent still lives; CaDiCaL cannot be interrupted."""


def refute(formula: Path, proof: Path) -> bool:
    """Write a DRUP proof, as text, that a DIMACS formula has no model; return False if it has one."""
    from pysat.solvers import Solver

    parent = os.getppid()
    with formula.open(encoding="ascii") as lines:
        clauses = [list(map(int, line.split()))[:-1] for line in lines if line[0] not in "cp"]
    if [] in clauses:
        proof.write_text("0\n", encoding="ascii")
        return True
    with Solver("cadical195", bootstrap_with=clauses, with_proof=True) as solver:
        found = None
        while found is None:
            if os.getppid() != parent:
                sys.exit(2)
            solver.conf_budget(SLICE)
            found = solver.solve_limited()
        if found:
            return False
        with proof.open("w", encoding="ascii") as file:
            file.writelines(f"{line}\n" for line in solver.get_proof())
    return True


if __name__ == "__main__":
    sys.exit(REFUTED if refute(Path(sys.argv[1]), Path(sys.argv[2])) else HAS_MODEL)
