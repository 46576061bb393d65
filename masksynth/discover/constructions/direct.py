"""The direct structure: every target reads each element that it needs, raw, in the last layer."""

from __future__ import annotations

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.structure import Reads, Structure
from masksynth.mask.typing import Int64Array, UInt64Array
from masksynth.posets.bit_rows import unpack


def direct(contracts: Contracts) -> Structure:
    """Return the structure in which every target reads the elements that it needs, and nothing else is ever updated.

    A position embeds each element that some target needs, and each ``query`` target has a blank. With a mask per layer
    a target of place ``any`` is predicted at the position of an element that it needs, as far as these go round: in
    the last layer everybody reads states that are still raw. With one mask such a target has a position of its own
    that embeds an element.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> structure = direct(leave_one_out(n=4, layers=2))
    >>> structure.size, [len(reads.query) for reads in structure.reads]
    (8, [0, 12])
    """
    wanted = unpack(np.bitwise_or.reduce(contracts.need, axis=0)[None], contracts.elements.count)[0]
    raw = np.full(contracts.elements.count, -1)
    raw[wanted] = np.arange(int(wanted.sum()))
    first = int(wanted.sum())
    host = _hosts(contracts) if contracts.masks == "layered" else np.full(len(contracts.targets), -1)
    blank = host < 0
    target = np.where(blank, first + np.cumsum(blank) - 1, raw[host])
    size = first + int(blank.sum())
    element = np.concatenate([np.flatnonzero(wanted), np.full(size - first, -1)])
    if contracts.masks == "one":
        for index, place in enumerate(contracts.targets):
            if place.place == "any" and contracts.need[index].any():
                element[target[index]] = contracts.needed(index)[0]
    query, needed = np.nonzero(unpack(contracts.need, contracts.elements.count))
    own = element[target[query]] == needed
    reads = Reads.of_pairs(target[query[~own]], raw[needed[~own]], size)
    nothing = Reads(np.zeros(0, np.int64), np.zeros(0, np.int64))
    layers = contracts.layers or 1
    tables = (reads,) if contracts.masks == "one" else (*[nothing] * (layers - 1), reads)
    return Structure(element, tables, target, "direct")


def _hosts(contracts: Contracts) -> Int64Array:
    """Return for each target of place ``any`` an element that it needs, each for one target; -1 for all others."""
    host = np.full(len(contracts.targets), -1)
    taken: dict[int, int] = {}
    for index, target in enumerate(contracts.targets):
        if target.place == "any":
            _find_host(contracts.need, index, taken, contracts.elements.count)
    for element, index in taken.items():
        host[index] = element
    return host


def _find_host(need: UInt64Array, index: int, taken: dict[int, int], count: int) -> None:
    """Give a target an element of its need, moving others along an augmenting path if all of these are taken."""
    came_from: dict[int, int] = {}
    queue = [index]
    asked: dict[int, int] = {}
    for target in queue:
        needed = np.flatnonzero(unpack(need[target][None], count)[0])
        # Elements after the target's own number come first: leave-one-out then needs no augmenting path.
        start = int(np.searchsorted(needed, target, side="right"))
        for element in np.roll(needed, -start).tolist():
            if element in asked:
                continue
            asked[element] = target
            if element not in taken:
                _shift(element, asked, came_from, taken, index)
                return
            came_from[taken[element]] = element
            queue.append(taken[element])


def _shift(element: int, asked: dict[int, int], came_from: dict[int, int], taken: dict[int, int], index: int) -> None:
    """Give the free element to the target that asked for it, the element it had to the one before, and so on."""
    while True:
        target = asked[element]
        taken[element] = target
        if target == index:
            return
        element = came_from[target]
