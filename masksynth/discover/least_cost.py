"""The search for the least cost: constructions, then exact searches where contracts are small, then rounds."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace

from masksynth.backends import Limits, Status
from masksynth.contracts import Contracts
from masksynth.discover.bounds import Bound, bounds_of
from masksynth.discover.constructions import constructions_for
from masksynth.discover.discovery import Discovery
from masksynth.discover.exact_backends import DiscoverBackend, discover_backend
from masksynth.discover.incumbent import Incumbent, Progress, is_less
from masksynth.discover.read_circuit import read_circuit
from masksynth.discover.search_job import Start, price_of
from masksynth.discover.search_journal import Keeper
from masksynth.discover.search_rounds import Elite, search_rounds
from masksynth.errors import MasksynthError, Unsupported

AUTO_STATES = 160
"""`auto` runs an exact search where (elements + targets) x layers is at most this ..."""
AUTO_SHARE = 0.5
"""... for at most this share of the time that is left."""
LARGEST = 700
"""The local search is run for at most this many elements, and targets."""
SEARCH, EXACT = "search", "cpsat"


class LeastCost:
    """A search for the least cost.

    Parameters
    ----------
    contracts : Contracts
    limits : Limits
        Time, number of jobs, seed.
    backend : str
        ``auto``, ``search`` or the name of an exact search.
    executor : Executor, optional
    journal : Keeper, optional
    progress : function, optional
    """

    def __init__(
        self,
        contracts: Contracts,
        limits: Limits,
        backend: str = "auto",
        executor: Executor | None = None,
        journal: Keeper | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.contracts, self.limits, self.backend, self.executor = contracts, limits, backend, executor
        self.journal, self.progress = journal, progress
        self.rounds, self.is_interrupted = 0, False
        self.exact = None if backend in ("auto", SEARCH) else discover_backend(backend)
        self.bound = bounds_of(contracts).cost
        self.incumbent = Incumbent(contracts, lambda sizes: sizes.cost, limits.seconds, self._note)
        self.elite = Elite()

    def run(self) -> Discovery:
        """Return the best structure once it is proved, the time is over, or after Ctrl-C."""
        reason = ""
        try:
            reason = self._find()
        except KeyboardInterrupt:
            self.is_interrupted = True
            if self.incumbent.best is None:
                raise
        status = self._status(reason)
        seconds = self.incumbent.seconds
        bound = None if self.incumbent.best is None else min(self.bound.value, self.incumbent.value)
        return Discovery(status, self.contracts, "cost", self.incumbent.best, bound, self.bound.by, seconds, reason)

    def _status(self, reason: str) -> Status:
        """Return the status; raise if a structure is cheaper than the bound."""
        best = self.incumbent.best
        if best is None:
            return Status.INFEASIBLE if reason else Status.UNKNOWN
        if is_less(self.incumbent.value, self.bound.value):
            bound, cost, found_by = self.bound, self.incumbent.value, best.structure.found_by
            fact = f"{bound.by} proves a cost of at least {bound.value:g}, but {found_by} found {cost:g}"
            raise MasksynthError(f"{self.contracts.name}: {fact}; this is a defect of masksynth, please report it")
        return Status.FEASIBLE if is_less(self.bound.value, self.incumbent.value) else Status.OPTIMAL

    @property
    def _is_proved(self) -> bool:
        return not is_less(self.bound.value, self.incumbent.value)

    def _find(self) -> str:
        """Offer constructions and what an earlier run found, then search; return why there is no structure, if so."""
        if self.journal is not None:
            structure, self.rounds = self.journal.read(self.contracts, "cost")
            if structure is not None:
                self.incumbent.offer(structure)
        for structure in constructions_for(self.contracts):
            self.incumbent.offer(structure)
            if self._is_proved:
                return ""
        if self.exact is not None:
            return self._run_exact(self.exact, self.incumbent.remaining)
        if self.backend == "auto" and self._is_small():
            self._search(self.incumbent.remaining * 0.1)
            if not self._is_proved:
                self._try_exact()
        if not self._is_proved:
            self._search(self.incumbent.remaining)
        return ""

    def _search(self, seconds: float) -> None:
        """Run rounds for some seconds."""
        if max(self.contracts.elements.count, len(self.contracts.targets)) > LARGEST:
            return
        self._seed_elite()
        self.rounds = search_rounds(
            self.incumbent, self.elite, self.limits, seconds, self.executor, self.rounds, self._is_over
        )

    def _is_over(self) -> bool:
        return self._is_proved

    def _seed_elite(self) -> None:
        """Let rounds begin from the circuit of the best structure."""
        best = self.incumbent.best
        if best is not None and (circuit := read_circuit(best.structure, self.contracts)) is not None:
            price = price_of(self.contracts)(circuit)
            self.elite.add(Start(price, circuit.inputs, best.structure.found_by))

    def _is_small(self) -> bool:
        """Return whether `auto` tries an exact search."""
        size = self.contracts.elements.count + len(self.contracts.targets)
        return size * (self.contracts.layers or size) <= AUTO_STATES

    def _try_exact(self) -> None:
        """Run an exact search for a share of the time, unless it does not support the contracts."""
        try:
            self._run_exact(discover_backend(EXACT), AUTO_SHARE * self.incumbent.remaining)
        except Unsupported:
            return

    def _run_exact(self, exact: DiscoverBackend, seconds: float) -> str:
        """Run an exact search; return why there is no structure, if it proves that."""
        best = None if self.incumbent.best is None else self.incumbent.best.structure
        limits = replace(self.limits, seconds=max(0.0, seconds) if seconds < 1e9 else None)
        outcome = exact.solve(self.contracts, limits, best, self.executor)
        if outcome.structure is not None:
            self.incumbent.offer(outcome.structure)
        if is_less(self.bound.value, outcome.bound) or (outcome.finished and not self._is_proved):
            self.bound = Bound(outcome.bound, outcome.proof)
        if outcome.finished and outcome.structure is None:
            return f"no structure exists: {outcome.proof}"
        return ""

    def _note(self, incumbent: Incumbent) -> None:
        """Report and store an improvement."""
        if self.progress is not None:
            self.progress(incumbent.value, self.bound.value)
        if self.journal is not None and incumbent.best is not None:
            self.journal.write(self.contracts, "cost", incumbent.best.structure, self.rounds)
