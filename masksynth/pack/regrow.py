"""Improve a distribution of units over batches: grow batches anew from units that share much.

A batch grows from one unit: the unit is added of which the least part is new, as long as one fits. All batches are
grown once; then a few batches are dissolved at a time and grown anew with random changes, and the result is kept if it
is not worse (large neighbourhood search: Shaw 1998). Random numbers have a fixed seed, and the effort is counted in
units that are added, so that equal samples give equal batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from masksynth.mask.csr import indptr, prefix_sums, repeat_ranges
from masksynth.mask.typing import BoolArray, Float64Array, Int64Array
from masksynth.pack.cut_runs import holders_of_nodes
from masksynth.pack.prefix import Forest

ROUNDS = 16
"""How often each unit is added to a batch, on average."""
PATIENCE = 2
"""The search ends after so many rounds for each batch without an improvement."""
CLOSE = 10_000
"""The search ends at one part of the least number of positions above it."""
DUAL = 20
"""Number of dual feasible functions that bound the number of batches."""
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


class _Batch(NamedTuple):
    """A batch: its units, its number of positions, and which nodes of more than one unit it holds, ``(n,)``."""

    units: Int64Array
    size: int
    held: BoolArray


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
    least = max(least, least_positions(holdings, limit))
    rng = np.random.default_rng(0)
    parts = [np.flatnonzero(batch == number) for number in range(int(batch.max()) + 1)]
    sizes = [int(holdings.weight[_holds(holdings, units)].sum()) for units in parts]
    holdings = _without_own_nodes(holdings)
    batches = [_Batch(units, size, _holds(holdings, units)) for units, size in zip(parts, sizes, strict=True)]
    effort = ROUNDS * len(batch)
    batches = min(batches, _grow(holdings, np.arange(len(batch)), limit, np.ones(len(batch))), key=_cost)
    held = np.array([each.held for each in batches])
    unchanged = 0  # rounds since the last improvement
    while (
        effort > 0
        and _cost(batches)[0] > least + least // CLOSE
        and len(batches) > 1
        and unchanged < PATIENCE * len(batches)
    ):
        chosen = _choose_related(holdings, held, rng).tolist()
        dissolved = [batches[k] for k in chosen]
        units = np.concatenate([each.units for each in dissolved])
        effort -= len(units)
        grown = _grow(holdings, units, limit, rng.uniform(0.7, 1.3, len(batch)))
        unchanged = 0 if _cost(grown) < _cost(dissolved) else unchanged + 1
        if _cost(grown) <= _cost(dissolved):
            batches = [each for k, each in enumerate(batches) if k not in chosen] + grown
            held = np.array([each.held for each in batches])
    result = np.empty(len(batch), np.int64)
    for number, each in enumerate(batches):
        result[each.units] = number
    return result


def _cost(batches: Sequence[_Batch]) -> tuple[int, int]:
    """Return the numbers of positions and of batches."""
    return sum(each.size for each in batches), len(batches)


def least_positions(holdings: Holdings, limit: int) -> int:
    """Return a lower bound on the number of positions of any distribution that keeps units whole.

    A batch holds the positions that only its units hold, and those that one of them shares. So batches are at least as
    many as the bins that the former need, and each of them holds the nodes that all units hold.

    Examples
    --------
    >>> forest = Forest(np.arange(3), np.array([5, 5, 5]), np.array([0, 1, 1]))
    >>> least_positions(holdings_of(forest, np.arange(3)), 10)
    14
    """
    count = np.diff(holdings.unit_offset)  # units of each node
    alone = np.where(count == 1, holdings.weight, 0)[holdings.node]
    own = np.diff(prefix_sums(alone)[holdings.node_offset])
    bins = least_bins(own, max(1, limit - int((holdings.size - own).min())))
    return int(holdings.weight.sum()) + (bins - 1) * int(holdings.weight[count == len(holdings.size)].sum())


def least_bins(sizes: Int64Array, room: int) -> int:
    """Return a lower bound on the number of bins: the best of the dual feasible functions of Fekete and Schepers, 2001.

    The function k replaces x = size / room by x if (k + 1) x is an integer, and by floor((k + 1) x) / k otherwise: what
    fits into a bin still does.

    Examples
    --------
    >>> least_bins(np.array([4, 4, 4]), 10), least_bins(np.array([5, 5, 5, 5]), 10)
    (2, 2)
    """
    bounds = [-(-int(sizes.sum()) // room)]
    for k in range(1, DUAL + 1):
        whole, rest = np.divmod((k + 1) * sizes, room)
        parts = np.where(rest == 0, k * whole, (k + 1) * whole)  # in units of 1 / (k (k + 1))
        bounds.append(-(-int(parts.sum()) // (k * (k + 1))))
    return max(1, *bounds)


def _holds(holdings: Holdings, units: Int64Array) -> BoolArray:
    """Return which nodes some units hold together."""
    start = holdings.node_offset[units]
    held = np.zeros(len(holdings.weight), bool)
    held[holdings.node[repeat_ranges(start, holdings.node_offset[units + 1] - start)]] = True
    return held


def _without_own_nodes(holdings: Holdings) -> Holdings:
    """Return the holdings, where the nodes that only one unit holds are not listed: they are new in any batch."""
    listed = np.diff(holdings.unit_offset)[holdings.node] > 1
    return replace(
        holdings, node=holdings.node[listed], node_offset=prefix_sums(listed.astype(np.int64))[holdings.node_offset]
    )


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


def _grow(holdings: Holdings, units: Int64Array, limit: int, factor: Float64Array) -> list[_Batch]:
    """Return batches of some units.

    Parameters
    ----------
    holdings : Holdings
        Without the nodes that only one unit holds.
    units : (m,) int64
    limit : int
    factor : (u,) float64
        A unit's part of new positions is multiplied by its factor before parts are compared.
    """
    left = np.zeros(len(holdings.size), bool)
    left[units] = True
    batches: list[_Batch] = []
    scale = factor / np.maximum(holdings.size, 1)
    while len(units):
        batches.append(_grow_batch(holdings, units, limit, scale))
        left[batches[-1].units] = False
        units = units[left[units]]
    return batches


def _grow_batch(holdings: Holdings, units: Int64Array, limit: int, scale: Float64Array) -> _Batch:
    """Return one batch of some of the units; the first one is the largest."""
    new = holdings.size.copy()  # positions that each unit would add
    held = np.zeros(len(holdings.weight), bool)
    left = units
    chosen: list[int] = []
    size = 0
    best = int((holdings.size[left] * scale[left] * holdings.size[left]).argmax())
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
            return _Batch(np.array(chosen, np.int64), size, held)
        best = int((new[left] * scale[left]).argmin())
