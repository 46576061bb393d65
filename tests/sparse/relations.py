"""Relations for tests: the random posets of the measured table, named ones, all small ones, and random preorders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import product

import numpy as np

from masksynth.posets import closure


def chain(n):
    return np.tril(np.ones((n, n), bool))


def one_class(n):
    return np.ones((n, n), bool)


def grid(*sides):
    """The product order of chains."""
    points = list(product(*map(range, sides)))
    return np.array([[all(a >= b for a, b in zip(q, k, strict=True)) for k in points] for q in points])


def tree(n):
    """The complete binary out-tree in heap order: a node attends to its ancestors."""
    relation = np.eye(n, dtype=bool)
    for node in range(n):
        at = node
        while at:
            at = (at - 1) // 2
            relation[node, at] = True
    return relation


def random_poset(n, density, seed):
    """Upper triangle of uniform numbers below a threshold, closed; the threshold bisected 25 times for the density of
    pairs.
    """
    numbers = np.random.default_rng(seed).random((n, n))
    low, high, best, distance = 0.0, 1.0, None, np.inf
    for _ in range(25):
        middle = (low + high) / 2
        relation = closure(np.triu(numbers < middle, 1))
        pairs = (int(relation.sum()) - int(relation.trace())) / (n * (n - 1) / 2)
        if abs(pairs - density) < distance:
            best, distance = relation | np.eye(n, dtype=bool), abs(pairs - density)
        low, high = (middle, high) if pairs < density else (low, middle)
    return best


def fingerprint(relation):
    """First 12 hex digits of the SHA-256 of the packed strict relation."""
    return hashlib.sha256(np.packbits(relation & ~np.eye(len(relation), dtype=bool)).tobytes()).hexdigest()[:12]


def random_preorder(rng, n, chance):
    """The closure of random edges in both directions, classes of several members included."""
    return closure(rng.random((n, n)) < chance) | np.eye(n, dtype=bool)


def posets(n) -> Iterator[np.ndarray]:
    """All partial orders on n elements, up to renaming, each with the identity as a linear extension."""
    seen = set()
    pairs = [(q, k) for q in range(n) for k in range(q)]
    for bits in range(1 << len(pairs)):
        relation = np.eye(n, dtype=bool)
        for place, pair in enumerate(pairs):
            relation[pair] = bool(bits >> place & 1)
        if (
            np.array_equal(closure(relation) | np.eye(n, dtype=bool), relation)
            and (form := canonical(relation)) not in seen
        ):
            seen.add(form)
            yield relation


def preorders(n) -> Iterator[np.ndarray]:
    """All preorders on n elements, up to renaming."""
    seen = set()
    pairs = [(q, k) for q in range(n) for k in range(n) if q != k]
    for bits in range(1 << len(pairs)):
        relation = np.eye(n, dtype=bool)
        for place, pair in enumerate(pairs):
            relation[pair] = bool(bits >> place & 1)
        if (
            np.array_equal((relation.astype(int) @ relation) > 0, relation)
            and (form := canonical(relation)) not in seen
        ):
            seen.add(form)
            yield relation


def canonical(relation):
    """The least packed form over all renamings."""
    from itertools import permutations

    return min(
        np.packbits(relation[np.ix_(order, order)]).tobytes() for order in map(list, permutations(range(len(relation))))
    )


def carries(mask, relation, layers):
    """Whether L layers of a mask (with its diagonal) carry exactly a relation: plain boolean powers."""
    flow = np.eye(len(relation), dtype=bool)
    for _ in range(layers if layers is not None else max(1, len(relation) - 1)):
        flow = (mask.astype(int) @ flow.astype(int)) > 0
    return np.array_equal(flow, relation)
