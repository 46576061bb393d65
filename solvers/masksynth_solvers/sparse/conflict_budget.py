"""How many conflicts one call of a SAT solver may take, so that deterministic effort and the clock are both respected.

Each call restarts CaDiCaL's schedules of restarts and clause deletion: few long calls prove more than many short ones
(chains of 19 to 23 positions at L = 3 to 6: a half to a fifth of the conflicts of calls of 2,000). The solver cannot be
interrupted during a call, so near the end of the time calls become short.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

CONFLICTS = 8_000
"""Conflicts per unit of effort, and the speed that is assumed before it can be measured."""
MOST = 40_000
"""Maximum number of conflicts of a call: Ctrl-C waits for its end."""
LEAST = 200
"""Number of conflicts of a call when no time is left."""


@dataclass
class ConflictBudget:
    """Conflicts and seconds that one solver has spent so far."""

    conflicts: int = 0
    seconds: float = 0.0

    def next_call(self, left: int, until: float | None) -> int:
        """Return the conflicts of the next call: at most ``left``, and those of half the time until ``until``.

        Examples
        --------
        >>> ConflictBudget().next_call(3_000, None)
        3000
        """
        most = min(left, MOST)
        if until is None:
            return most
        speed = self.conflicts / self.seconds if self.seconds > 0.1 else CONFLICTS
        return int(min(most, max(LEAST, speed * (until - monotonic()) / 2)))

    def spend(self, conflicts: int, began: float) -> None:
        """Count the conflicts of a call that began at the time ``began`` (``time.monotonic``)."""
        self.conflicts += conflicts
        self.seconds += monotonic() - began
