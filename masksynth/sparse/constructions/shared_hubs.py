"""Route guests through the hubs of a chain: positions outside a chain that need a part of it reach that part in L hops.

A *track* is a chain of slots. A guest query sits above a slot: it may attend to that slot and to all below. A guest key
sits below a slot: that slot and all above may attend to it. Guests are not hubs. Hubs split a segment of the track;
every query attends to the nearest hub at or below it, the nearest hub at or above a key attends to it, the hubs form a
chain with L - 2 layers (a single hub at L = 2), and what lies strictly between two hubs is left to the same scheme. So
a query at slot j and a key at slot i <= j meet: at the first level that puts a hub between the two, j -> hub -> ... ->
hub -> i takes 1 + (L - 2) + 1 hops.

Hubs split the *weight*, guests included, into equal parts: a slot with many guests becomes a hub early, and those
guests are done with one edge. Along the heavy paths of a tree the costs then add up to O(log n) for a node at L = 2, as
in biased search trees.

References
----------
D. D. Sleator, R. E. Tarjan, "A data structure for dynamic trees", J. Computer and System Sciences 26 (1983).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from masksynth.mask.csr import expand_ranges
from masksynth.mask.typing import Int64Array
from masksynth.sparse.constructions.chain_hubs import chain_cost, chain_edges

Edges = tuple[Int64Array, Int64Array]


class Tracks(NamedTuple):
    """Disjoint tracks on slots 0 .. c - 1, and their guests.

    Parameters
    ----------
    node : (c,) int64
        Position at each slot.
    start : (tracks + 1,) int64
        Track i holds the slots ``start[i] <= s < start[i + 1]``.
    query_slot, query, key_slot, key : int64
        Guests (positions) and their slots, sorted by slot.
    """

    node: Int64Array
    start: Int64Array
    query_slot: Int64Array
    query: Int64Array
    key_slot: Int64Array
    key: Int64Array


def track_edges(tracks: Tracks, layers: int) -> Edges:
    """Return edges (query, key) by which ``layers`` >= 2 layers connect every query to the keys at or below its slot.

    Examples
    --------
    A chain 0 < 1 < 2 and the guest query 3 above slot 1: three covers.

    >>> one, none = np.array([1]), np.zeros(0, np.int64)
    >>> edges = track_edges(Tracks(np.arange(3), np.array([0, 3]), one, np.array([3]), none, none), 3)
    >>> sorted(zip(*(part.tolist() for part in edges)))
    [(1, 0), (2, 1), (3, 1)]
    """
    start, end = tracks.start[:-1], tracks.start[1:]
    edges: list[Edges] = []
    while len(start):  # one level of hubs for all segments
        queries, keys = _guests(tracks.query_slot, start, end), _guests(tracks.key_slot, start, end)
        plain = (queries == 0) & (keys == 0)
        edges += _chain_segments(tracks.node, start[plain], end[plain], layers)
        short = ~plain & (end - start - 1 + (queries > 0) + (keys > 0) <= layers)
        edges += _cover_segments(tracks, start[short], end[short])
        rest = ~plain & ~short
        start, end, queries, keys = start[rest], end[rest], queries[rest], keys[rest]
        if len(start):
            hubs = _hubs(tracks, start, end, queries, keys, layers)
            edges += _hub_edges(tracks, start, end, hubs)
            if layers > 2:
                first = np.searchsorted(hubs, start)
                edges += _chain_segments(tracks.node[hubs], first, np.searchsorted(hubs, end), layers - 2)
            start, end = np.sort(np.concatenate([start, hubs + 1])), np.sort(np.concatenate([hubs, end]))
            start, end = start[start < end], end[start < end]
    if not edges:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([query for query, _ in edges]), np.concatenate([key for _, key in edges])


def _guests(slot: Int64Array, start: Int64Array, end: Int64Array) -> Int64Array:
    return np.searchsorted(slot, end) - np.searchsorted(slot, start)


def _chain_segments(node: Int64Array, start: Int64Array, end: Int64Array, layers: int) -> list[Edges]:
    """Return the edges of segments without guests, one plan for all of equal length."""
    edges = []
    for length in np.unique(end - start).tolist():
        if length > 1:
            first = start[end - start == length]
            query, key = chain_edges(length, layers)
            edges.append((node[(first[:, None] + query).ravel()], node[(first[:, None] + key).ravel()]))
    return edges


def _cover_segments(tracks: Tracks, start: Int64Array, end: Int64Array) -> list[Edges]:
    """Return the covers of segments whose longest path has at most L edges."""
    lower = expand_ranges(start, end - 1)[1]
    edges = [(tracks.node[lower + 1], tracks.node[lower])]
    guest = expand_ranges(np.searchsorted(tracks.query_slot, start), np.searchsorted(tracks.query_slot, end))[1]
    edges.append((tracks.query[guest], tracks.node[tracks.query_slot[guest]]))
    guest = expand_ranges(np.searchsorted(tracks.key_slot, start), np.searchsorted(tracks.key_slot, end))[1]
    edges.append((tracks.node[tracks.key_slot[guest]], tracks.key[guest]))
    return edges


def _hubs(
    tracks: Tracks, start: Int64Array, end: Int64Array, queries: Int64Array, keys: Int64Array, layers: int
) -> Int64Array:
    """Return the slots, ascending, at which the weight of each segment is split."""
    slots = np.arange(len(tracks.node) + 1)
    weight = 2 * slots + np.searchsorted(tracks.query_slot, slots) + np.searchsorted(tracks.key_slot, slots)
    total = weight[end] - weight[start]
    if layers == 2:
        below = _weight_below(end - start + queries, end - start + keys) * total
        single: Int64Array = np.searchsorted(weight, weight[start] + below, side="right") - 1
        return single
    count = _counts(end - start, queries + keys, layers)
    owner, number = expand_ranges(np.zeros_like(count), count)
    target = weight[start[owner]] + (number + 1) * (total / (count + 1))[owner]
    return np.unique(np.searchsorted(weight, target, side="right") - 1)


def _weight_below(queries: Int64Array, keys: Int64Array) -> np.ndarray:
    """Return the fraction of the weight below a single hub: y with y + y^(keys / queries) = 1.

    A query pays for a hub below it, a key for a hub above it. With q queries and k keys in unit weight and a share y
    below, a level costs q (1 - y) + k y for H(y) bits of progress; the best share has (1 - y, y) = (2^(-t q), 2^(-t
    k)).
    """
    low, high = np.zeros(len(keys)), np.ones(len(keys))
    for _ in range(20):  # bisection
        middle = (low + high) / 2
        less = middle ** (queries / keys) + middle < 1
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return np.where(queries == keys, 0.5, (low + high) / 2)


def _counts(slots: Int64Array, guests: Int64Array, layers: int) -> Int64Array:
    """Return the number of hubs of each segment: all slots if guests are many, else as for a chain of that weight."""
    bits = np.maximum(np.frexp((slots + guests / 2).astype(float))[1] - 4, 0)
    size = ((slots + guests / 2).astype(np.int64) >> bits) << bits  # four significant bits
    count = np.zeros_like(size)
    for length in np.unique(size).tolist():
        cost, best = _estimate_hubs(length, layers)
        chosen = size == length
        all_hubs = np.array([chain_cost(hubs, layers - 2) for hubs in np.minimum(slots[chosen], 4 * length).tolist()])
        count[chosen] = np.where(guests[chosen] + all_hubs <= cost, slots[chosen], np.minimum(best, slots[chosen]))
    least: Int64Array = np.maximum(count, 1)
    return least


@cache
def _estimate_hubs(size: int, layers: int) -> tuple[int, int]:
    """Return the estimated number of edges of the scheme on a chain of ``size``, and its number of hubs."""
    if size <= layers:
        return max(size - 1, 0), 1
    choices = []
    for length in [*range(1, 13), *(2**power for power in range(4, size.bit_length()))]:
        count = min(max((size + 1) // (length + 1), 1), size)
        length_between = -(-(size - count) // (count + 1))
        bits = max(length_between.bit_length() - 4, 0)  # rounded to four significant bits, to share cached estimates
        inside = _estimate_hubs(length_between >> bits << bits, layers)[0]
        choices.append((2 * (size - count) + chain_cost(count, layers - 2) + (count + 1) * inside, count))
    return min(choices)


def _hub_edges(tracks: Tracks, start: Int64Array, end: Int64Array, hubs: Int64Array) -> list[Edges]:
    """Return the edges from each query to the nearest hub at or below it, and from the nearest hub above each key."""
    slot = expand_ranges(start, end)[1]
    slot = slot[~np.isin(slot, hubs)]
    guest = expand_ranges(np.searchsorted(tracks.query_slot, start), np.searchsorted(tracks.query_slot, end))[1]
    queries, query_slot = (
        np.concatenate([tracks.node[slot], tracks.query[guest]]),
        np.concatenate([slot, tracks.query_slot[guest]]),
    )
    guest = expand_ranges(np.searchsorted(tracks.key_slot, start), np.searchsorted(tracks.key_slot, end))[1]
    keys, key_slot = (
        np.concatenate([tracks.node[slot], tracks.key[guest]]),
        np.concatenate([slot, tracks.key_slot[guest]]),
    )
    below = np.searchsorted(hubs, query_slot, side="right") - 1
    has_below = (below >= 0) & (hubs[below] >= start[np.searchsorted(start, query_slot, side="right") - 1])
    above = np.minimum(np.searchsorted(hubs, key_slot), len(hubs) - 1)
    has_above = (hubs[above] >= key_slot) & (hubs[above] < end[np.searchsorted(start, key_slot, side="right") - 1])
    return [
        (queries[has_below], tracks.node[hubs[below[has_below]]]),
        (tracks.node[hubs[above[has_above]]], keys[has_above]),
    ]
