"""The error of a structure that does not keep its contracts."""

from __future__ import annotations

from typing import Any

from masksynth.errors import WrongAnswer


class BrokenContract(WrongAnswer):
    """A structure does not keep its contracts.

    Parameters
    ----------
    requirement : str
        ``inputs``, ``targets``, ``layers``, ``rows``, ``updated``, ``need``, ``hide``, or a demand.
    fact : str
    target, element : JSON value
        Label of the target and the element concerned; None if there is none.
    layer : int, optional
        From 1.
    path : tuple of int
        Positions, one read after another, from one that embeds the element to the target.
    """

    def __init__(
        self,
        requirement: str,
        fact: str,
        target: Any = None,
        element: Any = None,
        layer: int | None = None,
        path: tuple[int, ...] = (),
    ) -> None:
        super().__init__(requirement, fact, path=tuple(str(position) for position in path))
        self.target, self.element, self.layer, self.positions = target, element, layer, path

    def __reduce__(self) -> Any:
        return type(self), (self.requirement, self.fact, self.target, self.element, self.layer, self.positions)
