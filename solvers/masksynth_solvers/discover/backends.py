"""The exact searches ``cpsat`` and ``maxsat`` for structures: jobs of growing size until none can be cheaper."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from math import inf
from time import monotonic

from masksynth.backends import Limits
from masksynth.contracts import Contracts
from masksynth.discover.backends import Outcome
from masksynth.discover.measure import measure
from masksynth.discover.structure import Structure
from masksynth_solvers.discover.clauses import Prices
from masksynth_solvers.discover.demands import refuse_demands
from masksynth_solvers.discover.engines import Effort
from masksynth_solvers.discover.gates import GateBound, bound_reads
from masksynth_solvers.discover.jobs import list_jobs, price_of, read_directly, run_job

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

    def solve(self, contracts: Contracts, limits: Limits, incumbent: Structure | None = None) -> Outcome:
        """Find the cheapest structure, or the best within the limits."""
        return search_jobs(contracts, limits, incumbent, "cpsat", f"CP-SAT {self.versions()['ortools']}")


class MaxSat:
    """The backend ``maxsat``: RC2 of PySAT over CaDiCaL on the same weighted CNF."""

    name = "maxsat"

    def available(self) -> str:
        """Return an empty string, or the install line."""
        return "" if find_spec("pysat") else "python-sat: pip install python-sat"

    def versions(self) -> dict[str, str]:
        """Return the version of PySAT."""
        return {"python-sat": version("python-sat")}

    def solve(self, contracts: Contracts, limits: Limits, incumbent: Structure | None = None) -> Outcome:
        """Find the cheapest structure, or the best within the limits."""
        return search_jobs(contracts, limits, incumbent, "maxsat", f"RC2 of PySAT {self.versions()['python-sat']}")


def search_jobs(
    contracts: Contracts, limits: Limits, incumbent: Structure | None, engine: str, proof: str
) -> Outcome:
    """Run jobs, the one with the lowest bound first, until no other can be cheaper than the best structure.

    The best structure at the beginning is the incumbent, or that in which targets read their needs directly.
    """
    refuse_demands(contracts)
    until = inf if limits.seconds is None else monotonic() + limits.seconds
    best = read_directly(contracts) if incumbent is None else incumbent
    price = price_of(best, contracts)
    reads = _bound_reads(contracts, until)
    jobs = list_jobs(contracts, price, reads.reads)
    bounds, done = [], []
    for floor, job in jobs:
        left = until - monotonic()
        if floor >= price or left <= 0:
            bounds.append(floor)
            continue
        effort = Effort(None if left == inf else left, limits.workers, limits.seed)
        result = run_job(replace(job, most=price - 1), engine, effort)
        if result.structure is not None and result.price is not None and result.price < price:
            best, price = result.structure, result.price
        bounds.append(max(result.bound, floor))
        done.append(job.title)
    bound = min([price, *bounds])
    finished = bound == price
    cost = measure(best, contracts).cost if finished else float(bound / Prices.of(contracts.weights).scale)
    how = f"{proof}: {'; '.join(done) or 'no job'}"
    return Outcome(best, cost, finished, how + f"; SAT: {reads.gates} gates" * bool(reads.gates))


def _bound_reads(contracts: Contracts, until: float) -> GateBound:
    """Return a bound on the reads of every structure, within a fifth of the time."""
    left = until - monotonic()
    return bound_reads(contracts, Effort(FIRST if left == inf else min(FIRST, left / 5)))
