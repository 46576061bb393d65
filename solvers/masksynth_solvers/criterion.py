"""The closed form as a backend: colour refinement, minimal by the theorem of ``docs/theory.md``."""

from __future__ import annotations

from importlib.metadata import version

from masksynth.backends import Limits, Outcome, Status
from masksynth.merge import merge_family
from masksynth.problem import Problem


class Criterion:
    """The backend ``criterion``: any depth and finite layers, near-linear on chains and trees; limits are not needed."""

    name = "criterion"

    def available(self) -> str:
        """Always there."""
        return ""

    def versions(self) -> dict[str, str]:
        """The version of masksynth itself."""
        return {"masksynth": version("masksynth")}

    def solve(self, problem: Problem, limits: Limits) -> Outcome:
        """The minimal merged task."""
        merged = merge_family(problem.family, problem.layers)
        return Outcome(
            Status.OPTIMAL,
            merged,
            len(merged.positions),
            "colour refinement: every class needs its copies (docs/theory.md)",
        )
