"""Engines that search sparse masks: their protocol, their registry, and the solutions and bounds they exchange."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from masksynth.backends import Limits, load_plugin, registered_names
from masksynth.errors import Contradiction
from masksynth.sparse.reduce import Reduction
from masksynth.sparse.sparse_problem import SparseProblem

ENGINES = {
    "sat": "masksynth_solvers.sparse.descent:Descent",
    "maxsat": "masksynth_solvers.sparse.rc2:Rc2",
    "cpsat": "masksynth_solvers.sparse.cores:Cores",
    "ilp": "masksynth_solvers.sparse.linear:Linear",
    "brute": "masksynth_solvers.sparse.enumeration:Brute",
}
"""Name -> "module:Class". Other packages register theirs under the entry point group ``masksynth.engines``."""
GROUP = "masksynth.engines"
"""Entry point group of engines."""
PORTFOLIO = ("sat", "maxsat", "cpsat")
"""Engines that ``auto`` runs."""
SEARCH = {"search": "masksynth_solvers.sparse.portfolio:search"}
"""The function that runs the engines."""


@dataclass(frozen=True)
class Standing:
    """Best solution and best bound so far for one component of a sparse problem, and the engines they came from.

    Parameters
    ----------
    upper : int
        Weight of ``chosen``, an upper bound on the least weight.
    lower : int
        Proved lower bound: no solution weighs less.
    chosen : tuple of edges
        (query, key), or (layer, query, key) of a layered problem.
    found_by, proved_by : str
        Names of the engines that found the solution and proved the bound.

    Raises
    ------
    Contradiction
        If the lower bound is above the weight of the solution, whichever method below led to it.

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
        """Return the better solution and the better bound of the two.

        Examples
        --------
        >>> Standing(5, 2, ((1, 0),), "sat", "cpsat").better(Standing(4, 1, ((2, 0),), "cpsat", "sat"))
        Standing(upper=4, lower=2, chosen=((2, 0),), found_by='cpsat', proved_by='cpsat')
        """
        best = self if self.upper <= other.upper else other
        bound = self if self.lower >= other.lower else other
        return Standing(best.upper, bound.lower, best.chosen, best.found_by, bound.proved_by)

    def found(self, chosen: tuple[tuple[int, ...], ...], weight: int, engine: str) -> Standing:
        """Return the standing with a solution of ``weight`` from ``engine``, if it is lighter than the present one."""
        return Standing(weight, self.lower, chosen, engine, self.proved_by) if weight < self.upper else self

    def proved(self, bound: int, engine: str) -> Standing:
        """Return the standing with a lower bound proved by ``engine``, if it is higher than the present one."""
        return Standing(self.upper, bound, self.chosen, self.found_by, engine) if bound > self.lower else self


@dataclass(frozen=True)
class SparseOutcome:
    """Result of a sparse search.

    Parameters
    ----------
    reduction : Reduction
        The problem split into independent components.
    standings : tuple of Standing
        Solution and bound of each component, in the order of ``reduction.components``.
    floor : int, optional
        A lower bound on the total weight that comes with a construction.
    floor_proof : str
        How that bound was proved.
    """

    reduction: Reduction
    standings: tuple[Standing, ...]
    floor: int | None = None
    floor_proof: str = ""


class Engine(Protocol):
    """Interface of an exact search for one component, which runs in slices and uses the results of other engines."""

    def __init__(self, formula: Any, seed: int) -> None: ...

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """Search for about ``effort`` units of deterministic work, at most until ``until`` (of ``time.monotonic``)."""


def engine_names() -> list[str]:
    """Return the names of all registered engines."""
    return registered_names(ENGINES, GROUP)


def engine(name: str) -> type[Engine]:
    """Return the class of the engine called ``name``.

    Raises
    ------
    Unsupported
        If there is no such engine, or a package that it needs is not installed. There is no fallback to another engine.

    Examples
    --------
    >>> engine("sat").__name__
    'Descent'
    """
    chosen: type[Engine] = load_plugin(name, ENGINES, GROUP, "sparse backend")
    return chosen


def sparse_search(
    problem: SparseProblem, engines: Sequence[str], limits: Limits, progress: Callable[[int, int], None] | None = None
) -> SparseOutcome:
    """Search a sparse problem with several engines, which exchange solutions and bounds.

    Parameters
    ----------
    problem : SparseProblem
    engines : sequence of str
        Names of engines.
    limits : Limits
    progress : function, optional
        Called with the best total weight and the best bound whenever one of them may have changed.

    Examples
    --------
    >>> import numpy as np
    >>> outcome = sparse_search(SparseProblem(np.tril(np.ones((7, 7), bool)), 2), ["sat"], Limits())
    >>> len(outcome.reduction.forced), [(standing.lower, standing.upper) for standing in outcome.standings]
    (6, [(4, 4)])
    """
    for name in engines:
        engine(name)  # raises before the problem is reduced
    search = load_plugin("search", SEARCH, "", "sparse search")
    outcome: SparseOutcome = search(problem, engines, limits, *([progress] if progress else []))
    return outcome
