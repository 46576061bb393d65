"""Demands beyond contracts, as clauses over the layers of a structure.

For target t at q with need N, and the layers of the formula (`masksynth_solvers.discover.layers`):

- ``direct`` r: at least min(r, |N|) elements e of N for which q reads some k in a layer l with C_{l-1}(k) = {e};
- ``mixed`` r: each e of N is in some C_{l-1}(k) of r + 1 elements or more that q reads in layer l;
- ``hops`` h: each e of N arrives over at most h reads: ``within j l q e`` iff e came to q by layer l over j reads. One
  mask has then h layers for it;
- ``bandwidth`` w: `masksynth_solvers.discover.disjoint_ways`.

Clauses are demanded only where t is predicted at q.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from masksynth.contracts import Contracts
from masksynth.errors import Unsupported
from masksynth_solvers.discover.clauses import Term, add, any_of, at_least, both, negate
from masksynth_solvers.discover.disjoint_ways import add_ways

if TYPE_CHECKING:
    from masksynth_solvers.discover.layers import Layered

Arrivals = dict[tuple[int, int], list[Term]]
"""For each (position, element) the terms of the ways in which it arrives as demanded."""


def has_demands(contracts: Contracts) -> bool:
    """Return whether contracts demand more than needs and hides."""
    demand = contracts.demand
    return bool(demand.direct or demand.mixed or demand.bandwidth or demand.hops is not None)


def refuse_demands(contracts: Contracts) -> None:
    """Raise Unsupported for contracts with a demand, where a formula or a proof does not express it.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from masksynth.contracts import Demand
    >>> from masksynth.contracts.families import leave_one_out
    >>> refuse_demands(replace(leave_one_out(n=3), demand=Demand(direct=1)))
    Traceback (most recent call last):
    masksynth.errors.Unsupported: proofs do not cover the demand 'direct'; leave out the proof
    """
    demand = contracts.demand
    for name in ("direct", "mixed", "bandwidth", "hops"):
        if getattr(demand, name) or (name == "hops" and demand.hops == 0):
            raise Unsupported(f"proofs do not cover the demand {name!r}; leave out the proof")


def refuse_dear_keys(contracts: Contracts) -> None:
    """Raise Unsupported where an update is cheaper than keys and values alone, and the cost counts both.

    A token that reads an empty blank then is updated and costs less; no formula has reads that bring nothing.
    """
    weights = contracts.weights
    if weights.count == "layer" and weights.kv > weights.position:
        raise Unsupported("exact searches need kv <= position where the cost counts layers; use --backend search")


def add_demands(layered: Layered) -> None:
    """Add the demands of the contracts."""
    demand, formula = layered.contracts.demand, layered.formula
    direct = _direct_arrivals(layered) if demand.direct else {}
    mixed = _mixed_arrivals(layered, demand.mixed) if demand.mixed else {}
    within = {} if demand.hops is None else _arrivals_within(layered, demand.hops)
    for (t, q), here in layered.place.items():
        need = np.flatnonzero(layered.places.need[t]).tolist()
        elsewhere = negate(here)
        if demand.direct:
            read = [any_of(formula, direct[q, e], "direct", t, q, e) for e in need]
            at_least(formula, read, min(demand.direct, len(need)), elsewhere, "directs", t, q)
        for e in need:
            if demand.mixed:
                add(formula, elsewhere, *mixed[q, e])
            if demand.hops is not None:
                add(formula, elsewhere, within.get((q, e), False))
        if demand.bandwidth:
            add_ways(layered, t, q, demand.bandwidth)


def _reads_by_target(layered: Layered) -> list[tuple[int, int, int, Term]]:
    """Return (layer, position, key, term) of the reads where something may be predicted."""
    predicting = {q for _, q in layered.place}
    return [(layer, q, k, term) for (layer, q, k), term in layered.read.items() if q in predicting]


def _direct_arrivals(layered: Layered) -> Arrivals:
    """Return the reads of states that hold one element alone."""
    formula, context, elements = layered.formula, layered.context, layered.places.elements
    alone: dict[tuple[int, int, int], Term] = {}
    for layer in range(layered.depth):
        for k in range(layered.places.size):
            for e in elements:
                here = context.get((layer, k, e), False)
                others = [context.get((layer, k, other), False) for other in elements if other != e]
                is_more = any_of(formula, others, "others", layer, k, e) if here is not False else False
                alone[layer, k, e] = both(formula, here, negate(is_more), "alone", layer, k, e)
    arrivals: Arrivals = {(q, e): [] for _, q in layered.place for e in elements}
    for layer, q, k, read in _reads_by_target(layered):
        for e in elements:
            term = both(formula, read, alone[layer - 1, k, e], "takes", layer, q, k, e)
            arrivals[q, e].append(term)
    return arrivals


def _mixed_arrivals(layered: Layered, others: int) -> Arrivals:
    """Return the reads of states that hold an element with this many others."""
    formula, context, elements = layered.formula, layered.context, layered.places.elements
    is_large: dict[tuple[int, int], Term] = {}
    for layer in range(layered.depth):
        for k in range(layered.places.size):
            held = [context.get((layer, k, e), False) for e in elements]
            if sum(term is not False for term in held) > others:
                large = is_large[layer, k] = formula.new("large", layer, k)
                at_least(formula, held, others + 1, -large, "size", layer, k)
    arrivals: Arrivals = {(q, e): [] for _, q in layered.place for e in elements}
    for layer, q, k, read in _reads_by_target(layered):
        large_read = both(formula, read, is_large.get((layer - 1, k), False), "fills", layer, q, k)
        for e in elements:
            there = context.get((layer - 1, k, e), False)
            arrivals[q, e].append(both(formula, large_read, there, "shares", layer, q, k, e))
    return arrivals


def _arrivals_within(layered: Layered, hops: int) -> dict[tuple[int, int], Term]:
    """Return whether each element arrives at each position over at most this many reads."""
    size, elements, depth = layered.places.size, layered.places.elements, layered.depth
    if layered.contracts.masks == "one" or hops >= depth:
        last = min(hops, depth)
        return {(q, e): layered.context.get((last, q, e), False) for q in range(size) for e in elements}
    # within[j][q, e]: by the layer before, over at most j reads
    within = [{(q, e): layered.context.get((0, q, e), False) for q in range(size) for e in elements}] * (hops + 1)
    for layer in range(1, depth + 1):
        within = [within[0], *(_advance(layered, layer, j, within[j], within[j - 1]) for j in range(1, hops + 1))]
    return within[hops]


def _advance(
    layered: Layered, layer: int, hops: int, before: dict[tuple[int, int], Term], nearer: dict[tuple[int, int], Term]
) -> dict[tuple[int, int], Term]:
    """Return what has arrived after one more layer, given what had over as many reads, and over one less."""
    formula, after = layered.formula, {}
    for (q, e), here in before.items():
        keys = [(k, read) for (at, reader, k), read in layered.read.items() if (at, reader) == (layer, q)]
        ways = [both(formula, read, nearer[k, e], "hop", hops, layer, q, k, e) for k, read in keys]
        after[q, e] = any_of(formula, [here, *ways], "within", hops, layer, q, e)
    return after
