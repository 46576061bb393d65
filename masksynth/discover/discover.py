"""Find a structure for contracts: constructions, exact searches and a local search, each result checked."""

from __future__ import annotations

from concurrent.futures import Executor

from masksynth.backends import Limits, Status
from masksynth.contracts import Contracts
from masksynth.discover.discovery import Discovery
from masksynth.discover.impossible import find_impossible
from masksynth.discover.incumbent import Progress
from masksynth.discover.least_cost import LeastCost
from masksynth.discover.most_pairs import MostPairs
from masksynth.discover.pareto import Pareto
from masksynth.discover.search_journal import Journal
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
    journal: Journal | None = None,
    progress: Progress | None = None,
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
        Time [default: 60 s], worker processes and seed.
    executor : Executor, optional
        Runs the jobs of the search instead of worker processes of this machine.
    journal : Journal, optional
        Keeps the best structure on disk, so that the search can be continued.
    progress : function, optional
        Called with the best value and the bound so far.

    Returns
    -------
    Discovery

    Raises
    ------
    InvalidInstance
        For an unknown objective, or a journal of another search.
    WrongAnswer
        If a checker rejects what was found; this is a defect of masksynth.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> discover(leave_one_out(n=2, layers=1), limits=Limits(0))
    Discovery(OPTIMAL, 4 + 2)
    """
    check_type(contracts, Contracts, "read them by masksynth.contracts.load_contracts")
    if objective not in OBJECTIVES:
        raise InvalidInstance(f"objective: expected one of {', '.join(OBJECTIVES)}, got {objective!r}", "")
    if reason := find_impossible(contracts):
        return Discovery(Status.INFEASIBLE, contracts, objective, None, None, "", 0.0, reason)
    limits = limits or Limits(SECONDS)
    if objective == "pairs":
        return MostPairs(contracts, positions, limits, executor, journal, progress).run()
    if objective == "pareto":
        return Pareto(contracts, limits, executor, journal, progress).run()
    return LeastCost(contracts, limits, backend, executor, journal, progress).run()
