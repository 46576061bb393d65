"""Remaining time and effort of a search."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from time import monotonic

STEP = 0.25
"""Effort of the first steps of an engine ..."""
GROWTH = 0.2
"""... and of later ones, relative to what it has spent: long calls of a SAT solver prove more than short ones ..."""
RACING_GROWTH = 0.05
"""... and the same of the engine that looks between steps whether another process has found the proof."""


@dataclass
class Budget:
    """Remaining time and deterministic effort.

    Parameters
    ----------
    until : float or None
        End of the search, by ``time.monotonic``; None: no limit.
    effort : float
        Remaining effort in units of about a second.
    """

    until: float | None = None
    effort: float = inf

    @property
    def over(self) -> bool:
        """Whether the time or the effort is used up."""
        return self.effort <= 0 or (self.until is not None and monotonic() >= self.until)

    def end(self) -> None:
        """Use up the remaining effort, as after Ctrl-C."""
        self.effort = 0.0

    def share(self, count: int) -> Budget:
        """Return one of ``count`` equal shares of the remaining time and effort.

        Examples
        --------
        >>> Budget(None, 10.0).share(2)
        Budget(until=None, effort=5.0)
        """
        now = monotonic()
        return Budget(None if self.until is None else now + max(0.0, self.until - now) / count, self.effort / count)


def next_step(spent: float, growth: float = GROWTH) -> float:
    """Return the effort of the next step of an engine that has spent some effort."""
    return max(STEP, growth * spent)
