"""Improve a distribution of units over batches: grow batches anew from units that share much.

A batch grows from one unit: the unit is added of which the least part is new, as long as one fits. All batches are
grown once, and the better distribution is improved by a search (`masksynth.pack.search_batches`).
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np

from masksynth.mask.csr import prefix_sums, repeat_ranges
from masksynth.mask.typing import Int64Array
from masksynth.pack.holdings import Holdings, least_positions
from masksynth.pack.search_batches import Search, classes_of, search_batches

ROUNDS = 128
"""Effort of the search for each unit, beside the effort that is asked for."""
PAIR = 1_000
"""Most effort for each pair of units: few units have few distributions."""


def regrow(holdings: Holdings, batch: Int64Array, limit: int, least: int, search: Search) -> Int64Array:
    """Return a batch for each unit that takes no more positions in all than the given distribution.

    Parameters
    ----------
    holdings : Holdings
    batch : (u,) int64
        Batch of each unit.
    limit : int
        Most positions of a batch.
    least : int
        A lower bound on the number of positions.
    search : Search
        Its effort is beyond `ROUNDS` for each unit.
    """
    classes = classes_of(holdings)
    batches = [np.flatnonzero(batch == number).tolist() for number in range(int(batch.max()) + 1)]
    positions = sum(map(classes.size, batches))
    least = max(least, least_positions(holdings, limit))
    if positions > least:
        least = max(least, search.bound(positions))
    if positions <= least:
        return batch
    start = perf_counter()
    grown = _grow(_without_own_nodes(holdings), limit)
    batches = min(batches, grown, key=lambda each: (sum(map(classes.size, each)), len(each)))
    effort = ROUNDS * len(batch) + min(search.effort, PAIR * len(batch) ** 2)
    batches = search_batches(classes, batches, limit, least, effort, search.close)
    result = np.empty(len(batch), np.int64)
    for number, units in enumerate(batches):
        result[units] = number
    search.seconds += perf_counter() - start
    return result


def _without_own_nodes(holdings: Holdings) -> Holdings:
    """Return the holdings, where the nodes that only one unit holds are not listed: they are new in any batch."""
    listed = np.diff(holdings.unit_offset)[holdings.node] > 1
    return replace(
        holdings, node=holdings.node[listed], node_offset=prefix_sums(listed.astype(np.int64))[holdings.node_offset]
    )


def _grow(holdings: Holdings, limit: int) -> list[list[int]]:
    """Return batches of all units.

    Parameters
    ----------
    holdings : Holdings
        Without the nodes that only one unit holds.
    limit : int
    """
    units = np.arange(len(holdings.size))
    is_left = np.ones(len(units), bool)
    batches: list[list[int]] = []
    while len(units):
        batches.append(_grow_batch(holdings, units, limit))
        is_left[batches[-1]] = False
        units = units[is_left[units]]
    return batches


def _grow_batch(holdings: Holdings, units: Int64Array, limit: int) -> list[int]:
    """Return one batch of some of the units; the first one is the largest."""
    new = holdings.size.copy()  # positions that each unit would add
    held = np.zeros(len(holdings.weight), bool)
    left = units
    chosen: list[int] = []
    size = 0
    best = int((holdings.size[left]).argmax())
    while True:
        unit = int(left[best])
        chosen.append(unit)
        size += int(new[unit])
        nodes = holdings.node[holdings.node_offset[unit] : holdings.node_offset[unit + 1]]
        nodes = nodes[~held[nodes]]
        if len(nodes):
            held[nodes] = True
            count = holdings.unit_offset[nodes + 1] - holdings.unit_offset[nodes]
            others = holdings.unit[repeat_ranges(holdings.unit_offset[nodes], count)]
            np.subtract.at(new, others, np.repeat(holdings.weight[nodes], count))
        new[unit] = limit + 1  # fits nowhere: it is no longer left
        left = left[new[left] <= limit - size]
        if not len(left):
            return chosen
        best = int((new[left] / np.maximum(holdings.size[left], 1)).argmin())
