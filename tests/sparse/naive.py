"""Sparse masks in other ways, without a line of masksynth: every set of edges tried, and a plain formula of the
complete problem.
"""

from __future__ import annotations

import json
from itertools import product

import numpy as np


def pairs_of(relation):
    """The pairs (query, key) of a relation off its diagonal."""
    return [(int(q), int(k)) for q, k in np.argwhere(relation) if q != k]


def least_weight(relation, layers, forced=(), forbidden=(), weights=None):
    """The least weight of a mask whose power is the relation, over all sets of edges; None if there is none.

    All sets at once: an array with one adjacency matrix for each.
    """
    n, weights = len(relation), weights or {}
    edges = [edge for edge in pairs_of(relation) if edge not in forbidden]
    bits = np.arange(1 << len(edges))
    masks = np.zeros((len(bits), n, n), np.float32)
    masks[:, range(n), range(n)] = 1
    cost = np.zeros(len(bits), np.int64)
    for place, (query, key) in enumerate(edges):
        held = (bits >> place & 1).astype(bool)
        masks[held, query, key] = 1
        cost += held * weights.get((query, key), 1)
    right = np.ones(len(bits), bool)
    for query, key in forced:
        right &= masks[:, query, key] > 0
    power = np.broadcast_to(np.eye(n, dtype=np.float32), masks.shape)
    for _ in range(max(1, n - 1) if layers is None else layers):
        power = np.minimum(masks @ power, 1)
    right &= (power == relation).all(axis=(1, 2))
    return int(cost[right].min()) if right.any() else None


def least_layered_weight(relation, layers, forced=(), forbidden=(), weights=None):
    """The same with a mask of its own for each layer: the cheapest way to each product of layers, one layer after the
    other.
    """
    n, weights = len(relation), weights or {}
    edges = [edge for edge in pairs_of(relation) if edge not in forbidden]
    steps = []
    for held in product((False, True), repeat=len(edges)):
        chosen = [edge for edge, taken in zip(edges, held, strict=True) if taken]
        if set(forced) <= set(chosen):
            mask = np.eye(n, dtype=int)
            mask[tuple(zip(*chosen, strict=True)) if chosen else ([], [])] = 1
            steps.append((mask, sum(weights.get(edge, 1) for edge in chosen)))
    cheapest = {np.eye(n, dtype=bool).tobytes(): 0}
    for _ in range(layers):
        further: dict[bytes, int] = {}
        for flow, spent in cheapest.items():
            below = np.frombuffer(flow, bool).reshape(n, n)
            for mask, price in steps:
                after = (mask @ below > 0).tobytes()
                further[after] = min(spent + price, further.get(after, spent + price))
        cheapest = further
    return cheapest.get(np.asarray(relation, bool).tobytes())


def plain_formula(relation, layers):
    """(hard clauses, soft clauses): the complete problem, one layer after the other, nothing taken as sure and nothing
    left out.
    """
    pairs = pairs_of(relation)
    edge = {pair: number + 1 for number, pair in enumerate(pairs)}
    reach = {(1, *pair): edge[pair] for pair in pairs}
    count, hard = len(pairs), []
    for level in range(2, layers + 1):
        for query, key in pairs:
            count += 1
            reach[level, query, key] = count
            ways = [reach[level - 1, query, key]]
            for middle in range(len(relation)):
                if (query, middle) in edge and (middle, key) in edge:
                    way = count = count + 1
                    hard += [[-way, edge[query, middle]], [-way, reach[level - 1, middle, key]]]
                    ways.append(way)
            hard.append([-reach[level, query, key], *ways])
    return hard + [[reach[layers, *pair]] for pair in pairs], [[-edge[pair]] for pair in pairs]


def told(relation, layers, options=(), layered=False):
    """A failing case as JSON."""
    forced, forbidden, weights = options or ((), (), {})
    rules = {
        "forced": sorted(forced),
        "forbidden": sorted(forbidden),
        "weights": [[*edge, w] for edge, w in sorted(weights.items())],
    }
    return json.dumps(
        {"relation": np.asarray(relation).astype(int).tolist(), "layers": layers, "layered": layered, **rules}
    )
