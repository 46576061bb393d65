"""The least number of OR gates by elimination (theorem 3 of ``docs/discovery.md``)."""

from __future__ import annotations

import numpy as np

from masksynth.mask.typing import BoolArray, Int64Array

MOST_WORK = 1 << 27
"""Elements times targets times the larger of both, beyond which only targets are eliminated."""
MOST_TARGETS = 1 << 11
"""Targets of which each is compared with all later ones, those with the largest needs."""


def prove_gates(need: BoolArray, hide: BoolArray) -> int:
    """Return a number of OR gates that every circuit for some targets has.

    Parameters
    ----------
    need, hide : (T, n) bool

    Examples
    --------
    >>> others = ~np.eye(10, dtype=bool)
    >>> prove_gates(others, ~others)
    24
    """
    used, large = need.any(axis=0), need.sum(axis=1) >= 2
    need, hide = need[large][:, used], hide[large][:, used]
    if not len(need):
        return 0
    both = np.unique(np.hstack([need, hide]), axis=0)
    need, hide = both[:, : need.shape[1]], both[:, need.shape[1] :]
    least = max(int(need.sum(axis=1).max()) - 1, _count_alone(need, hide))
    if need.size * max(need.shape) > MOST_WORK:
        return least
    return max(least, _eliminate(need, hide, True), _eliminate(need, hide, False))


def _count_alone(need: BoolArray, hide: BoolArray) -> int:
    """Return how many targets, from large needs to small, have a gate that serves no later one.

    Each later one hides something of such a target's need. Targets that are passed over gain nothing.
    """
    order = np.lexsort((np.arange(len(need)), -need.sum(axis=1)))[:MOST_TARGETS]
    needs, hides = need[order].astype(np.float32), hide[order].astype(np.float32)
    crossed = np.triu(needs @ hides.T > 0, 1)  # crossed[t, u]: the later u hides something that t needs
    later = np.arange(len(order))[::-1]
    return int((crossed.sum(axis=1) == later).sum())


def _eliminate(need: BoolArray, hide: BoolArray, prefer_targets: bool) -> int:
    """Return the gates that go, one element or target after another; a double gain is taken first.

    ``apart[x, z]`` is how many targets left need x and hide z, ``against[t, u]`` how many elements left t needs and u
    hides. Targets left need two elements that are left, or more.
    """
    needs, hides = need.astype(np.int32), hide.astype(np.int32)
    apart, against = needs.T @ hides, needs @ hides.T
    elements, targets = np.ones(need.shape[1], bool), np.ones(len(need), bool)
    gates = 0
    while targets.any():
        own = _alone(against, targets)
        free = [t for t in own.tolist() if not (hides[t] * elements).any()]
        rest = np.flatnonzero(elements)
        double = rest[(apart[np.ix_(rest, rest)] > 0).sum(axis=1) == len(rest) - 1]
        single = rest[needs[targets][:, rest].any(axis=0)]
        if free or (not len(double) and len(own) and (prefer_targets or not len(single))):
            gates += 1
            gone = [free[0] if free else int(own[0])]
        else:
            gates += 2 if len(double) else 1
            candidates = double if len(double) else single
            rarest = int(candidates[needs[targets][:, candidates].sum(axis=0).argmin()])
            elements[rarest] = False
            against -= np.outer(needs[:, rarest], hides[:, rarest])
            needs[:, rarest] = 0
            gone = np.flatnonzero(targets & (needs.sum(axis=1) < 2)).tolist()
        for target in gone:
            targets[target] = False
            apart -= np.outer(needs[target], hides[target])
    return gates


def _alone(against: Int64Array, targets: BoolArray) -> Int64Array:
    """Return the targets of whose need each other target hides something: their gates serve no other."""
    left = np.flatnonzero(targets)
    alone: Int64Array = left[(against[np.ix_(left, left)] > 0).sum(axis=1) == len(left) - 1]
    return alone
