"""Distribute the samples of a prefix forest over batches so that few positions are repeated.

A *unit* is a set of samples that stay together: a group that fits into a batch, or a single sample. A node of the
forest is *heavy* if the path to it and all below it do not fit into one batch. From the deepest heavy nodes up, what
hangs below a heavy node is distributed over bins by best fit; each bin repeats the path to the node. What is below a
child that is not heavy is one item, as it fits; a heavy child's bins are items too, so that a bin that is not full is
filled at the nodes above. Children that hold samples of one unit are one item.

Where this takes more positions than the recursion of ``least_copies`` allows, the units are also cut into runs of the
order of the forest (``masksynth.pack.cut_runs``), and the better result is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from masksynth.mask.csr import prefix_sums
from masksynth.mask.equal_values import run_starts
from masksynth.mask.typing import Int64Array
from masksynth.pack.bins import bins_of
from masksynth.pack.cut_runs import cut_runs
from masksynth.pack.holdings import holdings_of
from masksynth.pack.prefix import Forest
from masksynth.pack.regrow import regrow
from masksynth.pack.search_batches import Search
from masksynth.pack.subforests import count_positions, take_samples


def units_of(group: Int64Array, sizes: Int64Array, limit: int) -> Int64Array:
    """Return the unit of each sample, ``(S,)``, in order of first appearance.

    A group is a unit if it has at most ``limit`` positions. Otherwise each of its samples is one, as is a sample
    without a group.

    Parameters
    ----------
    group : (S,) int64
        Code of the group of each sample; -1 for none.
    sizes : (G,) int64
        Number of positions of each group.
    limit : int

    Examples
    --------
    >>> units_of(np.array([1, 0, 1, 0, -1]), np.array([9, 8]), 8).tolist()
    [0, 1, 0, 2, 3]
    >>> units_of(np.array([-1, 2]), np.array([0, 0, 6]), 6).tolist()
    [0, 1]
    """
    alone = group < 0
    alone[~alone] = sizes[group[~alone]] > limit
    # numbers from G on name no group
    return _renumber(np.where(alone, len(sizes) + np.arange(len(group)), group))


def fill_batches(forest: Forest, unit: Int64Array, limit: int, search: Search | None = None) -> Int64Array:
    """Return the batch of each sample of a forest, ``(S,)``; a unit is in one batch.

    Parameters
    ----------
    forest : Forest
    unit : (S,) int64
        Unit of each of its samples, in order of first appearance.
    limit : int
        Most positions of a batch; no unit has more.
    search : Search, optional
        The search where the lower bound is not reached, as for `regrow`.

    Examples
    --------
    >>> forest = Forest(np.arange(4), np.array([4, 5, 5, 6]), np.array([0, 3, 1, 2]))
    >>> fill_batches(forest, np.arange(4), 10).tolist()
    [0, 0, 1, 1]
    """
    if int((forest.length - forest.shared).sum()) <= limit:
        return np.zeros(len(unit), np.int64)
    unit = _absorb_prefixes(forest, unit)
    forest, unit, run = _join_runs(forest, unit)
    return _fill_runs(forest, unit, limit, search or Search())[run]


def _fill_runs(forest: Forest, unit: Int64Array, limit: int, search: Search) -> Int64Array:
    """Return the same as `fill_batches` for a forest that takes more than one batch."""
    nodes = _find_heavy_nodes(forest, unit, limit)
    batch, least = _fill_nodes(forest, nodes, limit)
    if _cost(forest, batch) > (least, -(-least // limit)):
        runs = cut_runs(forest, unit, limit)[unit]
        sizes = count_positions(forest, runs)
        bin_of_run = np.empty(len(sizes), np.int64)
        for number, chosen in enumerate(bins_of(sizes.tolist(), limit)):
            bin_of_run[chosen] = number
        batch = min(batch, bin_of_run[runs], key=lambda each: _cost(forest, each))
    if _cost(forest, batch)[0] > least:
        batch_of_unit = np.empty(int(unit.max()) + 1, np.int64)
        batch_of_unit[unit] = batch
        batch = regrow(holdings_of(forest, unit), batch_of_unit, limit, least, search)[unit]
    return batch


def _absorb_prefixes(forest: Forest, unit: Int64Array) -> Int64Array:
    """Return the units, where a sample on its own that is a prefix of the next one joins its unit: it takes nothing."""
    alone = np.bincount(unit)[unit] == 1
    joins = np.append(alone[:-1] & (forest.length[:-1] == forest.shared[1:]), False)
    # the first sample at or after each one that joins no other
    target = np.minimum.accumulate(np.where(joins, len(unit), np.arange(len(unit)))[::-1])[::-1]
    return _renumber(unit[target])


def _join_runs(forest: Forest, unit: Int64Array) -> tuple[Forest, Int64Array, Int64Array]:
    """Return a forest of fewer samples that is distributed alike, the unit of each, and its sample for each of the S.

    Consecutive samples of one unit that share more with one another than with the samples around them become one, which
    has all of their positions: no other unit holds a node below what they share, and no batch cuts them.

    Parameters
    ----------
    forest : Forest
    unit : (S,) int64

    Examples
    --------
    >>> forest = Forest(np.arange(4), np.array([4, 5, 5, 6]), np.array([0, 3, 1, 1]))
    >>> joined, unit, run = _join_runs(forest, np.array([0, 0, 1, 1]))
    >>> joined.length.tolist(), joined.shared.tolist(), unit.tolist(), run.tolist()
    ([6, 5, 6], [0, 1, 1], [0, 1, 1], [0, 0, 1, 2])
    """
    new_unit = run_starts(unit)
    around = forest.shared[new_unit]  # what the first sample of each run shares with the run before
    around = np.maximum(around, np.append(around[1:], 0))
    opens = new_unit | (forest.shared <= around[np.cumsum(new_unit) - 1])
    start = np.flatnonzero(opens)
    shared = forest.shared[start]
    length = shared + np.add.reduceat(forest.length - forest.shared, start)
    return Forest(forest.samples[start], length, shared), unit[start], np.cumsum(opens) - 1


def _cost(forest: Forest, batch: Int64Array) -> tuple[int, int]:
    """Return the numbers of positions and of batches."""
    return int(count_positions(forest, batch).sum()), int(batch.max(initial=-1)) + 1


@dataclass
class _Node:
    """A heavy node of the forest: its samples ``low <= i < high`` share ``depth`` tokens.

    Parameters
    ----------
    low, high, depth : int
    parent : int
        Index of the nearest heavy node above; -1 for none.
    below : int
        Positions below the node, without those below heavy children.
    sizes : list of int
        Positions below the node of each item, an item being a set of samples that fits into a bin.
    items : list of (s,) int64 arrays
        Indices of the samples of each item.
    """

    low: int
    high: int
    depth: int
    parent: int
    below: int = 0
    sizes: list[int] = field(default_factory=list)
    items: list[Int64Array] = field(default_factory=list)


def _find_heavy_nodes(forest: Forest, unit: Int64Array, limit: int) -> list[_Node]:
    """Return the heavy nodes, parents first, with the items that are not below a heavy child."""
    total = prefix_sums(forest.length - forest.shared)
    first = np.full(int(unit.max()) + 1, len(unit), np.int64)
    last = np.zeros(len(first), np.int64)
    np.minimum.at(first, unit, np.arange(len(unit)))
    np.maximum.at(last, unit, np.arange(len(unit)))
    reaches_low, reaches_high = first[unit], last[unit]  # the first and the last sample of each sample's unit
    nodes: list[_Node] = [_Node(0, len(unit), 0, -1)]
    number = 0
    while number < len(nodes):
        node = nodes[number]
        inner = forest.shared[node.low + 1 : node.high]
        node.depth = int(inner.min())
        start = np.append(node.low, node.low + 1 + np.flatnonzero(inner == node.depth))  # of each child
        end = np.append(start[1:], node.high)
        size = total[end] - total[start]
        size[0] += forest.shared[node.low] - node.depth  # the first child begins with what the node shares already
        closed = (np.minimum.reduceat(reaches_low[: node.high], start) >= start) & (
            np.maximum.reduceat(reaches_high[: node.high], start) < end
        )
        light = node.depth + size <= limit
        node.below = int(size[light | ~closed].sum())
        for a, b in zip(start[closed & ~light].tolist(), end[closed & ~light].tolist(), strict=True):
            nodes.append(_Node(a, b, 0, number))
        for a, b, positions in zip(*(each[closed & light].tolist() for each in (start, end, size)), strict=True):
            node.sizes.append(positions)
            node.items.append(np.arange(a, b))
        if not closed.all():
            _add_tangled(node, forest, unit, (start[~closed], end[~closed], size[~closed]), limit)
        number += 1
    return nodes


def _add_tangled(
    node: _Node, forest: Forest, unit: Int64Array, children: tuple[Int64Array, Int64Array, Int64Array], limit: int
) -> None:
    """Add items of children that units cross: children that a unit connects are one item, or are cut into runs.

    Parameters
    ----------
    node : _Node
    forest : Forest
    unit : (S,) int64
    children : (start, end, size)
        Of each child of the node that some unit crosses.
    limit : int
    """
    start, end, size = children
    root = list(range(len(start)))

    def find(child: int) -> int:
        while root[child] != child:
            root[child] = child = root[root[child]]
        return child

    holder: dict[int, int] = {}
    for child, (a, b) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        for name in set(unit[a:b].tolist()):
            root[find(holder.setdefault(name, child))] = find(child)
    component = np.array([find(child) for child in range(len(start))])
    for number in sorted(set(component.tolist())):
        chosen = component == number
        samples = np.concatenate([np.arange(a, b) for a, b in zip(start[chosen], end[chosen], strict=True)])
        if node.depth + int(size[chosen].sum()) <= limit:
            node.sizes.append(int(size[chosen].sum()))
            node.items.append(samples)
            continue
        part = take_samples(forest, samples, node.depth)
        run = cut_runs(part, _renumber(unit[samples]), limit - node.depth)[_renumber(unit[samples])]
        node.sizes += count_positions(part, run).tolist()
        node.items += [samples[run == each] for each in range(int(run.max()) + 1)]


def _renumber(codes: Int64Array) -> Int64Array:
    """Return the codes 0, 1, ... in order of first appearance."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    renumbered: Int64Array = rank[inverse]
    return renumbered


def _fill_nodes(forest: Forest, nodes: list[_Node], limit: int) -> tuple[Int64Array, int]:
    """Return the batch of each sample, and a lower bound on the number of positions of any distribution."""
    below = [node.below for node in nodes]  # a lower bound on the positions below each node, of all batches
    copies = [1] * len(nodes)  # and on the number of batches that hold the node
    batch = np.empty(len(forest.length), np.int64)
    for number in range(len(nodes) - 1, -1, -1):
        node = nodes[number]
        bins = bins_of(node.sizes, limit - node.depth)
        contents = [np.concatenate([node.items[i] for i in chosen]) for chosen in bins]
        copies[number] = max(copies[number], -(-below[number] // max(limit - node.depth, 1)))
        if node.parent < 0:
            for index, samples in enumerate(contents):
                batch[samples] = index
            continue
        parent, stem = nodes[node.parent], node.depth - nodes[node.parent].depth
        parent.sizes += [stem + sum(node.sizes[i] for i in chosen) for chosen in bins]
        parent.items += contents
        below[node.parent] += below[number] + copies[number] * stem
        copies[node.parent] = max(copies[node.parent], copies[number])
    return batch, below[0] + copies[0] * nodes[0].depth
