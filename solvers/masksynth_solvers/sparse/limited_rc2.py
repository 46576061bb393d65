"""RC2 whose calls of the SAT solver are all limited in conflicts, so that a search can be stopped and continued."""

from __future__ import annotations

from typing import Any

from pysat.examples.rc2 import RC2

EXHAUSTION = 2_000
"""Conflicts for one attempt to raise the bound of a core's sum."""
MINIMIZATION = 100
"""Conflicts for one attempt to remove a literal from a core ..."""
ATTEMPTS = 200
"""... and most attempts for one core."""


class LimitedRC2(RC2):  # type: ignore[misc]
    """RC2 of PySAT; with ``minz``, cores are reduced; the bound of a core's sum is raised; both by few conflicts.

    ``calls`` counts the calls of the solver in both.
    """

    calls = 0
    core: list[int]

    def _is_core(self, assumptions: list[int], conflicts: int) -> bool:
        """Return whether few conflicts refute the assumptions."""
        self.calls += 1
        self.oracle.conf_budget(conflicts)
        return self.oracle.solve_limited(assumptions=assumptions) is False

    def minimize_core(self) -> None:
        """Remove literals from the core, the lightest first, while the solver proves that the others are a core.

        PySAT's method gives up at the first attempt that reaches its limit.
        """
        if not self.minz:
            return
        open_literals = sorted(self.core, key=lambda literal: self.wght[literal])
        needed: list[int] = []
        last = self.calls + ATTEMPTS
        while open_literals and self.calls < last:
            literal, *rest = open_literals
            if self._is_core([*needed, *rest], MINIMIZATION):
                core = set(self.oracle.get_core() or ())
                needed = [other for other in needed if other in core]
                open_literals = [other for other in rest if other in core]
            else:
                needed.append(literal)
                open_literals = rest
        self.core = [*needed, *open_literals]

    def exhaust_core(self, tobj: Any) -> int | None:
        """Raise the bound of a core's sum while the solver refutes one more; None if all of the core is needed.

        PySAT's method does the same without a limit. It takes a call that reached its limit for a refutation, so it
        could not be given one: the bound would be wrong.
        """
        bound = 1
        while self._is_core([*self.filt, -tobj.rhs[bound]], EXHAUSTION):
            self.cost += self.minw
            bound += 1
            if bound >= len(self.rels):
                return None
            literal = -tobj.rhs[bound - 1]
            self.tobj[literal], self.bnds[literal] = tobj, bound - 1
            self.update_sum(literal)
        return bound
