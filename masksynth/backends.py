"""Search backends: their protocol, their registry by name, limits, statuses and results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from masksynth.errors import Contradiction, InvalidInstance, Unsupported

if TYPE_CHECKING:
    from masksynth.problem import Problem
    from masksynth.tasks import MergedTask

BACKENDS = {
    "criterion": "masksynth.solve:Criterion",
    "brute": "masksynth_solvers.brute:Brute",
    "cpsat": "masksynth_solvers.cpsat:CpSat",
    "maxsat": "masksynth_solvers.maxsat:MaxSat",
    "ilp": "masksynth_solvers.ilp:Ilp",
}
"""Name -> "module:Class". Other packages register theirs under the entry point group ``masksynth.backends``."""
GROUP = "masksynth.backends"
"""Entry point group of search backends."""
MOVED = (
    "ENGINES",
    "PORTFOLIO",
    "Engine",
    "SparseOutcome",
    "Standing",
    "engine",
    "engine_names",
    "sparse_search",
)
"""Names that now live in `masksynth.sparse.engines`; importing them from here works for one more release."""


class Status(Enum):
    """Status of an answer. The value is the sentence that defines it."""

    OPTIMAL = "An answer was found, and none has fewer positions (of a sparse mask: fewer edges)."
    FEASIBLE = "An answer was found; a limit was reached before it was proved that none is smaller."
    INFEASIBLE = "No answer exists, because a task shows a prediction what it hides, or forbidden edges cut the flow."
    UNKNOWN = "A limit was reached before an answer was found; nothing is proved."


@dataclass(frozen=True)
class Objective:
    """Best value found and proved lower bound. The answer is optimal iff the two are equal.

    Parameters
    ----------
    value : int
        Number of positions or edges (for a weighted sparse mask: total weight) of the answer.
    bound : int
        Proved lower bound on ``value`` over all answers.

    Raises
    ------
    Contradiction
        If the bound is above the value.
    """

    value: int
    bound: int

    def __post_init__(self) -> None:
        if self.bound > self.value:
            raise Contradiction("a bound", self.bound, "an answer", self.value)


@dataclass(frozen=True)
class Limits:
    """Limits of a search.

    Parameters
    ----------
    seconds : float, optional
        Wall-clock time of the search in seconds; None: no limit.
    workers : int
        Number of threads that a solver may use; 1 is deterministic.
    seed : int
        Random seed of the solver.
    effort : float, optional
        Deterministic limit of a sparse search. One unit takes an engine about a second. None: no limit.
    """

    seconds: float | None = None
    workers: int = 1
    seed: int = 0
    effort: float | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "effort"):
            value = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 <= value < 1e9):
                raise InvalidInstance(f"{name}: expected a number from 0 to 1e9, got {value!r}", "limits")
        for name, low, high in (("workers", 1, 4096), ("seed", 0, 2**31 - 1)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InvalidInstance(f"{name}: expected an integer from {low} to {high}, got {value!r}", "limits")


@dataclass(frozen=True)
class Outcome:
    """Result that a backend returns, before it is checked.

    Parameters
    ----------
    status : Status
        OPTIMAL, FEASIBLE or UNKNOWN.
    found : tuple of int or MergedTask or None
        The class of each live node (numbered in order of first appearance), or the merged task itself.
    bound : int
        Proved lower bound on the number of positions.
    proof : str
        How the bound was proved, for the certificate.
    """

    status: Status
    found: tuple[int, ...] | MergedTask | None
    bound: int
    proof: str


class Backend(Protocol):
    """Interface of a search backend; ``solvers/README.md`` explains how to add one."""

    name: str

    def available(self) -> str:
        """Return an empty string, or what to install."""

    def solve(self, problem: Problem, limits: Limits) -> Outcome:
        """Find a partition of the live nodes with the least cost; raise Unsupported for problems it cannot solve."""

    def versions(self) -> dict[str, str]:
        """Return names and versions of the solvers that it runs."""


def names() -> list[str]:
    """Return the names of all registered backends."""
    return registered_names(BACKENDS, GROUP)


def backend(name: str) -> Backend:
    """Return the backend called ``name``.

    Raises
    ------
    Unsupported
        If there is no such backend, or a package that it needs is not installed. There is no fallback to another
        backend.

    Examples
    --------
    >>> backend("criterion").name
    'criterion'
    """
    chosen: Backend = load_plugin(name, BACKENDS, GROUP, "backend")()
    if missing := chosen.available():
        raise Unsupported(f"backend {name!r} needs {missing}")
    return chosen


def registered_names(table: dict[str, str], group: str) -> list[str]:
    """Return the names in a table, then those of the entry point group ``group`` that are not in it, sorted."""
    return [*table, *sorted(point.name for point in entry_points(group=group) if point.name not in table)]


def load_plugin(name: str, table: dict[str, str], group: str, kind: str) -> Any:
    """Import the object that is registered as ``name``.

    Parameters
    ----------
    name : str
    table : dict of str to str
        Name -> "module:attribute".
    group : str
        Entry point group that is searched for names that are not in the table.
    kind : str
        What the object is, for messages: "backend", "sparse backend".

    Raises
    ------
    Unsupported
        If the name is not registered, or the import fails.
    """
    known = table.get(name) if isinstance(name, str) else None
    target = known or next((point.value for point in entry_points(group=group) if point.name == name), None)
    if target is None:
        raise Unsupported(f"unknown {kind} {name!r}; choose from auto, {', '.join(registered_names(table, group))}")
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise Unsupported(f"{kind} {name!r} cannot be loaded from {target}: {error}") from error


def __getattr__(name: str) -> Any:
    if name in MOVED:
        return getattr(import_module("masksynth.sparse.engines"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
