"""Backends: one protocol, one table of names, statuses whose members are their meanings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.problem import Problem
from masksynth.tasks import MergedTask

BACKENDS = {
    "criterion": "masksynth_solvers.criterion:Criterion",
    "brute": "masksynth_solvers.brute:Brute",
    "cpsat": "masksynth_solvers.cpsat:CpSat",
    "maxsat": "masksynth_solvers.maxsat:MaxSat",
    "ilp": "masksynth_solvers.ilp:Ilp",
}
"""Name -> "module:Class"; others register under the entry point group ``masksynth.backends``."""


class Status(Enum):
    """What an answer claims; the value is the sentence that defines it."""

    OPTIMAL = "A merged task was found, and no merged task has fewer positions."
    FEASIBLE = "A merged task was found; a limit was reached before it was proved that none has fewer positions."
    INFEASIBLE = "No merged task exists, because a task shows a prediction what it hides."
    UNKNOWN = "A limit was reached before a merged task was found; nothing is proved."


@dataclass(frozen=True)
class Limits:
    """Limits of a search.

    Parameters
    ----------
    seconds : float, optional
        Wall-clock time for the search; None: no limit.
    workers : int
        Threads that a solver may use; 1 is deterministic.
    seed : int
        Random seed of the solver.
    """

    seconds: float | None = None
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seconds is not None and not (isinstance(self.seconds, (int, float)) and 0 <= self.seconds < 1e9):
            raise InvalidInstance(f"seconds={self.seconds!r} is not a number from 0 to 1e9", "limits")
        for name, low, high in (("workers", 1, 4096), ("seed", 0, 2**31 - 1)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InvalidInstance(f"{name}={value!r} is not an integer from {low} to {high}", "limits")


@dataclass(frozen=True)
class Outcome:
    """What a backend returns.

    Parameters
    ----------
    status : Status
        OPTIMAL, FEASIBLE or UNKNOWN.
    found : tuple of int or MergedTask or None
        The class of every live node (numbered by first appearance), or the merged task itself.
    bound : int
        A proved lower bound on the number of positions.
    proof : str
        How the bound was proved, for the certificate.
    """

    status: Status
    found: tuple[int, ...] | MergedTask | None
    bound: int
    proof: str


class Backend(Protocol):
    """What a backend must offer; see ``solvers/README.md`` for how to add one."""

    name: str

    def available(self) -> str:
        """An empty text, or what to install."""

    def solve(self, problem: Problem, limits: Limits) -> Outcome:
        """Find a coincidence of least cost; raise Unsupported for what it cannot do."""

    def versions(self) -> dict[str, str]:
        """Names and versions of the solvers behind it."""


def names() -> list[str]:
    """Names of all registered backends."""
    return [*BACKENDS, *sorted(point.name for point in entry_points(group="masksynth.backends") if point.name not in BACKENDS)]


def backend(name: str) -> Backend:
    """The backend called ``name``.

    Raises
    ------
    Unsupported
        If there is no such backend, or what it needs is not installed; it never falls back to another.

    Examples
    --------
    >>> backend("criterion").name
    'criterion'
    """
    target = BACKENDS.get(name) or next((p.value for p in entry_points(group="masksynth.backends") if p.name == name), None)
    if target is None:
        raise Unsupported(f"unknown backend {name!r}; choose from auto, {', '.join(names())}")
    module, _, attribute = target.partition(":")
    try:
        found: Backend = getattr(import_module(module), attribute)()
    except (ImportError, AttributeError) as error:
        raise Unsupported(f"backend {name!r} cannot be loaded from {target}: {error}") from error
    if missing := found.available():
        raise Unsupported(f"backend {name!r} needs {missing}")
    return found
