"""The best candidate so far of a search, and what is known about how much better one could be."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from masksynth.contracts import Contracts
from masksynth.discover.candidate import confirm
from masksynth.discover.discovery import Candidate
from masksynth.discover.measure import Sizes, measure
from masksynth.discover.meet_demands import meet_demands
from masksynth.discover.structure import Structure, prune

Progress = Callable[[float, float], None]
"""Called with the best value and the bound so far."""
TOLERANCE = 1e-12
"""Relative difference up to which two costs are equal: sums of products of weights are rounded."""


class Incumbent:
    """Keep the best candidate by a key that is minimised; only confirmed candidates are kept.

    Parameters
    ----------
    contracts : Contracts
    key : function
        Candidate value of sizes, to be minimised: the cost, or minus the pairs.
    seconds : float, optional
        Time until `is_over`; None: no limit.
    improved : function, optional
        Called after each improvement.
    """

    def __init__(
        self,
        contracts: Contracts,
        key: Callable[[Sizes], float],
        seconds: float | None,
        improved: Callable[[Incumbent], None] | None = None,
    ) -> None:
        self.contracts, self.key, self.improved = contracts, key, improved
        self.best: Candidate | None = None
        self.started = perf_counter()
        self.deadline = float("inf") if seconds is None else self.started + seconds

    @property
    def value(self) -> float:
        """The least key so far; infinity if there is no candidate."""
        return float("inf") if self.best is None else self.key(self.best.sizes)

    @property
    def remaining(self) -> float:
        """Seconds that are left."""
        return self.deadline - perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the search began."""
        return perf_counter() - self.started

    def offer(self, structure: Structure) -> bool:
        """Confirm a structure if it would be better than the best so far; return whether it is.

        Reads are added first if it does not meet the demands of the contracts.

        Raises
        ------
        WrongAnswer
            If a checker rejects it: a defect of what built it.
        """
        structure = prune(meet_demands(structure, self.contracts), self.contracts.masks)
        if not is_less(self.key(measure(structure, self.contracts)), self.value):
            return False
        candidate = confirm(structure, self.contracts)
        if not is_less(self.key(candidate.sizes), self.value):
            return False
        self.best = candidate
        if self.improved is not None:
            self.improved(self)
        return True


def is_less(left: float, right: float) -> bool:
    """Return whether a value is less than another by more than rounding."""
    return left < right - TOLERANCE * abs(right) if right != float("inf") else left < right
