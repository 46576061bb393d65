"""Gate elimination: a lower bound for the OR gates that compute a set for each target, for any contracts.

A circuit of binary OR gates over the elements computes, for each target, a set that holds its need and nothing that it
hides. Removing an element, or a target, removes gates, and what remains is a circuit for the smaller contracts; gains
add up. ``docs/discovery.md`` proves each gain:

- an element x that is needed with others feeds a gate, which goes when x is removed: 1;
- if moreover for each other element z some target needs x, and something else, and hides z, then x feeds two gates: 2;
- a target that needs two elements or more, and of whose need each other target hides something, has a gate of its own,
  which goes with the target: 1.
"""

from __future__ import annotations

import numpy as np

from masksynth.contracts import Contracts
from masksynth.mask.typing import BoolArray, Int64Array

LARGEST = 1 << 27
"""Elements times targets times the larger of both, beyond which only targets are eliminated: about ten seconds."""
MOST_TARGETS = 1 << 11
"""Targets that are eliminated then: those of the largest needs."""


def count_gates(contracts: Contracts) -> int:
    """Return a lower bound for the number of OR gates, by eliminating greedily in several orders.

    Parameters
    ----------
    contracts : Contracts

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> [count_gates(leave_one_out(n=n)) for n in (1, 2, 3, 10)]
    [0, 0, 3, 24]
    """
    count = contracts.elements.count
    need, hide = (
        np.unpackbits(rows.view(np.uint8), axis=1, count=count, bitorder="little").view(bool)
        for rows in (contracts.need, contracts.hide)
    )
    used = need.any(axis=0)
    need, hide = need[:, used], hide[:, used]
    chosen = need.sum(axis=1) >= 2
    need, hide = _distinct(need[chosen], hide[chosen])
    if not len(need):
        return 0
    # elements of the largest need one after another, or targets alone
    gates = [int(need.sum(axis=1).max()) - 1, _count_own_gates(need, hide)]
    if need.size * max(need.shape) <= LARGEST:
        gates += [_Elimination(need, hide).run(targets_first) for targets_first in (False, True)]
    return max(gates)


def _distinct(need: BoolArray, hide: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Return the targets without repeats."""
    both = np.unique(np.concatenate([need, hide], axis=1), axis=0)
    return both[:, : need.shape[1]], both[:, need.shape[1] :]


def _count_own_gates(need: BoolArray, hide: BoolArray) -> int:
    """Return the targets that have a gate of their own, one after another from the largest need on.

    A target of whose need another one hides nothing is left out, as fewer targets need no more gates.

    Examples
    --------
    >>> below = np.tri(5, 6, dtype=bool)
    >>> _count_own_gates(below, ~below)  # the need of one element needs no gate
    4
    """
    order = np.argsort(-need.sum(axis=1), kind="stable")[:MOST_TARGETS]
    wanted, hidden = np.packbits(need[order], axis=1), np.packbits(hide[order], axis=1)
    return sum(
        bool((hidden[rank + 1 :] & row).any(axis=1).all()) and int(np.bitwise_count(row).sum()) > 1
        for rank, row in enumerate(wanted)
    )


class _Elimination:
    """Contracts that shrink.

    ``pairs[x, z]`` counts the remaining targets that need x, and something else, and hide z; ``overlap[t, u]`` the
    remaining elements that t needs and u hides.
    """

    def __init__(self, need: BoolArray, hide: BoolArray) -> None:
        self.need, self.hide = need.astype(np.int32), hide.astype(np.int32)
        self.elements = np.ones(need.shape[1], bool)
        self.targets = np.ones(need.shape[0], bool)
        self.size = self.need.sum(axis=1)
        self.pairs = self.need.T @ self.hide
        self.overlap = self.need @ self.hide.T

    def run(self, targets_first: bool) -> int:
        """Eliminate until nothing more is gained; return the total."""
        total = 0
        while self.targets.any():
            target = self._own_gates()
            idle = target[~self.hide[target][:, self.elements].any(axis=1)]
            double = self._fan_out_two()
            single = np.flatnonzero(self.elements & self.need[self.targets].any(axis=0))
            if len(idle):  # it keeps no element's fan-out at two, so nothing is lost
                total += self._remove_target(int(idle[0]))
            elif len(double):
                total += 1 + self._remove_element(self._rarest(double))
            elif len(target) and (targets_first or not len(single)):
                total += self._remove_target(int(target[0]))
            else:
                total += self._remove_element(self._rarest(single))
        return total

    def _own_gates(self) -> Int64Array:
        """Return the targets of whose need each other target hides something."""
        blocked = self.overlap[:, self.targets] > 0
        blocked_all = blocked.sum(axis=1) == int(self.targets.sum()) - 1  # not itself: need and hide are disjoint
        return np.flatnonzero(self.targets & blocked_all)

    def _fan_out_two(self) -> Int64Array:
        """Return the elements x such that for each other z a target needs x, and something else, and hides z."""
        index = np.flatnonzero(self.elements)
        hidden = (self.pairs[np.ix_(index, index)] > 0).sum(axis=1)
        double: Int64Array = index[(hidden == len(index) - 1) & (len(index) > 1)]
        return double

    def _rarest(self, elements: Int64Array) -> int:
        """Return the element that the fewest targets need."""
        return int(elements[self.need[self.targets][:, elements].sum(axis=0).argmin()])

    def _remove_target(self, target: int) -> int:
        self.targets[target] = False
        self.pairs -= np.outer(self.need[target], self.hide[target])
        return 1

    def _remove_element(self, element: int) -> int:
        """Remove an element, and the targets that are left with one element or none: they need no gate."""
        self.elements[element] = False
        self.overlap -= np.outer(self.need[:, element], self.hide[:, element])
        self.size -= self.need[:, element]
        self.need[:, element] = 0
        for target in np.flatnonzero(self.targets & (self.size < 2)).tolist():
            self._remove_target(target)
        return 1
