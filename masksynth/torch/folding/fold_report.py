"""What a fold has done so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FoldReport:
    """Counts of the calls of a folded model.

    Parameters
    ----------
    calls : int
        Calls of the backbone.
    folded : int
        Calls that ran merged.
    passed : mapping of str to int
        Calls that ran as they were, by reason.
    tokens : int
        Real tokens of the folded calls.
    positions : int
        Merged positions that were run for them; filling is not counted.
    seconds : float
        Wall time spent on merging and on gathering.
    checks : int
        How often a merged row was compared with the model's own run.
    """

    calls: int = 0
    folded: int = 0
    passed: Mapping[str, int] = field(default_factory=dict)
    tokens: int = 0
    positions: int = 0
    seconds: float = 0.0
    checks: int = 0

    @property
    def ratio(self) -> float:
        """Tokens per position; 1 if nothing was folded.

        Examples
        --------
        >>> FoldReport(tokens=240, positions=120).ratio, FoldReport().ratio
        (2.0, 1.0)
        """
        return self.tokens / self.positions if self.positions else 1.0

    def __str__(self) -> str:
        passed = "".join(f", {count} passed ({reason})" for reason, count in self.passed.items())
        merged = f"{self.tokens:,} tokens at {self.positions:,} positions ({self.ratio:.2f}x)"
        return f"{self.calls} calls, {self.folded} folded{passed}: {merged}, {self.seconds:.3f} s"
