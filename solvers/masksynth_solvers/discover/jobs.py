"""Independent pieces of an exact search: each asks for a structure of one size within a price, alone and anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from time import monotonic
from typing import Literal

import numpy as np

from masksynth.contracts import Contracts, Weights
from masksynth.discover.measure import measure
from masksynth.discover.meet_demands import meet_demands
from masksynth.discover.structure import Structure, contexts, prune
from masksynth.errors import MasksynthError, Unsupported
from masksynth.posets.bit_rows import unpack
from masksynth_solvers.discover.cheapest_model import ENGINES, Effort
from masksynth_solvers.discover.clauses import READ, Prices
from masksynth_solvers.discover.demands import has_demands
from masksynth_solvers.discover.hub_forms import separate_elements
from masksynth_solvers.discover.hubs import Hubs, encode_hubs
from masksynth_solvers.discover.layers import Layered, encode_layers
from masksynth_solvers.discover.places import contract_rows, lay_out, reads_of

Verdict = Literal["infeasible", "structure", "open"]
MOST_SIZES = 10_000
"""Sizes that a search lists at most."""


@dataclass(frozen=True, eq=False)
class Job:
    """A piece of a search: the cheapest structure of one size, if there is one for at most a price.

    Parameters
    ----------
    contracts : Contracts
    size : int
        With a number of layers, or demands: further positions (`masksynth_solvers.discover.places.lay_out`). For one
        mask at any depth: hubs (`masksynth_solvers.discover.hubs`).
    raw : int
        How many of the hubs are raw.
    most : int or None
        Greatest price (`masksynth_solvers.discover.clauses.Prices`); None: any.
    reads : int
        A proved bound on the reads of every structure, which the search may use.
    """

    contracts: Contracts
    size: int
    raw: int = 0
    most: int | None = None
    reads: int = 0

    @property
    def title(self) -> str:
        """What is asked, for tables and records."""
        return f"{self.size} hubs, {self.raw} raw" if has_hubs(self.contracts) else f"{self.size} further positions"

    def encode(self) -> Layered | Hubs:
        """Return the formula of the structures of this size."""
        if has_hubs(self.contracts):
            return encode_hubs(self.contracts, self.size, self.raw)
        return encode_layers(self.contracts, self.size)


def has_hubs(contracts: Contracts) -> bool:
    """Return whether structures are searched by hubs: one mask at any depth, of which no more is demanded.

    Demands are broken where hubs are brought into their normal form.
    """
    return contracts.layers is None and not has_demands(contracts)


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
    """Run a job by an engine of `masksynth_solvers.discover.cheapest_model`; a plain function for pools and clusters.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> contracts = replace(leave_one_out(n=4, layers=2), weights=Weights(0, 0, 1, "structure"))
    >>> [run_job(Job(contracts, 0, most=most), "maxsat", Effort()).verdict for most in (None, 9)]
    ['structure', 'infeasible']
    """
    started = monotonic()
    encoded = job.encode()
    most = None if job.most is None else job.most - encoded.offset
    if most is not None and most < 0:
        return JobResult("infeasible", None, None, encoded.offset, monotonic() - started)
    reads = tuple(variable for key, variable in encoded.formula.edges.items() if key[0] == READ)
    found = ENGINES[engine](encoded.formula, most, effort, (reads, job.reads))
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


def list_jobs(contracts: Contracts, price: int, reads: int = 0) -> list[tuple[int, Job]]:
    """Return jobs that cover all structures cheaper than a price, each after a bound on its structures' price.

    Parameters
    ----------
    contracts : Contracts
    price : int
        In the integers of `Prices`.
    reads : int
        A proved bound on the reads of every structure.

    Raises
    ------
    Unsupported
        If structures of more than `MOST_SIZES` sizes may be cheaper.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> contracts = replace(leave_one_out(n=4), weights=Weights(1, 1, 1))
    >>> [(floor, job.title) for floor, job in list_jobs(contracts, 20, reads=10)]
    [(18, '4 hubs, 4 raw'), (19, '5 hubs, 3 raw'), (19, '5 hubs, 4 raw')]
    """
    sizes = _hub_floors(contracts, reads) if has_hubs(contracts) else _layer_floors(contracts, reads)
    jobs: list[tuple[int, Job]] = []
    for floors in islice(sizes, MOST_SIZES):
        if all(floor >= price for floor, *_ in floors):
            return sorted(jobs, key=lambda pair: (pair[0], pair[1].size))
        jobs += [(floor, Job(contracts, size, raw, price - 1, reads)) for floor, size, raw in floors if floor < price]
    # Where further positions are free, or cost next to nothing, floors do not grow to the price.
    raise Unsupported(f"with these weights {MOST_SIZES:,} further positions may be cheaper: use another backend")


def _layer_floors(contracts: Contracts, reads: int) -> Iterator[list[tuple[int, int, int]]]:
    """Yield for each number of further positions a bound on prices, which grows.

    A further position that is never read and that predicts nothing may go. Of the positions that embed one element,
    those that never read are equal, and one of them suffices, for readers and predictions; a blank that never reads
    says nothing. So with x further positions, at least x besides the blanks of targets read something, less one for
    each element that none needs but further positions may embed. By count
    ``structure`` each costs a position and a pair. By count ``layer`` it is live when it reads, so it is updated then;
    a blank with a need is updated in the last layer; and if all targets are queries, each needed element is read where
    it is embedded, from a position that is updated in that layer or not.
    """
    prices, asking, paid, tokens = _facts(contracts)
    layers = (contracts.layers or 1) if contracts.masks == "one" else 1
    places = lay_out(contracts)
    unneeded = len(places.elements) - len(places.tokens)
    for extra in count():
        reading = asking + max(0, extra - unneeded)
        pairs = prices.pair * max(reading, reads)
        if contracts.weights.count == "structure":
            floor = prices.position * (paid + extra) + pairs
        else:
            floor = layers * (prices.position * reading + min(prices.position, prices.kv) * tokens + pairs)
        yield [(floor, extra, 0)]


def _hub_floors(contracts: Contracts, reads: int) -> Iterator[list[tuple[int, int, int]]]:
    """Yield for each number of hubs a bound on prices for each number of raw hubs; the least of them grows.

    Each hub that reads has a read, and so has each blank with a need. If nothing is predicted at hubs, each raw hub is
    read, and each other one twice. Each needed element is embedded, and a separate one without a raw hub twice
    (`masksynth_solvers.discover.hubs`).
    """
    prices, asking, paid, _ = _facts(contracts)
    places = lay_out(contracts)
    by_layer = contracts.weights.count == "layer"
    all_query = all(target.place == "query" for target in contracts.targets)
    each = 2 if all_query else 0
    separate = len(separate_elements(places.need, places.hide))
    for hubs in count(len(places.tokens)):
        floors = []
        for raw in range(min(hubs, len(places.tokens)) + 1):
            if (inner := hubs - raw) < 2 * (separate - raw):
                continue
            pairs = prices.pair * max(reads, asking + inner, each * inner + raw * all_query)
            if by_layer:
                fixed = prices.position * (inner + asking) + prices.kv * raw
                floors.append(((contracts.layers or 1) * (fixed + pairs), hubs, raw))
            else:
                floors.append((prices.position * (hubs + paid - len(places.tokens)) + pairs, hubs, raw))
        yield floors


def _facts(contracts: Contracts) -> tuple[Prices, int, int, int]:
    """Return prices, blanks that surely read, positions that are in every structure, and elements that are read.

    The last is 0 unless all targets are queries.
    """
    places = lay_out(contracts)
    asking = sum(places.paid[blank] and bool(row.any()) for blank, row in zip(places.blank, places.need, strict=True))
    query = all(target.place == "query" for target in contracts.targets)
    return Prices.of(contracts.weights), asking, sum(places.paid), len(places.tokens) * query


def read_directly(contracts: Contracts) -> Structure:
    """Return the structure in which the blank of each target reads its need, raw, in the last layer.

    Further reads and positions are added for demands.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> structure = read_directly(leave_one_out(n=3, layers=2))
    >>> structure.size, [len(reads.query) for reads in structure.reads]
    (6, [0, 6])
    """
    places = lay_out(contracts)
    tokens = places.tokens
    query, element = np.nonzero(places.need)
    keys = [tokens[e] for e in element.tolist()]
    full = reads_of(list(zip((query + len(tokens)).tolist(), keys, strict=True)), places.size)
    empty = reads_of([], places.size)
    tables = 1 if contracts.masks == "one" else contracts.layers or 1
    reads = (*[empty] * (tables - 1), full)
    structure = Structure(np.array(places.element), reads, np.array(places.blank, np.int64), "read directly")
    return meet_demands(structure, contracts)
