"""Lower bounds on a cost that counts every layer (theorems 4 to 7 of ``docs/discovery.md``)."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from masksynth.contracts.model import Weights
from masksynth.mask.typing import Int64Array


@dataclass(frozen=True)
class Charges:
    """What any structure pays for.

    Parameters
    ----------
    hosts : int
        Targets at different positions that must read.
    movable : int
        How many of them may be at a token.
    reads : int
        Elements that they need, without one for each that may be at a token.
    elements : int
        Elements that targets at blanks need.
    edges : int
        Reads that every structure has.
    moves : bool
        Whether some target with a need, a host or not, may be at a token, and let that one be updated.
    """

    hosts: int
    movable: int
    reads: int
    elements: int
    edges: int
    moves: bool = False


def charge_layers(work: Charges, weights: Weights) -> float:
    """Return a least cost with a mask per layer (theorem 4).

    Either nothing but the hosts reads, and each reads its elements raw, or there is one update more.
    """
    token = min(weights.kv, weights.position) if work.moves else weights.kv
    direct = weights.position * work.hosts + token * max(work.elements - work.movable, 0)
    spared = work.movable + 1 if work.moves else 0  # with blanks only, no update saves keys and values
    more = weights.position * (work.hosts + 1) + token * max(work.elements - spared, 0)
    return min(direct + weights.pair * max(work.reads, work.edges), more + weights.pair * work.edges)


def charge_one_mask(work: Charges, blanks: int, weights: Weights, blind: bool) -> float:
    """Return a least cost of one layer with one mask, where this many different blanks must read (theorems 4 and 7).

    If the blanks are all targets, and blind to one another, either nothing but them is updated, and they read their
    elements raw, or there is one update more.
    """
    token = min(weights.kv, weights.position)
    least = weights.position * blanks + token * work.elements + weights.pair * work.edges
    if not blind:
        return least
    direct = weights.position * blanks + weights.kv * work.elements + weights.pair * max(work.reads, work.edges)
    more = weights.position * (blanks + 1) + token * max(work.elements - 1, 0) + weights.pair * work.edges
    return max(least, min(direct, more))


def charge_tokens(n: int, weights: Weights) -> float:
    """Return a least cost of leave-one-out of n tokens at any positions, with a mask per layer (theorem 6)."""
    late = np.arange(n)
    reads = np.maximum(late * (n - 1) - n, 3 * n - 6)
    mixed = weights.position + min(weights.kv, weights.position) * (n - late - 1) + weights.pair * reads
    return weights.position * n + min(weights.pair * n * (n - 2), float(mixed.min()))


def charge_queries(n: int, weights: Weights) -> float:
    """Return a least cost of leave-one-out of n tokens at blanks, with a mask per layer (theorem 5).

    The least over x further updates, d late elements, and the fewest elements w that are charged twice; more of them
    do not pay where kv is above the pairs that one saves, and otherwise the reads of hubs are not counted.
    """
    late = np.arange(n + 1)
    best = weights.pair * n * (n - 1)  # x = 0: all are late
    for extra in range(1, n * n):
        saved = n * (n - 1) - extra * ((n - 1) ** 2 // 4)
        few = n - late
        twice = np.maximum(few - extra - comb(extra, extra // 2), 0)
        reads = late * (n - 1) + late * (few >= 1) + np.maximum(4 * few - 6, 0) * (few >= 2)
        reads = np.maximum(reads, max(4 * n - 6, saved))
        if weights.kv >= weights.pair * (extra + 1):
            hubs = late * (n - 1) + _hub_reads(np.maximum(few - twice - extra, 0), extra) + max(n - extra, 0)
            reads = np.maximum(reads, hubs * (few >= 2))
        value = weights.position * extra + weights.kv * twice + weights.pair * reads
        best = min(best, float(value.min()))
        if not twice.any() and saved <= 4 * n - 6 and weights.position * extra + weights.pair * (4 * n - 6) >= best:
            break
    return n * (weights.position + weights.kv) + best


def _hub_reads(tokens: Int64Array, hubs: int) -> Int64Array:
    """Return the least sum of m numbers b with sum of 1 / C(h, b) at most 1; 1 / C(h, b) is convex up to h / 2.

    So the numbers are b and b + 1, for the b with C(h, b) < m <= C(h, b + 1); of m numbers, (m - C(h, b)) C(h, b + 1) /
    (C(h, b + 1) - C(h, b)), rounded up, are b + 1.

    Examples
    --------
    >>> _hub_reads(np.array([0, 1, 4, 210, 252]), 10).tolist()
    [0, 0, 4, 840, 1260]
    """
    most = int(tokens.max(initial=0))
    sets = [1]
    while sets[-1] < most:
        sets.append(comb(hubs, len(sets)))
    table = np.array([0, *sets], np.int64)
    upper = np.searchsorted(table, np.maximum(tokens, 1))  # table[upper - 1] < m <= table[upper], b + 1 = upper - 1
    low, high = table[upper - 1], table[upper]
    more = -(-(tokens - low) * high // np.maximum(high - low, 1))
    return np.where(tokens <= 1, 0, tokens * np.maximum(upper - 2, 0) + more)
