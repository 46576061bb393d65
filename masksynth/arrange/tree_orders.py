r"""Depth-first orders of prefix trees and forests, aligned with block borders.

In a depth-first order every ancestor of a later node that is before position v is an ancestor of the node at v. So the
block row that begins at v meets, apart from its own block, exactly the blocks that contain ancestors of v: a number
g(v) that depends only on v and the order inside its tree, because block borders are at v - B, v - 2B, ... The cost of a
forest is therefore the sum of g over the block starts, and a tree that begins at position s costs g at its nodes
congruent to -s modulo B: trees are placed one after another by a table of costs for each offset, and the order of
children is searched with the same table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.arrange.cut_paths import count_saved, cut_paths
from masksynth.arrange.forest import Forest, build_forest, jump_to_roots
from masksynth.arrange.order_cost import row_sizes
from masksynth.arrange.permute import permuted
from masksynth.arrange.tree_sequence import sequence_trees
from masksynth.mask import Mask
from masksynth.mask.equal_values import run_starts
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import Float64Array, Int64Array

FIRST, SECOND = 1 << 34, 1 << 10
"""Weights of non-empty and partial blocks relative to intervals; sums stay below 2^63 for up to 2^28 blocks."""
ROUNDS = 10
"""Number of random orders of children that are tried for every tree, in addition to four fixed ones."""


def border_costs(mask: Mask, block: int) -> tuple[Int64Array, Int64Array]:
    """Return g(v), and the number of full blocks of the block row that begins at v, for a forest in depth-first order.

    The keys common to all rows of a block row are the first ``min(s(v), min s(x) - 1)`` ancestors of v, over the rows v
    < x < v + B of sizes s, because the parent of x is x - 1 or an ancestor of it.

    Parameters
    ----------
    mask : Mask
    block : int
        B.

    Returns
    -------
    touched, full : (N,) int64

    Examples
    --------
    >>> costs = border_costs(Mask.from_dense(np.tril(np.ones((6, 6), bool))), 2)
    >>> costs[0].tolist(), costs[1].tolist()
    ([1, 2, 2, 3, 3, 4], [0, 0, 1, 1, 2, 0])
    """
    size = row_sizes(mask)
    row, start, end = row_intervals(mask)
    end = np.minimum(end, row)
    kept = start < end
    row, start, end = row[kept], start[kept], end[kept]
    far, near = (row - 1 - start) // block, (row - end) // block  # block distances of an interval's first and last key
    shared = (row[1:] == row[:-1]) & (near[:-1] == far[1:])  # begins in the block in which the interval before ends
    touched = (
        1 + np.bincount(row, far - near + 1, minlength=mask.size) - np.bincount(row[1:][shared], minlength=mask.size)
    )
    common = np.minimum(size, window_minimum(size - 1, block))
    length = end - start
    before = length.cumsum() - length
    first = np.searchsorted(row, row)
    # the part of each interval that is among the first ``common`` keys of its row
    last = np.minimum(end, start + np.maximum(common[row] - (before - before[first]), 0)) if len(row) else end
    full = np.maximum((row - start) // block + (last - row) // block, 0) * (last > start)
    return touched.astype(np.int64), np.bincount(row, full, minlength=mask.size).astype(np.int64)


def window_minimum(values: Int64Array, block: int) -> Int64Array:
    """Return the minimum of ``values[v + 1 .. v + block - 1]`` for each v, 0 beyond the end; by doubling windows.

    Examples
    --------
    >>> window_minimum(np.array([5, 3, 4, 9]), 3).tolist()
    [3, 4, 0, 0]
    """
    top = int(values.max(initial=0)) + 1
    if block == 1:
        return np.full(len(values), top)
    width, minimum = 1, np.append(values[1:], 0)
    while width < block - 1:
        step = min(width, block - 1 - width)
        shifted = np.append(minimum[step:], np.zeros(min(step, len(minimum)), np.int64))[: len(minimum)]
        minimum = np.minimum(minimum, shifted)
        width += step
    return minimum


def tree_orders(mask: Mask, parent: Int64Array, block: int, seed: int = 0) -> list[Int64Array]:
    """Return orders of a forest: depth-first as given, heaviest child first, aligned with block borders, paths cut.

    Parameters
    ----------
    mask : Mask
    parent : (N,) int64
        As `find_forest` returns it.
    block : int
    seed : int
        Seed of the search for child orders.
    """
    trees = build_forest(parent, row_sizes(mask))
    lowest = trees.nodes[trees.start[:-1]].astype(np.float64)
    heavy = -trees.weight.astype(np.float64)
    simple = [trees.order(rank)[0] for rank in (lowest, heavy)]
    rng = np.random.default_rng(seed)
    table = _fill_table(mask, trees, [lowest, heavy, -heavy, -lowest], block, rng)
    length = trees.weight[trees.parent < 0]
    aligned = _place_trees(table, length, block)
    saved = count_saved(trees, table.layouts, table.layout, block)
    cut = _place_trees(table._replace(cost=table.cost - FIRST * saved), length, block)
    return [*simple, trees.list_positions(aligned), *(cut_paths(trees, units, block) for units in (aligned, cut))]


class _CostTable(NamedTuple):
    """Least costs of the trees at each offset.

    Parameters
    ----------
    cost : (trees, B) int64
        Least cost of each tree that begins at each offset.
    layout : (trees, B) int64
        Index in ``layouts`` of the order with that cost.
    layouts : list of lists of (units,) int64
        For each order tried, the units of each tree.
    """

    cost: Int64Array
    layout: Int64Array
    layouts: list[list[Int64Array]]


def _fill_table(
    mask: Mask, trees: Forest, ranks: list[Float64Array], block: int, rng: np.random.Generator
) -> _CostTable:
    """Search child orders of each tree at each offset."""
    roots = np.flatnonzero(trees.parent < 0)
    tree = np.searchsorted(roots, jump_to_roots(np.where(trees.parent < 0, np.arange(len(trees.parent)), trees.parent)))
    table = _CostTable(
        np.full((len(roots), block), np.iinfo(np.int64).max), np.zeros((len(roots), block), np.int64), []
    )
    best, mean = ranks[0], np.full(len(roots), np.inf)
    branching = bool((np.bincount(trees.parent + 1)[1:] > 1).any())
    for turn in range(len(ranks) + ROUNDS if branching else 1):
        rank = ranks[turn] if turn < len(ranks) else _swap_siblings(best, trees.parent, tree, rng)
        order, units = trees.order(rank)
        cost = _compute_costs(
            permuted(mask, order), tree[np.repeat(units, np.diff(trees.start)[units])], block, len(roots)
        )
        better = cost < table.cost
        table.cost[better], table.layout[better] = cost[better], turn
        table.layouts.append(_split_by_tree(units, tree))
        improved = cost.mean(axis=1) < mean
        mean, best = np.where(improved, cost.mean(axis=1), mean), np.where(improved[tree], rank, best)
    return table


def _split_by_tree(units: Int64Array, tree: Int64Array) -> list[Int64Array]:
    """Return the units of each tree, in their order; those of one tree are adjacent."""
    parts = np.split(units, np.flatnonzero(np.diff(tree[units])) + 1)
    return sorted(parts, key=lambda part: int(tree[part[0]]))


def _swap_siblings(rank: Float64Array, parent: Int64Array, tree: Int64Array, rng: np.random.Generator) -> Float64Array:
    """Return ranks in which, in each tree with siblings, one pair of siblings is exchanged."""
    by = np.lexsort((rng.random(len(rank)), parent))
    pairs = by[np.flatnonzero((parent[by][1:] == parent[by][:-1]) & (parent[by][1:] >= 0))[:, None] + np.arange(2)]
    pairs = pairs[rng.permutation(len(pairs))]
    pairs = pairs[np.unique(tree[pairs[:, 0]], return_index=True)[1]]
    changed = rank.copy()
    changed[pairs[:, 0]], changed[pairs[:, 1]] = rank[pairs[:, 1]], rank[pairs[:, 0]]
    return changed


def _compute_costs(mask: Mask, tree: Int64Array, block: int, count: int) -> Int64Array:
    """Return the cost of each tree at each offset: weighted non-empty blocks, partial blocks and intervals."""
    touched, full = border_costs(mask, block)
    begins = np.flatnonzero(run_starts(tree))
    first = np.zeros(count, np.int64)
    first[tree[begins]] = begins
    # a node is at a block start iff its tree begins at this offset
    cell = tree * block + (first[tree] - np.arange(len(tree))) % block
    cost = np.zeros(count * block, np.int64)
    np.add.at(cost, cell, touched * (FIRST + SECOND) - full * SECOND)
    intervals = np.bincount(tree, np.diff(mask.row_offset[0]), minlength=count).astype(np.int64)
    return cost.reshape(count, block) + intervals[:, None]


def _place_trees(table: _CostTable, length: Int64Array, block: int) -> Int64Array:
    """Return the units of all trees, in a sequence of low total cost, each tree in its best order at its offset."""
    loss = (table.cost - table.cost.min(axis=1, keepdims=True)) / FIRST
    sequence = sequence_trees(loss, length)
    offset = (length[sequence].cumsum() - length[sequence]) % block
    return np.concatenate(
        [table.layouts[int(table.layout[t, o])][t] for t, o in zip(sequence.tolist(), offset.tolist(), strict=True)]
    )
