"""Backends: one protocol, one table of names, statuses whose members are their meanings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

from masksynth.errors import Contradiction, InvalidInstance, Unsupported
from masksynth.problem import Problem
from masksynth.sparse import Reduction, SparseProblem
from masksynth.tasks import MergedTask

BACKENDS = {
    "criterion": "masksynth_solvers.criterion:Criterion",
    "brute": "masksynth_solvers.brute:Brute",
    "cpsat": "masksynth_solvers.cpsat:CpSat",
    "maxsat": "masksynth_solvers.maxsat:MaxSat",
    "ilp": "masksynth_solvers.ilp:Ilp",
}
"""Name -> "module:Class"; others register under the entry point group ``masksynth.backends``."""

ENGINES = {
    "sat": "masksynth_solvers.sparse.descent:Descent",
    "maxsat": "masksynth_solvers.sparse.rc2:Rc2",
    "cpsat": "masksynth_solvers.sparse.cores:Cores",
    "ilp": "masksynth_solvers.sparse.linear:Linear",
    "brute": "masksynth_solvers.sparse.enumeration:Brute",
}
"""Engines for sparse masks, name -> "module:Class"; others register under the entry point group ``masksynth.engines``."""
PORTFOLIO = ("sat", "maxsat", "cpsat")
"""The engines of ``auto``."""


class Status(Enum):
    """What an answer claims; the value is the sentence that defines it."""

    OPTIMAL = "An answer was found, and none has fewer positions (of a sparse mask: fewer edges)."
    FEASIBLE = "An answer was found; a limit was reached before it was proved that none is smaller."
    INFEASIBLE = "No answer exists, because a task shows a prediction what it hides, or forbidden edges cut the flow."
    UNKNOWN = "A limit was reached before an answer was found; nothing is proved."


@dataclass(frozen=True)
class Objective:
    """A value that was reached and a bound that was proved; equal iff optimal.

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
        Wall-clock time for the search; None: no limit.
    workers : int
        Threads that a solver may use; 1 is deterministic.
    seed : int
        Random seed of the solver.
    effort : float, optional
        Deterministic limit of a sparse search, in units that take an engine about a second; None: no limit.
    """

    seconds: float | None = None
    workers: int = 1
    seed: int = 0
    effort: float | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "effort"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and 0 <= value < 1e9):
                raise InvalidInstance(f"{name}={value!r} is not a number from 0 to 1e9", "limits")
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


@dataclass(frozen=True)
class Standing:
    """What is known about one part of a sparse problem: the best solution found and the best bound proved, and by which engine.

    Parameters
    ----------
    upper : int
        Weight of ``chosen``.
    lower : int
        No solution weighs less.
    chosen : tuple of edges
        (query, key), or (layer, query, key) of a layered problem.
    found_by, proved_by : str
        The engines that the solution and the bound are from.

    Raises
    ------
    Contradiction
        If the bound is above the weight of the solution, by whichever of the methods below it came to that.

    Examples
    --------
    >>> Standing(5, 2, ((1, 0),)).proved(6, "sat")
    Traceback (most recent call last):
    masksynth.errors.Contradiction: contradiction: sat proved that at least 6 are needed, but greedy found 5; ...
    """

    upper: int
    lower: int
    chosen: tuple[tuple[int, ...], ...]
    found_by: str = "greedy"
    proved_by: str = "none"

    def __post_init__(self) -> None:
        if self.lower > self.upper:
            raise Contradiction(self.proved_by, self.lower, self.found_by, self.upper)

    @property
    def closed(self) -> bool:
        """Whether the solution is proved optimal."""
        return self.lower == self.upper

    def better(self, other: Standing) -> Standing:
        """The better solution and the better bound of two standings.

        Examples
        --------
        >>> Standing(5, 2, ((1, 0),), "sat", "cpsat").better(Standing(4, 1, ((2, 0),), "cpsat", "sat"))
        Standing(upper=4, lower=2, chosen=((2, 0),), found_by='cpsat', proved_by='cpsat')
        """
        best = self if self.upper <= other.upper else other
        bound = self if self.lower >= other.lower else other
        return Standing(best.upper, bound.lower, best.chosen, best.found_by, bound.proved_by)

    def found(self, chosen: tuple[tuple[int, ...], ...], weight: int, engine: str) -> Standing:
        """With a solution, if it is better."""
        return Standing(weight, self.lower, chosen, engine, self.proved_by) if weight < self.upper else self

    def proved(self, bound: int, engine: str) -> Standing:
        """With a bound, if it is better."""
        return Standing(self.upper, bound, self.chosen, self.found_by, engine) if bound > self.lower else self


@dataclass(frozen=True)
class SparseOutcome:
    """What a sparse search returns.

    Parameters
    ----------
    reduction : Reduction
        The problem taken apart.
    standings : tuple of Standing
        How each part stands, in the order of ``reduction.parts``.
    floor : int, optional
        A bound on the weight of the whole that a construction came with, and ``floor_proof``, where it comes from.
    """

    reduction: Reduction
    standings: tuple[Standing, ...]
    floor: int | None = None
    floor_proof: str = ""


class Engine(Protocol):
    """An exact search for one part of a sparse problem, which goes on in slices and learns from what others found meanwhile."""

    def __init__(self, formula: Any, seed: int) -> None: ...

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Search for about ``effort`` units of deterministic work, not beyond ``until`` (of ``time.monotonic``)."""


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
    return _names(BACKENDS, "masksynth.backends")


def engine_names() -> list[str]:
    """Names of all registered engines for sparse masks."""
    return _names(ENGINES, "masksynth.engines")


def _names(table: dict[str, str], group: str) -> list[str]:
    return [*table, *sorted(point.name for point in entry_points(group=group) if point.name not in table)]


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
    found: Backend = _loaded(name, BACKENDS, "masksynth.backends", "backend")()
    if missing := found.available():
        raise Unsupported(f"backend {name!r} needs {missing}")
    return found


def engine(name: str) -> type[Engine]:
    """The engine for sparse masks called ``name``.

    Raises
    ------
    Unsupported
        If there is no such engine, or what it needs is not installed; it never falls back to another.

    Examples
    --------
    >>> engine("sat").__name__
    'Descent'
    """
    found: type[Engine] = _loaded(name, ENGINES, "masksynth.engines", "sparse backend")
    return found


def sparse_search(
    problem: SparseProblem, engines: Sequence[str], limits: Limits, progress: Callable[[int, int], None] | None = None
) -> SparseOutcome:
    """Search a sparse problem with the named engines, side by side; ``progress`` hears weight and bound while it goes on.

    Examples
    --------
    >>> import numpy as np
    >>> outcome = sparse_search(SparseProblem(np.tril(np.ones((7, 7), bool)), 2), ["sat"], Limits())
    >>> len(outcome.reduction.sure), [(standing.lower, standing.upper) for standing in outcome.standings]
    (6, [(4, 4)])
    """
    for name in engines:
        engine(name)
    found: SparseOutcome = _loaded(
        "search", {"search": "masksynth_solvers.sparse.portfolio:search"}, "", "sparse search"
    )(problem, engines, limits, *([progress] if progress else []))
    return found


def _loaded(name: str, table: dict[str, str], group: str, kind: str) -> Any:
    target = table.get(name) or next((p.value for p in entry_points(group=group) if p.name == name), None)
    if target is None:
        raise Unsupported(f"unknown {kind} {name!r}; choose from auto, {', '.join(_names(table, group))}")
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise Unsupported(f"{kind} {name!r} cannot be loaded from {target}: {error}") from error
