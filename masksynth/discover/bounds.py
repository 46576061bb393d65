"""Lower bounds for positions, edges and cost of every structure that keeps given contracts, each by a named theorem.

The theorems are in ``docs/discovery.md``; the sections named by anchors have the proofs. None of them depends on how a
structure was found, and none is claimed where its conditions are not checked here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.eliminate import count_gates
from masksynth.discover.layer_costs import (
    Work,
    charges_of_layers,
    charges_of_one_mask,
    leave_one_out_at_tokens,
    leave_one_out_by_layers,
)
from masksynth.discover.raw_keys import targets_hide_from_each_other, tokens_stay_raw
from masksynth.mask.equal_values import distinct
from masksynth.mask.typing import BoolArray, Int64Array, UInt8Array

PAGE = "docs/discovery.md"
MOST_TARGETS = 1 << 11
"""Targets that are compared with one another; a part of the targets gives a bound too."""


@dataclass(frozen=True)
class Bound:
    """A lower bound.

    Parameters
    ----------
    value : float
    by : str
        The theorem, with its section of ``docs/discovery.md``.
    """

    value: float
    by: str


@dataclass(frozen=True)
class Bounds:
    """Lower bounds of every structure that keeps the contracts.

    Parameters
    ----------
    positions, edges, cost : Bound
        Positions and reads of the merged answer as `masksynth.discover.measure` counts them; cost by the weights.
    """

    positions: Bound
    edges: Bound
    cost: Bound


def bounds_of(contracts: Contracts) -> Bounds:
    """Return lower bounds for positions, edges and cost.

    Parameters
    ----------
    contracts : Contracts
        Of any placement, with or without free elements; demands only raise what is needed, and are not used.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> bounds = bounds_of(leave_one_out(n=64, layers=10))
    >>> bounds.positions.value, bounds.edges.value, bounds.edges.by
    (128, 250, 'theorem 2, leave-one-out (docs/discovery.md#theorem-2)')
    """
    is_query = np.array([target.place == "query" for target in contracts.targets], bool)
    needed = np.unpackbits(contracts.need.view(np.uint8), axis=1, count=contracts.elements.count, bitorder="little")
    positions = int(needed.any(axis=0).sum()) + _positions_beyond_tokens(contracts, needed.view(bool), is_query)
    copies = len(different_hosts(contracts, is_query & needed.any(axis=1)))
    size = leave_one_out_size(contracts)
    if size >= 3:
        gates, theorem = 3 * size - 6, f"theorem 2, leave-one-out ({PAGE}#theorem-2)"
    else:
        gates, theorem = count_gates(contracts), f"theorem 3, gate elimination ({PAGE}#theorem-3)"
    work = _work(contracts, needed, gates + copies)
    edges = Bound(gates + copies, theorem)
    if contracts.layers == 1 and work.reads > edges.value:
        edges = Bound(work.reads, f"theorem 7, raw tokens ({PAGE}#theorem-7)")
        work = replace(work, edges=work.reads)
    if contracts.weights.count == "structure":
        cost = _cost_of_structure(contracts, positions, work, edges)
    else:
        cost = _cost_by_layers(contracts, work, edges)
    return Bounds(Bound(positions, f"theorem 1, positions ({PAGE}#theorem-1)"), edges, cost)


def _positions_beyond_tokens(contracts: Contracts, needed: BoolArray, is_query: BoolArray) -> int:
    """Return a lower bound for the positions beyond one for each needed element."""
    hosts = different_hosts(contracts, np.ones(len(needed), bool))
    flexible = needed[hosts[~is_query[hosts]]]
    at_tokens = min(int(flexible.any(axis=1).sum()), int(flexible.any(axis=0).sum()))
    return max(len(different_hosts(contracts, is_query)), len(hosts) - at_tokens)


def _work(contracts: Contracts, needed: UInt8Array, edges: int) -> Work:
    """Return what every structure has to do; ``needed`` is the (T, n) table of needs."""
    is_query = np.array([target.place == "query" for target in contracts.targets], bool)
    sizes = needed.sum(axis=1, dtype=np.int64)
    reads = np.where(is_query, sizes, sizes - 1)  # a target at a token of its need has that one
    hosts = different_hosts(contracts, reads > 0)
    at_tokens = int((~is_query[hosts]).sum())
    elements = int(needed[is_query].any(axis=0).sum())
    # Any target at a token, also one that is not a host, may let it be updated in the layer in which it is read last.
    can_update = bool((sizes[~is_query] > 0).any())
    return Work(len(hosts), at_tokens, int(reads[hosts].sum()), elements, edges, can_update)


def _cost_of_structure(contracts: Contracts, positions: int, work: Work, edges: Bound) -> Bound:
    """Return the best bound for position x positions + pair x edges."""
    weights = contracts.weights
    value = weights.position * positions + weights.pair * edges.value
    if contracts.masks == "one" and _has_blanks_apart(contracts, work) and tokens_stay_raw(contracts):
        raw = weights.position * positions + weights.pair * max(work.reads, edges.value)
        more = weights.position * (positions + 1) + weights.pair * edges.value
        if min(raw, more) > value:
            return Bound(min(raw, more), f"theorem 7, raw tokens ({PAGE}#theorem-7)")
    return Bound(value, f"theorem 1, positions ({PAGE}#theorem-1), and {edges.by}")


def _has_blanks_apart(contracts: Contracts, work: Work) -> bool:
    """Return whether all targets are at blanks of their own with a need, none of which may see another one's."""
    is_alone = work.hosts == len(contracts.targets) and not work.at_tokens
    return is_alone and targets_hide_from_each_other(contracts)


def _cost_by_layers(contracts: Contracts, work: Work, edges: Bound) -> Bound:
    """Return the best bound for a cost that counts every layer."""
    weights = contracts.weights
    is_query = np.array([target.place == "query" for target in contracts.targets], bool)
    if contracts.masks == "one":
        has_need = contracts.need.any(axis=1)
        blanks = len(different_hosts(contracts, is_query & has_need))
        plain, apart = (charges_of_one_mask(work, blanks, weights, are_apart) for are_apart in (False, True))
        by = f"theorem 4, charges ({PAGE}#theorem-4), and {edges.by}"
        if apart > plain and _has_blanks_apart(contracts, work):
            plain, by = apart, f"theorem 7, raw tokens ({PAGE}#theorem-7)"
        return Bound((contracts.layers or 1) * plain, by)
    choices = [Bound(charges_of_layers(work, weights), f"theorem 4, charges ({PAGE}#theorem-4), and {edges.by}")]
    size = leave_one_out_size(contracts)
    if size == len(contracts.targets) >= 3:
        choices.append(Bound(leave_one_out_at_tokens(size, weights), f"theorem 6, tokens ({PAGE}#theorem-6)"))
        if is_query.all():
            choices.append(Bound(leave_one_out_by_layers(size, weights), f"theorem 5, layers ({PAGE}#theorem-5)"))
    return max(choices, key=lambda bound: bound.value)


def leave_one_out_size(contracts: Contracts) -> int:
    """Return n if the contracts contain leave-one-out of all n elements that are needed, otherwise 0.

    For each of these elements there must be a target that hides it and needs all others; further targets may be there.
    """
    used = np.bitwise_or.reduce(contracts.need, axis=0, initial=0)
    size = int(np.bitwise_count(used).sum())
    hidden = contracts.hide & used
    is_all_but_one = (np.bitwise_count(hidden).sum(axis=1) == 1) & ((contracts.need | hidden) == used).all(axis=1)
    return size if size and len(np.unique(hidden[is_all_but_one], axis=0)) == size else 0


def different_hosts(contracts: Contracts, chosen: BoolArray) -> Int64Array:
    """Return some of the chosen targets, each two of which are predicted at different positions in every structure.

    Two targets are if one needs what the other hides, or if their position ids differ and one of them has placement
    `query`: a blank has one position id, and such a target is not at a token.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> different_hosts(leave_one_out(n=3, place="any"), np.ones(3, bool)).tolist()
    [0, 1, 2]
    """
    place = np.array([target.position for target in contracts.targets], np.int64)
    is_query = np.array([target.place == "query" for target in contracts.targets], bool)
    index = np.flatnonzero(chosen)
    if is_query[index].all() and len(distinct(place[index])) == len(index):
        return index
    kept = np.zeros(0, np.int64)
    for target in index[:MOST_TARGETS].tolist():
        excludes = (contracts.need[kept] & contracts.hide[target]) | (contracts.hide[kept] & contracts.need[target])
        differ = (place[kept] != place[target]) & (is_query[kept] | is_query[target])
        if (excludes.any(axis=1) | differ).all():
            kept = np.append(kept, target)
    return kept
