"""Find a structure for contracts: constructions, exact searches and a local search, each result checked."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from masksynth.backends import Limits, Status
from masksynth.contracts import Contracts
from masksynth.discover.answer import Discovery
from masksynth.discover.candidates import candidates
from masksynth.discover.incumbent import Incumbent, Progress, is_less
from masksynth.discover.journal import Journal
from masksynth.discover.search import Elite, search_rounds
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
    limits = limits or Limits(SECONDS)
    return _Run(contracts, limits, executor, journal, progress).run()


@dataclass
class _Run:
    """A search for the least cost."""

    contracts: Contracts
    limits: Limits
    executor: Executor | None
    journal: Journal | None
    progress: Progress | None
    rounds: int = 0

    def run(self) -> Discovery:
        """Run constructions, then the search until it is proved or the time is over."""
        incumbent = Incumbent(self.contracts, lambda sizes: sizes.cost, self.limits.seconds, self._note)
        bound, proved_by = _bound(self.contracts)
        try:
            self._find(incumbent, bound)
        except KeyboardInterrupt:
            if incumbent.best is None:
                raise
        status = Status.FEASIBLE if is_less(bound, incumbent.value) else Status.OPTIMAL
        return Discovery(status, self.contracts, "cost", incumbent.best, bound, proved_by, incumbent.seconds)

    def _find(self, incumbent: Incumbent, bound: float) -> None:
        """Offer constructions and what an earlier run found, then search."""
        elite = Elite()
        if self.journal is not None:
            structure, self.rounds = self.journal.read(self.contracts, "cost")
            if structure is not None:
                incumbent.offer(structure)
        for structure in candidates(self.contracts):
            incumbent.offer(structure)
        if is_less(bound, incumbent.value) and is_searchable(self.contracts):
            self.rounds = search_rounds(
                incumbent, elite, self.limits.seed, self.limits.workers, self.executor, self.rounds
            )

    def _note(self, incumbent: Incumbent) -> None:
        """Report and store an improvement."""
        if self.progress is not None:
            self.progress(incumbent.value, 0)
        if self.journal is not None and incumbent.best is not None:
            self.journal.write(self.contracts, "cost", incumbent.best.structure, self.rounds)


def is_searchable(contracts: Contracts) -> bool:
    """Return whether contracts are small enough for the local search."""
    return contracts.elements.count <= 300 and len(contracts.targets) <= 600


def _bound(contracts: Contracts) -> tuple[float, str]:
    return 0.0, "nothing"
