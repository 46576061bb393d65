"""What is left of the limits of a search."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from time import monotonic


@dataclass
class Budget:
    """Time and deterministic effort that are left.

    Parameters
    ----------
    until : float or None
        End of the search, of ``time.monotonic``; None: open.
    effort : float
    """

    until: float | None = None
    effort: float = inf

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.effort <= 0 or (self.until is not None and monotonic() >= self.until)

    def end(self) -> None:
        """Use up everything, as Ctrl-C does."""
        self.effort = 0.0

    def half(self) -> Budget:
        """A budget of half of what is left.

        Examples
        --------
        >>> Budget(None, 10.0).half()
        Budget(until=None, effort=5.0)
        """
        now = monotonic()
        return Budget(None if self.until is None else now + max(0.0, self.until - now) / 2, self.effort / 2)
