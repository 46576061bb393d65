"""The schema of one line of results, for msgspec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Depth = Annotated[int, msgspec.Meta(ge=1)]


class Size(msgspec.Struct):
    """Best value and proved lower bound."""

    value: int
    bound: int

    def __post_init__(self) -> None:
        if self.bound > self.value:
            raise ValueError(f"expected a bound of at most the value {self.value}, got {self.bound}")


class Line(msgspec.Struct):
    """One line of results; see `masksynth.search.Result`."""

    instance: str
    hash: str | None
    backend: str
    layers: Depth | None
    sparse: bool
    status: Literal["OPTIMAL", "FEASIBLE", "INFEASIBLE", "UNKNOWN"] | None
    objective: dict[str, Size]
    winner: str | None
    seconds: Seconds
    error: str | None
    versions: dict[str, str]
    limits: dict[str, Any]
    folder: str | None

    def __post_init__(self) -> None:
        for kind, size in self.objective.items():
            if self.status == "OPTIMAL" and size.bound < size.value:
                raise ValueError(
                    f"expected OPTIMAL with equal value and bound of {kind}, got {size.value} and {size.bound}"
                )
