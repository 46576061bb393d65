"""Demands beyond contracts, which exact searches do not express."""

from __future__ import annotations

from masksynth.contracts import Contracts
from masksynth.errors import Unsupported


def refuse_demands(contracts: Contracts) -> None:
    """Raise Unsupported for contracts with a demand: a bound without it would hold, but the cheapest might break it.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from masksynth.contracts import Demand
    >>> from masksynth.contracts.families import leave_one_out
    >>> refuse_demands(replace(leave_one_out(n=3), demand=Demand(direct=1)))
    Traceback (most recent call last):
    masksynth.errors.Unsupported: exact searches do not express the demand 'direct'; use --backend search
    """
    demand = contracts.demand
    for name in ("direct", "mixed", "bandwidth", "hops"):
        if getattr(demand, name) or (name == "hops" and demand.hops == 0):
            raise Unsupported(f"exact searches do not express the demand {name!r}; use --backend search")


def refuse_dear_keys(contracts: Contracts) -> None:
    """Raise Unsupported where an update is cheaper than keys and values alone, and the cost counts both.

    A token that reads an empty blank then is updated and costs less; no formula has reads that bring nothing.
    """
    weights = contracts.weights
    if weights.count == "layer" and weights.kv > weights.position:
        raise Unsupported("exact searches need kv <= position where the cost counts layers; use --backend search")
