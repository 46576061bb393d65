"""All small relations, and least weights by trying every set of edges.

It knows no encoder, no reduction and no checker.
"""

from __future__ import annotations

import random
from functools import cache
from itertools import combinations, permutations, product

import numpy as np


def transitive(table):
    """Whether a relation is transitive."""
    return not ((table.astype(int) @ table.astype(int) > 0) & ~table).any()


def canonical(table):
    """The least of all renamings, as bytes."""
    size = len(table)
    return min(table[np.ix_(order, order)].tobytes() for order in map(list, permutations(range(size))))


@cache
def preorders(size, ordered=False):
    """All preorders (``ordered``: partial orders) on ``size`` positions, one of each isomorphism class."""
    places = [(q, k) for q in range(size) for k in range(size) if (k < q if ordered else k != q)]
    found = {}
    for bits in product([False, True], repeat=len(places)):
        table = np.eye(size, dtype=bool)
        for place, bit in zip(places, bits, strict=True):
            table[place] = bit
        if transitive(table):
            found.setdefault(canonical(table), table)
    return tuple(found.values())


def pairs(table):
    """Pairs (query, key) of a relation off the diagonal."""
    return [(int(q), int(k)) for q, k in np.argwhere(table) if q != k]


def path(size):
    """A chain of positions, each seeing all before it."""
    return np.tril(np.ones((size, size), bool))


def grid(*sides):
    """A product of chains."""
    places = list(np.ndindex(*sides))
    return np.array([[all(b <= a for a, b in zip(one, other, strict=True)) for other in places] for one in places])


def cycle(size):
    """One class of mutually visible positions."""
    return np.ones((size, size), bool)


def random_preorder(size, density, seed, classes=True):
    """The closure of random edges; with ``classes``, a few of them against the order."""
    chance = random.Random(seed)
    table = np.eye(size, dtype=bool)
    for query, key in combinations(range(size), 2):
        table[key, query] = chance.random() < density
        table[query, key] = classes and chance.random() < density / size
    while not transitive(table):
        table = table.astype(int) @ table.astype(int) > 0
    order = chance.sample(range(size), size) if classes else list(range(size))
    return table[np.ix_(order, order)]


def least_weight(relation, layers, edges, weights, have=()):
    """Least weight of a subset of ``edges`` that with ``have`` connects every pair within ``layers`` edges.

    None if none does.
    """
    size, chosen = (
        len(relation),
        np.array(list(product([False, True], repeat=len(edges)))).reshape(2 ** len(edges), len(edges)),
    )
    masks = np.zeros((len(chosen), size, size), bool)
    masks[:] = np.eye(size, dtype=bool)
    for edge in have:
        masks[(slice(None), *edge)] = True
    for place, edge in enumerate(edges):
        masks[(slice(None), *edge)] = chosen[:, place]
    seen = masks
    for _ in range(layers - 1):
        seen = np.matmul(masks.astype(np.float32), seen.astype(np.float32)) > 0.5
    right = (seen | ~relation).all(axis=(1, 2))
    cost = chosen @ np.array([weights.get(edge, 1) for edge in edges], int)
    return int(cost[right].min()) if right.any() else None


def least_layered(relation, layers, edges, weights, forced=()):
    """Least weight of a set of edges for each layer that connects every pair, layer after layer; None if none does."""
    size = len(relation)
    chosen = np.array(list(product([False, True], repeat=len(edges) * layers))).reshape(
        -1 if edges else 1, layers, len(edges)
    )
    seen = np.zeros((len(chosen), size, size), bool)
    seen[:] = np.eye(size, dtype=bool)
    right = np.ones(len(chosen), bool)
    for layer in range(layers):
        mask = np.zeros((len(chosen), size, size), bool)
        mask[:] = np.eye(size, dtype=bool)
        for place, edge in enumerate(edges):
            mask[(slice(None), *edge)] = chosen[:, layer, place]
            if edge in forced:
                right &= chosen[:, layer, place]
        seen = np.matmul(mask.astype(np.float32), seen.astype(np.float32)) > 0.5
    right &= (seen | ~relation).all(axis=(1, 2))
    cost = (chosen @ np.array([weights.get(edge, 1) for edge in edges], int)).reshape(len(chosen), -1).sum(axis=1)
    return int(cost[right].min()) if right.any() else None
