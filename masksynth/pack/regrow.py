"""Improve a distribution of units over batches: grow batches anew from units that share much.

A batch grows from one unit: the unit is added of which the least part is new, as long as one fits. All batches are
grown once; then a few batches are dissolved at a time and grown anew with random changes, and the result is kept if it
is not worse (large neighbourhood search: Shaw 1998). Random numbers have a fixed seed, and the effort is counted in
units that are added, so that equal samples give equal batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import BoolArray, Float64Array, Int64Array
from masksynth.pack.cut_runs import holders_of_nodes
from masksynth.pack.prefix import Forest

ROUNDS = 16
"""How often each unit is added to a batch, on average."""
CLOSE = 10_000
"""The search ends at one part of the least number of positions above it."""
DISSOLVED = 4
"""Most batches that are dissolved at a time."""


@dataclass(frozen=True, eq=False)
class Holdings:
    """The nodes of the compressed trie that each unit holds, and the units that hold each node.

    Parameters
    ----------
    weight : (n,) int64
        Number of positions of each node.
    size : (u,) int64
        Number of positions of each unit.
    node, node_offset : (p,), (u + 1,) int64
        Nodes of each unit.
    unit, unit_offset : (p,), (n + 1,) int64
        Units of each node.
    """

    weight: Int64Array
    size: Int64Array
    node: Int64Array
    node_offset: Int64Array
    unit: Int64Array
    unit_offset: Int64Array


def holdings_of(forest: Forest, unit: Int64Array) -> Holdings:
    """Return the nodes that each unit of a forest holds."""
    node, held, weight = holders_of_nodes(forest, unit)
    units = int(unit.max(initial=-1)) + 1
    by_unit = np.argsort(held, kind="stable")
    size = np.zeros(units, np.int64)
    np.add.at(size, held, weight[node])
    node_offset = indptr(np.bincount(held, minlength=units))
    return Holdings(weight, size, node[by_unit], node_offset, held, indptr(np.bincount(node, minlength=len(weight))))


def regrow(forest: Forest, unit: Int64Array, batch: Int64Array, limit: int, least: int) -> Int64Array:
    """Return a batch for each unit that takes no more positions in all than the given distribution.

    Parameters
    ----------
    forest : Forest
    unit : (S,) int64
        Unit of each sample of the forest.
    batch : (u,) int64
        Batch of each unit.
    limit : int
        Most positions of a batch.
    least : int
        A lower bound on the number of positions.
    """
    holdings = holdings_of(forest, unit)
    rng = np.random.default_rng(0)
    batches = [np.flatnonzero(batch == number) for number in range(int(batch.max()) + 1)]
    sizes = [int(holdings.weight[_holds(holdings, units)].sum()) for units in batches]
    effort = ROUNDS * len(batch)
    grown, grown_sizes = _grow(holdings, np.arange(len(batch)), limit, np.ones(len(batch)))
    if (sum(grown_sizes), len(grown)) < (sum(sizes), len(batches)):
        batches, sizes = grown, grown_sizes
    held = np.array([_holds(holdings, units) for units in batches])
    while effort > 0 and sum(sizes) > least + least // CLOSE and len(batches) > 1:
        chosen = _choose_related(holdings, held, rng)
        units = np.concatenate([batches[k] for k in chosen.tolist()])
        effort -= len(units)
        grown, grown_sizes = _grow(holdings, units, limit, rng.uniform(0.7, 1.3, len(batch)))
        if (sum(grown_sizes), len(grown)) <= (sum(sizes[k] for k in chosen.tolist()), len(chosen)):
            kept = sorted(set(range(len(batches))) - set(chosen.tolist()))
            batches, sizes = [batches[k] for k in kept] + grown, [sizes[k] for k in kept] + grown_sizes
            held = np.concatenate([held[kept], *(_holds(holdings, units)[None] for units in grown)])
    result = np.empty(len(batch), np.int64)
    for number, units in enumerate(batches):
        result[units] = number
    return result


def _holds(holdings: Holdings, units: Int64Array) -> BoolArray:
    """Return which nodes some units hold together."""
    start = holdings.node_offset[units]
    held = np.zeros(len(holdings.weight), bool)
    held[holdings.node[repeat_ranges(start, holdings.node_offset[units + 1] - start)]] = True
    return held


def _choose_related(holdings: Holdings, held: BoolArray, rng: np.random.Generator) -> Int64Array:
    """Return a random batch and one to three others, more probably those that share many positions with it.

    Parameters
    ----------
    holdings : Holdings
    held : (B, n) bool
        Which nodes each batch holds.
    rng : numpy random generator
    """
    first = int(rng.integers(len(held)))
    shared = held[:, held[first]] @ holdings.weight[held[first]]
    shared[first] = 0
    # every batch may be chosen: the excess over the batch that shares least counts, and a part of the mean
    excess = shared - np.delete(shared, first).min() + 0.1 * shared.mean() + 1
    excess[first] = 0
    count = min(int(rng.integers(1, DISSOLVED)), len(held) - 1)
    others = rng.choice(len(held), count, replace=False, p=excess / excess.sum())
    return np.append(first, others)


def _grow(
    holdings: Holdings, units: Int64Array, limit: int, factor: Float64Array
) -> tuple[list[Int64Array], list[int]]:
    """Return batches of some units, and their numbers of positions.

    Parameters
    ----------
    holdings : Holdings
    units : (m,) int64
    limit : int
    factor : (u,) float64
        A unit's part of new positions is multiplied by its factor before parts are compared.
    """
    left = np.zeros(len(holdings.size), bool)
    left[units] = True
    batches: list[Int64Array] = []
    sizes: list[int] = []
    scale = factor / np.maximum(holdings.size, 1)
    while True:
        candidates = units[left[units]]
        if not len(candidates):
            return batches, sizes
        chosen, size = _grow_batch(holdings, candidates, limit, scale)
        left[chosen] = False
        batches.append(chosen)
        sizes.append(size)


def _grow_batch(holdings: Holdings, units: Int64Array, limit: int, scale: Float64Array) -> tuple[Int64Array, int]:
    """Return the units of one batch, and its number of positions; the first one is the largest."""
    new = holdings.size.copy()  # positions that each unit would add
    held = np.zeros(len(holdings.weight), bool)
    left = units
    chosen: list[int] = []
    size = 0
    best = int(np.argmax(holdings.size[left] * scale[left] * holdings.size[left]))
    while True:
        unit = int(left[best])
        chosen.append(unit)
        left = np.delete(left, best)
        size += int(new[unit])
        nodes = holdings.node[holdings.node_offset[unit] : holdings.node_offset[unit + 1]]
        nodes = nodes[~held[nodes]]
        held[nodes] = True
        count = holdings.unit_offset[nodes + 1] - holdings.unit_offset[nodes]
        others = holdings.unit[repeat_ranges(holdings.unit_offset[nodes], count)]
        np.subtract.at(new, others, np.repeat(holdings.weight[nodes], count))
        left = left[new[left] <= limit - size]
        if not len(left):
            return np.array(chosen, np.int64), size
        best = int(np.argmin(new[left] * scale[left]))
