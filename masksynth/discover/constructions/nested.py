"""Queries that read queries: no further positions, and fewer reads where one target may see what another one sees."""

from __future__ import annotations

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.structure import Reads, Structure, prune
from masksynth.mask.typing import UInt64Array

MOST_TARGETS = 1 << 11
"""Targets that are compared with one another."""


def nested_queries(contracts: Contracts) -> Structure | None:
    """Return the structure in which each blank reads others that see only what it may, then raw tokens.

    Targets of smaller needs come first. Of those before it a target reads the one that has most of what it still needs,
    while that is two elements or more. One mask, safe at any depth, no deeper than the layers of the contracts.

    Parameters
    ----------
    contracts : Contracts

    Returns
    -------
    Structure or None
        None if no target reads another one, or if there are too many targets.

    Examples
    --------
    >>> from masksynth.contracts.families import causal
    >>> structure = nested_queries(causal(n=5))
    >>> structure.size, len(structure.reads[0].query)
    (8, 7)
    """
    need, elements, targets = contracts.need, contracts.elements.count, len(contracts.targets)
    if targets > MOST_TARGETS:
        return None
    order = np.argsort(np.bitwise_count(need).sum(axis=1, dtype=np.int64), kind="stable")
    context, level = np.zeros_like(need), np.zeros(targets, np.int64)
    missing = need.copy()
    pairs: list[tuple[int, int]] = []
    for rank, target in enumerate(order.tolist()):
        earlier = order[:rank][level[order[:rank]] < (contracts.layers or targets)]
        earlier = earlier[~(context[earlier] & contracts.hide[target]).any(axis=1)]
        for other in _cover(context[earlier], missing[target]):
            pairs.append((elements + target, int(elements + earlier[other])))
            context[target] |= context[earlier[other]]
            level[target] = max(level[target], level[earlier[other]])
        missing[target] &= ~context[target]
        context[target] |= missing[target]
        level[target] += 1
    if not pairs:
        return None
    raw = np.unpackbits(missing.view(np.uint8), axis=1, count=elements, bitorder="little")
    query, token = np.nonzero(raw)
    queries, keys = np.array(pairs).T
    reads = Reads.of_pairs(
        np.concatenate([queries, elements + query]), np.concatenate([keys, token]), elements + targets
    )
    element = np.concatenate([np.arange(elements), np.full(targets, -1)])
    return prune(Structure(element, (reads,), elements + np.arange(targets), "nested queries"), "one")


def _cover(rows: UInt64Array, missing: UInt64Array) -> list[int]:
    """Return rows that cover much of a set, each with two new elements or more, the largest gain first."""
    chosen: list[int] = []
    missing = missing.copy()
    while len(rows):
        gain = np.bitwise_count(rows & missing).sum(axis=1, dtype=np.int64)
        best = int(gain.argmax())
        if gain[best] < 2:
            break
        chosen.append(best)
        missing &= ~rows[best]
    return chosen
