"""The exact searches ``cpsat`` and ``maxsat`` for structures: jobs of growing size until none can be cheaper."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from math import inf
from time import monotonic

from masksynth.backends import Limits
from masksynth.contracts import Contracts
from masksynth.discover.backends import Outcome
from masksynth.discover.measure import measure
from masksynth.discover.structure import Structure
from masksynth.errors import Unsupported
from masksynth_solvers.discover.clauses import Prices
from masksynth_solvers.discover.engines import Effort
from masksynth_solvers.discover.jobs import list_jobs, price_of, run_job


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


def search_jobs(contracts: Contracts, limits: Limits, incumbent: Structure | None, engine: str, proof: str) -> Outcome:
    """Run jobs of growing size, one after another, until no later one can be cheaper than the best structure."""
    if contracts.layers is None:
        raise Unsupported("one mask at any depth")
    until = inf if limits.seconds is None else monotonic() + limits.seconds
    best, price = incumbent, None if incumbent is None else price_of(incumbent, contracts)
    bound, done = None, []
    for floor, job in list_jobs(contracts):
        if price is not None and floor >= price:
            bound = price if bound is None else min(bound, price)
            break
        left = until - monotonic()
        if left <= 0:
            bound = floor if bound is None else min(bound, floor)
            break
        limited = type(job)(job.contracts, job.extra, None if price is None else price - 1)
        effort = Effort(None if left == inf else left, limits.workers, limits.seed)
        result = run_job(limited, engine, effort)
        if result.structure is not None and (price is None or result.price < price):
            best, price = result.structure, result.price
        done.append(job.title)
        bound = result.bound if bound is None else min(bound, result.bound)
    finished = price is not None and bound is not None and bound >= price
    cost = bound / float(Prices.of(contracts.weights).scale) if bound is not None else 0.0
    if finished and best is not None:
        cost = measure(best, contracts).cost
    return Outcome(best, cost, finished, f"{proof}: {', '.join(done)}")
