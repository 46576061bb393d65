"""Exact searches for structures: their protocol, their registry by name, and their results."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from masksynth.backends import Limits, load_plugin, registered_names
from masksynth.contracts import Contracts
from masksynth.discover.structure import Structure
from masksynth.errors import Unsupported

DISCOVER_BACKENDS = {
    "cpsat": "masksynth_solvers.discover.structure_backends:CpSat",
    "maxsat": "masksynth_solvers.discover.structure_backends:MaxSat",
}
"""Name -> "module:Class". Other packages register theirs under the entry point group ``masksynth.discover``."""
GROUP = "masksynth.discover"
"""Entry point group of exact searches."""

MIXED_SEARCHES = {"cpsat": "masksynth_solvers.discover.mixed_reads:find_most_mixed"}
"""The exact search for the most mixed reads."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a search for structures returns, before it is checked.

    Parameters
    ----------
    structure : Structure or None
        The cheapest one known: found, or the incumbent. None if there is none yet, or none at all (``finished``).
    bound : float
        Proved lower bound on the cost of every structure; if ``finished``, the cost of ``structure``, or infinity.
    finished : bool
        Whether the search came to its end, so that nothing is cheaper.
    proof : str
        How the bound was proved, for the record ``bound_by``.
    """

    structure: Structure | None
    bound: float
    finished: bool
    proof: str


class DiscoverBackend(Protocol):
    """Interface of an exact search; ``solvers/README.md`` explains how to add one."""

    name: str

    def available(self) -> str:
        """Return an empty string, or what to install."""

    def versions(self) -> dict[str, str]:
        """Return names and versions of the solvers that it runs."""

    def solve(
        self, contracts: Contracts, limits: Limits, incumbent: Structure | None = None, executor: Executor | None = None
    ) -> Outcome:
        """Find the cheapest structure; raise Unsupported for contracts that it cannot express.

        Independent jobs run in ``limits.workers`` processes, or on the executor.
        """


def discover_backend_names() -> list[str]:
    """Return the names of all registered exact searches."""
    return registered_names(DISCOVER_BACKENDS, GROUP)


def discover_backend(name: str) -> DiscoverBackend:
    """Return the exact search called ``name``.

    Raises
    ------
    Unsupported
        If there is none, or a package that it needs is not installed. There is no fallback to another.

    Examples
    --------
    >>> discover_backend("cpsat").name
    'cpsat'
    """
    chosen: DiscoverBackend = load_plugin(name, DISCOVER_BACKENDS, GROUP, "search for structures")()
    if missing := chosen.available():
        raise Unsupported(f"the search {name!r} needs {missing}")
    return chosen


def find_most_mixed(contracts: Contracts, positions: int, limits: Limits) -> Outcome:
    """Return the structure with the most mixed reads at a number of positions; the bound is an upper one.

    Raises
    ------
    Unsupported
        For contracts that the search cannot express.
    """
    find = load_plugin("cpsat", MIXED_SEARCHES, GROUP, "search for mixed reads")
    outcome: Outcome = find(contracts, positions, limits)
    return outcome
