"""A cost that every structure for given contracts has at least, by theorems 1 to 7 of ``docs/discovery.md``."""

from __future__ import annotations

import numpy as np

from masksynth.contracts.model import Contracts
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.verify.discovery.bounds.layer_cost_bounds import (
    Charges,
    charge_layers,
    charge_one_mask,
    charge_queries,
    charge_tokens,
)
from masksynth.verify.discovery.bounds.own_gates import prove_gates

MOST_COMPARED = 1 << 11
"""Targets that are compared with one another; some of the targets prove less, but prove it."""


def prove_cost(contracts: Contracts) -> float:
    """Return the greatest lower bound of the cost that the theorems give.

    Parameters
    ----------
    contracts : Contracts
        Demands are left out: they can only make structures dearer.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> from masksynth.contracts import Weights
    >>> from dataclasses import replace
    >>> prove_cost(replace(leave_one_out(n=64, layers=10), weights=Weights(1, 0, 1, "structure")))
    378.0
    """
    need, hide = (_bits(rows, contracts.elements.count) for rows in (contracts.need, contracts.hide))
    query = np.array([target.place == "query" for target in contracts.targets], bool)
    size, weights = _all_but_one(need, hide), contracts.weights
    reading = _apart(contracts, query & need.any(axis=1))
    reads = need.sum(axis=1) - ~query  # a target at a token of its need has that one
    hosts = _apart(contracts, reads > 0)
    direct = int(reads[hosts].sum())
    edges = (3 * size - 6 if size >= 3 else prove_gates(need, hide)) + len(reading)
    if contracts.layers == 1:
        edges = max(edges, direct)
    blind = contracts.masks == "one" and len(hosts) == len(query) and bool(query.all()) and _hide_mutually(need, hide)
    if weights.count == "structure":
        positions = int(need.any(axis=0).sum()) + _beyond_tokens(contracts, need, query)
        spare = direct if blind and _stay_raw(need, hide) else edges
        least = weights.position * positions + weights.pair * max(spare, edges)
        return float(min(least, weights.position * (positions + 1) + weights.pair * edges))
    read = int(need[query].any(axis=0).sum())
    moves = bool(need[~query].any())
    work = Charges(len(hosts), int((~query[hosts]).sum()), direct, read, edges, moves)
    if contracts.masks == "one":
        return (contracts.layers or 1) * charge_one_mask(work, len(reading), weights, blind)
    bounds = [charge_layers(work, weights)]
    if size == len(query) >= 3:
        bounds.append(charge_tokens(size, weights))
        if query.all():
            bounds.append(charge_queries(size, weights))
    return max(bounds)


def _bits(rows: np.ndarray[tuple[int, ...], np.dtype[np.uint64]], count: int) -> BoolArray:
    bits: BoolArray = np.unpackbits(rows.view(np.uint8), axis=1, count=count, bitorder="little").astype(bool)
    return bits


def _all_but_one(need: BoolArray, hide: BoolArray) -> int:
    """Return n if for each of the n needed elements some target hides it and needs all others, otherwise 0."""
    used = need.any(axis=0)
    need, hide = need[:, used], hide[:, used]
    fits = (hide.sum(axis=1) == 1) & (need | hide).all(axis=1)
    return int(used.sum()) if hide[fits].any(axis=0).all() else 0


def _apart(contracts: Contracts, chosen: BoolArray) -> Int64Array:
    """Return chosen targets of which each two are at different positions, in every structure; taken greedily.

    Two are if one needs what the other hides, or if their position ids differ and one of them must be at a blank.
    """
    left = np.flatnonzero(chosen)
    place = np.array([target.position for target in contracts.targets])
    query = np.array([target.place == "query" for target in contracts.targets], bool)
    if query[left].all() and len(set(place[left].tolist())) == len(left):
        return left
    left, kept = left[:MOST_COMPARED], []
    while len(left):
        first = int(left[0])
        kept.append(first)
        crossed = (contracts.need[left] & contracts.hide[first]) | (contracts.hide[left] & contracts.need[first])
        differs = (place[left] != place[first]) & (query[left] | query[first])
        left = left[crossed.any(axis=1) | differs]  # a target does not cross itself, so it goes
    return np.array(kept, np.int64)


def _hide_mutually(need: BoolArray, hide: BoolArray) -> bool:
    """Return whether each target hides something that each other one needs: no blank sees another one's context."""
    crossed = hide.astype(np.float32) @ need.T.astype(np.float32) > 0
    return bool((crossed.sum(axis=1) == len(need) - 1).all())


def _stay_raw(need: BoolArray, hide: BoolArray) -> bool:
    """Return whether for each two needed elements a target needs the one and hides the other.

    Then a position that embeds an element, and is the only one to do so, sees no other element at any depth.
    """
    used = need.any(axis=0)
    apart = need[:, used].T.astype(np.float32) @ hide[:, used].astype(np.float32) > 0
    return bool((apart.sum(axis=1) == int(used.sum()) - 1).all())


def _beyond_tokens(contracts: Contracts, need: BoolArray, query: BoolArray) -> int:
    """Return how many positions there are at least beside one for each needed element."""
    hosts = _apart(contracts, np.ones(len(need), bool))
    movable = need[hosts[~query[hosts]]]
    at_tokens = min(int(movable.any(axis=1).sum()), int(movable.any(axis=0).sum()))
    return max(len(_apart(contracts, query)), len(hosts) - at_tokens)
