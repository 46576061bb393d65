"""Assign each pair of chains of the quotient to the chain whose hubs will route it: chains become tracks with guests.

If a class of chain A reaches chain C up to some slot, either the class becomes a guest query of C above that slot, or
the keys in C become guest keys of A, each below the lowest class of A that reaches it. For each pair of chains the side
with fewer estimated edges is taken. No side is needed if both are guests of a third chain that connects them already:
each query of A is a guest there above a slot that reaches as much of C.
"""

from __future__ import annotations

import numpy as np

from masksynth.mask.csr import expand_ranges
from masksynth.mask.equal_values import distinct
from masksynth.mask.typing import BoolArray, Float64Array, Int64Array
from masksynth.sparse.constructions.chain_decomposition import Chains
from masksynth.sparse.constructions.shared_hubs import Tracks


def assign_guests(chains: Chains, layers: int, complete: BoolArray) -> Tracks:
    """Return tracks with guests through which every pair of the quotient can be routed.

    Parameters
    ----------
    chains : Chains
    layers : int
        Number of layers, for the estimates.
    complete : (c,) bool
        Whether all members of the class at each slot take part: the others than the representative are then guests,
        both query and key, of their own slot and wherever the class is a guest. Of other classes only the
        representative takes part.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.sparse.constructions.chain_decomposition import decompose_chains
    >>> wings = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 1]], bool)
    >>> tracks = assign_guests(decompose_chains(Mask.from_dense(wings)), 2, np.ones(4, bool))
    >>> tracks.node[tracks.key_slot].tolist(), tracks.key.tolist()
    ([], [])
    >>> tracks.query.tolist(), tracks.node[tracks.query_slot].tolist()
    ([3], [0])
    """
    weight = np.where(complete, np.diff(chains.offset), 1)
    above = _keys_are_guests(chains, layers, weight)
    skipped = _supported(chains, above, _routed_by_third(chains))
    below, above = ~above & ~skipped, above & ~skipped
    owner, key = expand_ranges(_first_new_slot(chains)[above], chains.top[above] + 1)
    others = np.flatnonzero(weight > 1)
    row, index = expand_ranges(chains.offset[others] + 1, chains.offset[others + 1])
    own_slot, member = others[row], chains.member[index]
    query_slot, query = _guest_positions(chains, weight, chains.top[below], chains.query[below], own_slot, member)
    key_slot, key = _guest_positions(chains, weight, chains.query[above][owner], key, own_slot, member)
    by_query, by_key = np.argsort(query_slot, kind="stable"), np.argsort(key_slot, kind="stable")
    return Tracks(chains.first, chains.start, query_slot[by_query], query[by_query], key_slot[by_key], key[by_key])


def _guest_positions(
    chains: Chains, weight: Int64Array, slot: Int64Array, guest: Int64Array, own_slot: Int64Array, member: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Return slots and positions of guests: those of each guest class, then the members at their own slots."""
    owner, index = expand_ranges(chains.offset[guest], chains.offset[guest] + weight[guest])
    return np.concatenate([slot[owner], own_slot]), np.concatenate([chains.member[index], member])


def _chain_pair(chains: Chains) -> Int64Array:
    """Return a number for the pair (chain of the query, chain of the top) of each entry."""
    group: Int64Array = np.unique(
        chains.chain[chains.query] * len(chains.start) + chains.chain[chains.top], return_inverse=True
    )[1].reshape(-1)
    return group


def _first_new_slot(chains: Chains) -> Int64Array:
    """Return the lowest slot of each entry's prefix that the query below it in its own chain does not reach."""
    before = np.maximum(chains.query - 1, 0)
    same = chains.chain[before] == chains.chain[chains.query]
    seen = np.where(same & (chains.query > 0), chains.highest(before, chains.chain[chains.top]), -1)
    fresh: Int64Array = np.maximum(seen + 1, chains.start[chains.chain[chains.top]])
    return fresh


def _keys_are_guests(chains: Chains, layers: int, weight: Int64Array) -> BoolArray:
    """Return whether it is estimated as cheaper that the keys of each entry are guests of the query's chain."""
    group, total = _chain_pair(chains), np.append(0, np.cumsum(weight))
    as_queries = weight[chains.query] * _estimate(chains.top + 1 - chains.start[chains.chain[chains.top]], layers)
    fresh = total[chains.top + 1] - total[_first_new_slot(chains)]
    as_keys = fresh * _estimate(chains.start[chains.chain[chains.query] + 1] - chains.query, layers)
    cheaper: BoolArray = np.bincount(group, as_keys) < np.bincount(group, as_queries)
    return cheaper[group] if len(group) else np.zeros(0, bool)


def _estimate(length: Int64Array, layers: int) -> Float64Array:
    """Estimate the number of edges of a guest at a segment of a track with this many slots."""
    bits = np.log2(length)
    return 1 + (bits if layers == 2 else np.minimum(np.log2(bits + 1), 1.0 + (layers == 3))) / 2


def _third_chain(chains: Chains) -> Int64Array:
    """Return the parent chain of each query's chain in the forest, -1 where there is none."""
    head = chains.parent[chains.start[chains.chain[chains.query]]]
    return np.where(head < 0, -1, chains.chain[head])


def _routed_by_third(chains: Chains) -> BoolArray:
    """Return whether the third chain reaches the prefix of each entry and of all entries of its chain pair."""
    third, goal = _third_chain(chains), chains.chain[chains.top]
    is_other = (third >= 0) & (third != goal)
    via = np.where(is_other, chains.highest(chains.query, np.maximum(third, 0)), -1)
    seen = np.where(via >= 0, chains.highest(np.maximum(via, 0), goal), -1)
    group = _chain_pair(chains)
    missing = np.bincount(group, seen != chains.top)
    return missing[group] == 0 if len(group) else np.zeros(0, bool)


def _supported(chains: Chains, above: BoolArray, routed: BoolArray) -> BoolArray:
    """Return the routed entries whose steps to and from the third chain are both made by guests."""
    third, goal = _third_chain(chains), chains.chain[chains.top]
    base = len(chains.start)  # (chain, chain) pairs are encoded as chain * base + chain
    pair = chains.chain[chains.query] * base + goal
    guests = distinct(pair[~above & ~routed])
    collected = distinct(pair[above & ~routed])
    return routed & np.isin(chains.chain[chains.query] * base + third, guests) & np.isin(third * base + goal, collected)
