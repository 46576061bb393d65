"""Independent pieces of an exact search: each asks for a structure of one size within a price, alone and anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from time import monotonic
from typing import Literal

import numpy as np

from masksynth.contracts import Contracts, Weights
from masksynth.discover.measure import measure
from masksynth.discover.structure import Structure, contexts, prune
from masksynth.errors import MasksynthError
from masksynth.posets.bit_rows import unpack
from masksynth_solvers.discover.clauses import Prices
from masksynth_solvers.discover.engines import ENGINES, Effort
from masksynth_solvers.discover.layers import encode_layers
from masksynth_solvers.discover.places import contract_rows, lay_out

Verdict = Literal["infeasible", "structure", "open"]


@dataclass(frozen=True, eq=False)
class Job:
    """A piece of a search: the cheapest structure of one size, if there is one for at most a price.

    Parameters
    ----------
    contracts : Contracts
    extra : int
        Number of further positions (`masksynth_solvers.discover.places.lay_out`).
    most : int or None
        Greatest price (`masksynth_solvers.discover.clauses.Prices`); None: any.
    """

    contracts: Contracts
    extra: int
    most: int | None = None

    @property
    def title(self) -> str:
        """What is asked, for tables and records."""
        return f"{self.extra} further positions"


@dataclass(frozen=True, eq=False)
class JobResult:
    """What became of a job.

    Parameters
    ----------
    verdict : str
        ``infeasible``: there is no structure of this size within the price. ``structure``: the cheapest, if ``bound``
        is its price. ``open``: a limit was reached before any was found.
    structure : Structure or None
        Pruned and checked by its contexts.
    price : int or None
    bound : int
        No structure of this size is cheaper; if infeasible, more than was asked for.
    seconds : float
    """

    verdict: Verdict
    structure: Structure | None
    price: int | None
    bound: int
    seconds: float


def run_job(job: Job, engine: str, effort: Effort) -> JobResult:
    """Run a job by an engine of `masksynth_solvers.discover.engines`; a plain function for pools and clusters.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> contracts = replace(leave_one_out(n=4, layers=2), weights=Weights(0, 0, 1, "structure"))
    >>> [run_job(Job(contracts, 0, most), "maxsat", Effort()).verdict for most in (None, 9)]
    ['structure', 'infeasible']
    """
    started = monotonic()
    encoded = encode_layers(job.contracts, job.extra)
    most = None if job.most is None else job.most - encoded.offset
    if most is not None and most < 0:
        return JobResult("infeasible", None, None, encoded.offset, monotonic() - started)
    found = ENGINES[engine](encoded.formula, most, effort, None)
    bound = found.bound + encoded.offset
    if found.chosen is None:
        return JobResult("infeasible" if found.finished else "open", None, None, bound, monotonic() - started)
    structure = prune(encoded.structure(set(found.chosen), engine), job.contracts.masks)
    check_contexts(structure, job.contracts)
    price = price_of(structure, job.contracts)
    assert found.price is not None
    if price > found.price + encoded.offset:
        raise MasksynthError(f"a structure costs {price}, but its formula says {found.price + encoded.offset}")
    return JobResult("structure", structure, price, min(bound, price), monotonic() - started)


def price_of(structure: Structure, contracts: Contracts) -> int:
    """Return the price of a pruned structure in the integers of `Prices`."""
    prices = Prices.of(contracts.weights)
    weights = Weights(prices.position, prices.kv, prices.pair, contracts.weights.count)
    return round(measure(structure, replace(contracts, weights=weights)).cost)


def check_contexts(structure: Structure, contracts: Contracts) -> None:
    """Check by its contexts that a structure keeps its contracts.

    Raises
    ------
    MasksynthError
        If it does not: a fault of a solver or an encoding.
    """
    need, hide = contract_rows(contracts)
    states = contexts(structure, contracts)
    layers = len(states) - 1 if contracts.layers is None else min(contracts.layers, len(states) - 1)
    arrived, ever = (unpack(states[at], contracts.elements.count)[structure.target] for at in (layers, -1))
    if (need & ~arrived).any() or (hide & ever).any():
        target = int(np.flatnonzero(((need & ~arrived) | (hide & ever)).any(axis=1))[0])
        raise MasksynthError(f"a search returned a structure that breaks the contract of target {target}; report it")


def list_jobs(contracts: Contracts) -> Iterator[tuple[int, Job]]:
    """Yield jobs that cover all structures over L layers, each with a price below which no later one is either.

    A further position that nobody reads and that predicts nothing may go. Of the positions that embed one element,
    those that never read are alike, and one of them suffices, for readers and predictions; a blank that never reads
    says nothing. So with x further positions, at least x beside the blanks of targets read something. By count
    ``structure`` each costs a position and a pair. By count ``layer`` it is live when it reads, so it is updated then.
    """
    least, each = price_floor(contracts)
    for extra in count():
        yield least + each * extra, Job(contracts, extra)


def price_floor(contracts: Contracts) -> tuple[int, int]:
    """Return a price below which no structure is, and what each further position adds to it.

    Every group of blanks with a need reads at least once. By count ``layer`` such a blank is updated in the last layer,
    and, if all targets are queries, each needed element is read where it is embedded, by then updated or not.
    """
    prices, places = Prices.of(contracts.weights), lay_out(contracts)
    asking = sum(places.paid[blank] and bool(row.any()) for blank, row in zip(places.blank, places.need, strict=True))
    if contracts.weights.count == "structure":
        return prices.position * sum(places.paid) + prices.pair * asking, prices.position + prices.pair
    layers = (contracts.layers or 1) if contracts.masks == "one" else 1
    read = len(places.tokens) if all(target.place == "query" for target in contracts.targets) else 0
    least = (prices.position + prices.pair) * asking + min(prices.position, prices.kv) * read
    return least * layers, (prices.position + prices.pair) * layers
