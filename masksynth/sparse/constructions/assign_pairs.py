"""Who serves which pairs: the rows of a quotient, taken apart into tracks with guests.

A class of chain A that sees chain C up to some slot becomes a guest query of C above that slot; or the keys of C become guest keys of A,
each below the lowest class of A that sees it. For every pair of chains the cheaper side serves, by estimated edges. Nobody serves where
both are guests of a third chain that joins them already: each query of A sits there above a slot that sees as much of C.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masksynth.mask.csr import expand_ranges
from masksynth.mask.typing import Int64Array
from masksynth.sparse.constructions.chain_decomposition import Chains
from masksynth.sparse.constructions.shared_hubs import Tracks


def tracks_of(chains: Chains, layers: int, whole: NDArray[np.bool_]) -> Tracks:
    """Tracks that serve every pair of the quotient.

    Of a class that is ``whole``, by slot, the other members are guests, both query and key, of their own slot and wherever the class is
    a guest; any other class is its representative.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.sparse.constructions.chain_decomposition import chains_of
    >>> wings = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 1]], bool)
    >>> tracks = tracks_of(chains_of(Mask.from_dense(wings)), 2, np.ones(4, bool))
    >>> [tracks.node[tracks.key_slot].tolist(), tracks.key.tolist()], [tracks.query.tolist(), tracks.node[tracks.query_slot].tolist()]
    ([[], []], [[3], [0]])
    """
    weight = np.where(whole, np.diff(chains.offset), 1)
    above, free = _served_above(chains, layers, weight), _free(chains)
    free = _settled(chains, above, free)
    below, above = ~above & ~free, above & ~free
    owner, key = expand_ranges(_fresh(chains)[above], chains.top[above] + 1)
    others = np.flatnonzero(weight > 1)
    inner, rest = expand_ranges(chains.offset[others] + 1, chains.offset[others + 1])
    own, guests = others[inner], chains.member[rest]
    query_slot, query = _positions(chains, weight, chains.top[below], chains.query[below], own, guests)
    key_slot, key = _positions(chains, weight, chains.query[above][owner], key, own, guests)
    by_query, by_key = np.argsort(query_slot, kind="stable"), np.argsort(key_slot, kind="stable")
    return Tracks(chains.first, chains.start, query_slot[by_query], query[by_query], key_slot[by_key], key[by_key])


def _positions(
    chains: Chains, weight: Int64Array, slot: Int64Array, guest: Int64Array, own: Int64Array, guests: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """The positions of each guest class at its slot, and the guests of their own classes."""
    owner, at = expand_ranges(chains.offset[guest], chains.offset[guest] + weight[guest])
    return np.concatenate([slot[owner], own]), np.concatenate([chains.member[at], guests])


def _group(chains: Chains) -> Int64Array:
    """Number of the pair (chain of the query, chain of the top) of each entry."""
    group: Int64Array = np.unique(
        chains.chain[chains.query] * len(chains.start) + chains.chain[chains.top], return_inverse=True
    )[1].reshape(-1)
    return group


def _fresh(chains: Chains) -> Int64Array:
    """The lowest slot of each entry's prefix that the query before it in its own chain does not see."""
    before = np.maximum(chains.query - 1, 0)
    same = chains.chain[before] == chains.chain[chains.query]
    seen = np.where(same & (chains.query > 0), chains.seen(before, chains.chain[chains.top]), -1)
    fresh: Int64Array = np.maximum(seen + 1, chains.start[chains.chain[chains.top]])
    return fresh


def _served_above(chains: Chains, layers: int, weight: Int64Array) -> NDArray[np.bool_]:
    """Whether each entry's keys are guests of the query's chain, because that is estimated to cost less."""
    group, total = _group(chains), np.append(0, np.cumsum(weight))
    as_queries = weight[chains.query] * _estimate(chains.top + 1 - chains.start[chains.chain[chains.top]], layers)
    fresh = total[chains.top + 1] - total[_fresh(chains)]
    as_keys = fresh * _estimate(chains.start[chains.chain[chains.query] + 1] - chains.query, layers)
    cheaper: NDArray[np.bool_] = np.bincount(group, as_keys) < np.bincount(group, as_queries)
    return cheaper[group] if len(group) else np.zeros(0, bool)


def _estimate(length: Int64Array, layers: int) -> NDArray[np.float64]:
    """About how many edges a guest needs at a part of a track with this many slots."""
    bits = np.log2(length)
    return 1 + (bits if layers == 2 else np.minimum(np.log2(bits + 1), 1.0 + (layers == 3))) / 2


def _third(chains: Chains) -> Int64Array:
    """The chain from which the chain of each entry's query hangs, -1 where there is none."""
    head = chains.parent[chains.start[chains.chain[chains.query]]]
    return np.where(head < 0, -1, chains.chain[head])


def _free(chains: Chains) -> NDArray[np.bool_]:
    """Whether the query's row on the third chain sees all of the entry's prefix, for every entry of its pair of chains."""
    third, goal = _third(chains), chains.chain[chains.top]
    asked = (third >= 0) & (third != goal)
    via = np.where(asked, chains.seen(chains.query, np.maximum(third, 0)), -1)
    seen = np.where(via >= 0, chains.seen(np.maximum(via, 0), goal), -1)
    group = _group(chains)
    missing = np.bincount(group, seen != chains.top)
    return missing[group] == 0 if len(group) else np.zeros(0, bool)


def _settled(chains: Chains, above: NDArray[np.bool_], free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The free entries that rest on entries which are served, on the third chain, themselves."""
    third, goal = _third(chains), chains.chain[chains.top]
    chain = len(chains.start)
    pair = chains.chain[chains.query] * chain + goal
    guests = np.unique(pair[~above & ~free])
    collected = np.unique(pair[above & ~free])
    return free & np.isin(chains.chain[chains.query] * chain + third, guests) & np.isin(third * chain + goal, collected)
