"""Read the set of a node from other nodes: few that cover what it must hold, and nothing that it must not."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

LEAVES = 200
"""Covers that `smaller_cover` tries at most."""


def greedy_cover(need: int, sets: Sequence[tuple[int, int]], rng: Random) -> list[int] | None:
    """Return nodes that cover a set: each time one that adds most elements, ties broken by chance.

    Parameters
    ----------
    need : int
        The set, as bits.
    sets : sequence of (node, set)
        Nodes that may be read.
    rng : Random

    Returns
    -------
    list of int or None
        None if the nodes do not cover the set.
    """
    chosen: list[tuple[int, int]] = []
    rest = need
    live = [(node, bits) for node, bits in sets if bits & rest]
    while rest:
        most, best = 0, []
        for node, bits in live:
            gain = (bits & rest).bit_count()
            if gain > most:
                most, best = gain, [(node, bits)]
            elif gain == most:
                best.append((node, bits))
        if not most:
            return None
        chosen.append(best[int(rng.random() * len(best))])
        rest &= ~chosen[-1][1]
        live = [(node, bits) for node, bits in live if bits & rest]
    return _without_redundant(need, chosen)


def _without_redundant(need: int, chosen: list[tuple[int, int]]) -> list[int]:
    """Return the nodes of a cover without those whose elements the others hold; the first chosen are dropped first."""
    kept = list(chosen)
    for pair in chosen[:-2]:
        others = 0
        for node, bits in kept:
            if node != pair[0]:
                others |= bits
        if not need & ~others:
            kept.remove(pair)
    return [node for node, _ in kept]


def smaller_cover(need: int, sets: Sequence[tuple[int, int]], size: int) -> list[int] | None:
    """Return a cover of at most ``size`` nodes, or None if none was found within ``LEAVES`` tries.

    The search branches over the nodes that hold the element that fewest nodes hold.
    """
    budget = [LEAVES]
    live = [(node, bits & need) for node, bits in sets if bits & need]
    return _branch(need, live, size, budget)


def _branch(rest: int, live: list[tuple[int, int]], size: int, budget: list[int]) -> list[int] | None:
    if not rest:
        return []
    if size == 0 or budget[0] <= 0:
        return None
    if size == 1:
        budget[0] -= 1
        return next(([node] for node, bits in live if not rest & ~bits), None)
    largest = max((bits.bit_count() for _, bits in live), default=0)
    if largest * size < rest.bit_count():
        budget[0] -= 1
        return None
    pivot = _rarest(rest, live)
    holders = [(node, bits) for node, bits in live if bits & pivot]
    holders.sort(key=lambda pair: -pair[1].bit_count())
    for node, bits in holders:
        left = rest & ~bits
        found = _branch(left, [(other, b & left) for other, b in live if b & left], size - 1, budget)
        if found is not None:
            return [node, *found]
    return None


def _rarest(rest: int, live: list[tuple[int, int]]) -> int:
    """Return, as a single bit, an element of a set that few nodes hold: of three elements the one with the fewest."""
    least, rarest = len(live) + 1, 0
    bits = rest
    for _ in range(3):
        low = bits & -bits
        if not low:
            break
        holders = sum(1 for _, held in live if held & low)
        if holders < least:
            least, rarest = holders, low
        bits ^= low
        high = 1 << (bits.bit_length() // 2 + low.bit_length() // 2)
        bits = (bits & -high) or bits  # look at elements far apart
    return rarest
