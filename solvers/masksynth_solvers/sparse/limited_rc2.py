"""RC2 whose calls of the SAT solver are all limited in conflicts, so that a search can be stopped and continued."""

from __future__ import annotations

from typing import Any

from pysat.examples.rc2 import RC2

EXHAUSTION = 2_000
"""Conflicts for one attempt to raise the bound of a core's sum."""


class LimitedRC2(RC2):  # type: ignore[misc]
    """RC2 of PySAT; a core's bound is raised as far as few conflicts prove."""

    def exhaust_core(self, tobj: Any) -> int | None:
        """Raise the bound of a core's sum while the solver refutes one more; None if all of the core is needed.

        PySAT's method does the same without a limit. It takes a call that reached its limit for a refutation, so it
        could not be given one: the bound would be wrong.
        """
        bound = 1
        while True:
            self.oracle.conf_budget(EXHAUSTION)
            if self.oracle.solve_limited(assumptions=[*self.filt, -tobj.rhs[bound]]) is not False:
                return bound
            self.cost += self.minw
            bound += 1
            if bound >= len(self.rels):
                return None
            literal = -tobj.rhs[bound - 1]
            self.tobj[literal], self.bnds[literal] = tobj, bound - 1
            self.update_sum(literal)
