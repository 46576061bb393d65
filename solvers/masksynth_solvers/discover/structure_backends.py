"""The exact searches ``cpsat`` and ``maxsat`` for structures: jobs of growing size until none can be cheaper."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from math import inf
from time import time

from masksynth.backends import Limits
from masksynth.contracts import Contracts
from masksynth.discover.exact_backends import Outcome
from masksynth.discover.impossible import find_impossible
from masksynth.discover.measure import measure
from masksynth.discover.search_rounds import run_calls
from masksynth.discover.structure import Structure
from masksynth.workers.ordered import Call
from masksynth_solvers.discover.cheapest_model import Effort
from masksynth_solvers.discover.clauses import Prices
from masksynth_solvers.discover.demands import refuse_dear_keys
from masksynth_solvers.discover.gates import GateBound, bound_reads
from masksynth_solvers.discover.jobs import Job, JobResult, list_jobs, price_of, read_directly, run_job

FIRST = 10.0
"""Seconds for a bound on reads before the jobs, which all use it."""


class CpSat:
    """The backend ``cpsat``: CP-SAT with core-guided search."""

    name = "cpsat"

    def available(self) -> str:
        """Return an empty string, or the install line."""
        return "" if find_spec("ortools") else "ortools: pip install ortools"

    def versions(self) -> dict[str, str]:
        """Return the version of OR-Tools."""
        return {"ortools": version("ortools")}

    def solve(
        self, contracts: Contracts, limits: Limits, incumbent: Structure | None = None, executor: Executor | None = None
    ) -> Outcome:
        """Find the cheapest structure, or the best within the limits."""
        if reason := find_impossible(contracts):
            return Outcome(None, inf, True, reason)
        return JobSearch(contracts, limits, incumbent, self.name).run(f"CP-SAT {self.versions()['ortools']}", executor)


class MaxSat:
    """The backend ``maxsat``: RC2 of PySAT over CaDiCaL on the same weighted CNF."""

    name = "maxsat"

    def available(self) -> str:
        """Return an empty string, or the install line."""
        return "" if find_spec("pysat") else "python-sat: pip install python-sat"

    def versions(self) -> dict[str, str]:
        """Return the version of PySAT."""
        return {"python-sat": version("python-sat")}

    def solve(
        self, contracts: Contracts, limits: Limits, incumbent: Structure | None = None, executor: Executor | None = None
    ) -> Outcome:
        """Find the cheapest structure, or the best within the limits."""
        if reason := find_impossible(contracts):
            return Outcome(None, inf, True, reason)
        proof = f"RC2 of PySAT {self.versions()['python-sat']}"
        return JobSearch(contracts, limits, incumbent, self.name).run(proof, executor)


class JobSearch:
    """Jobs, the one with the lowest bound first, until no other can be cheaper than the best structure.

    Parameters
    ----------
    contracts : Contracts
    limits : Limits
        ``workers`` is the number of jobs side by side.
    incumbent : Structure or None
        The best structure at the beginning; None: that in which targets read their needs directly.
    engine : str
    """

    def __init__(self, contracts: Contracts, limits: Limits, incumbent: Structure | None, engine: str) -> None:
        refuse_dear_keys(contracts)
        self.contracts, self.limits, self.engine = contracts, limits, engine
        self.until = inf if limits.seconds is None else time() + limits.seconds
        self.best = read_directly(contracts) if incumbent is None else incumbent
        self.price = price_of(self.best, contracts)
        self.gates = _bound_reads(contracts, self.until)
        self.bounds: list[int] = []
        self.floors: list[int] = []
        self.titles: list[str] = []

    def _calls(self) -> Iterator[Call]:
        """Yield the jobs that may still be of use when their turn comes."""
        for floor, job in list_jobs(self.contracts, self.price, self.gates.reads):
            if floor >= self.price or time() >= self.until:
                self.bounds.append(floor)
                continue
            self.floors.append(floor)
            self.titles.append(job.title)
            arguments = replace(job, most=self.price - 1), self.engine, self.until, self.limits.seed
            yield Call(job.title, run_until, arguments)

    def run(self, proof: str, executor: Executor | None) -> Outcome:
        """Run the jobs here, in processes or on an executor."""
        for number, result in enumerate(run_calls(self._calls(), self.limits.workers, executor)):
            if result.structure is not None and result.price < self.price:
                self.best, self.price = result.structure, result.price
            self.bounds.append(max(result.bound, self.floors[number]))
        bound = min([self.price, *self.bounds])
        finished = bound == self.price
        cost = float(bound / Prices.of(self.contracts.weights).scale)
        cost = measure(self.best, self.contracts).cost if finished else cost
        how = f"{proof}, {len(self.titles)} jobs" + f" and {self.gates.gates} gates by SAT" * bool(self.gates.gates)
        return Outcome(self.best, cost, finished, how)


def run_until(job: Job, engine: str, until: float, seed: int) -> JobResult:
    """Run a job until a time of ``time.time``, which processes and machines share."""
    return run_job(job, engine, Effort(None if until == inf else max(0.0, until - time()), 1, seed))


def _bound_reads(contracts: Contracts, until: float) -> GateBound:
    """Return a bound on the reads of every structure, within a fifth of the time."""
    left = until - time()
    return bound_reads(contracts, Effort(FIRST if left == inf else min(FIRST, left / 5)))
