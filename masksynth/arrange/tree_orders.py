r"""Depth-first orders of prefix trees and forests, laid out for blocks.

In a depth-first order every ancestor of a later node that stands before position v is an ancestor of the node at v. So the block row
that begins at v meets, apart from its own block, exactly the blocks in which ancestors of v lie: a number g(v) that depends on
nothing but v and the order inside its tree, because block borders lie at v - B, v - 2B, ... The cost of a forest is therefore the
sum of g over the block starts, and a tree that begins at position s pays g at its nodes congruent to -s modulo B: trees are
laid out one after another by a table of costs for each offset, and the order of children is searched with the same table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.arrange.measure import row_sizes
from masksynth.arrange.permute import permuted
from masksynth.mask import Mask
from masksynth.mask.csr import repeat_ranges
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import Int64Array

FIRST, SECOND = 1 << 34, 1 << 10
"""Weights of non-empty and partial blocks beside intervals while trees are laid out; a sum stays below 2^63 up to 2^28 blocks."""
ROUNDS = 10
"""How many orders of children are tried for every tree, beside four fixed ones."""
PROPOSALS, BATCH = 400, 64


@dataclass(frozen=True)
class Forest:
    """A forest of U units: maximal paths whose nodes, but the last, have one child.

    Parameters
    ----------
    nodes : (N,) int64
        The positions, unit after unit, each from the root's side.
    start : (U + 1,) int64
        Where each unit begins in ``nodes``; a unit comes after the unit above it.
    parent : (U,) int64
        The unit above, -1 for a root.
    weight : (U,) int64
        Positions in the unit and below.
    """

    nodes: Int64Array
    start: Int64Array
    parent: Int64Array
    weight: Int64Array

    def order(self, rank: NDArray[np.float64]) -> tuple[Int64Array, Int64Array]:
        """The depth-first order in which siblings, and roots, follow ``rank``; and the units in that order."""
        below: list[list[int]] = [[] for _ in range(len(self.parent) + 1)]
        for unit in np.argsort(-rank, kind="stable").tolist():
            below[int(self.parent[unit])].append(unit)
        stack, units = below[-1], []
        while stack:
            unit = stack.pop()
            units.append(unit)
            stack += below[unit]
        return self.laid(np.array(units, np.int64)), np.array(units, np.int64)

    def laid(self, units: Int64Array) -> Int64Array:
        """The positions of units one after another."""
        length = np.diff(self.start)[units]
        return self.nodes[repeat_ranges(self.start[units], length)]


def parents(mask: Mask) -> Int64Array | None:
    """The parent of every position (-1 for a root) if every row is a position and the row of its parent, else None.

    Rows are compared by sums of random 64-bit words: what follows from a wrong match is an order, which is counted exactly.

    Examples
    --------
    >>> tree = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]], bool)
    >>> parents(Mask.from_dense(tree)), parents(Mask.from_dense(tree.T))
    (array([-1,  0,  0]), None)
    """
    if mask.tables != 1:
        return None
    word = np.random.default_rng(0).integers(0, 2**64, mask.size, np.uint64)
    sums = np.append(np.uint64(0), word.cumsum(dtype=np.uint64))
    total = np.append(np.uint64(0), (sums[mask.key_end] - sums[mask.key_start]).cumsum(dtype=np.uint64))
    row = total[mask.row_offset[0, 1:]] - total[mask.row_offset[0, :-1]]
    by = np.argsort(row)
    above = row - word
    found = np.minimum(np.searchsorted(row[by], above), max(mask.size - 1, 0))
    parent = by[found] if mask.size else found
    size = row_sizes(mask)
    root = (above == 0) & (size == 1)
    if not (root | ((row[parent] == above) & (size[parent] == size - 1))).all():
        return None
    return np.where(root, -1, parent)


def forest(parent: Int64Array, depth: Int64Array) -> Forest:
    """The units of a forest; unit numbers follow the first (lowest) position of each unit's top, level by level.

    Examples
    --------
    >>> forest(np.array([-1, 0, 1, 1]), np.array([1, 2, 3, 3]))
    Forest(nodes=array([0, 1, 2, 3]), start=array([0, 2, 3, 4]), parent=array([-1,  0,  0]), weight=array([4, 1, 1]))
    """
    size = len(parent)
    children = np.bincount(parent[parent >= 0], minlength=size)
    top = (parent < 0) | (children[parent] != 1)
    head = np.where(top, np.arange(size), parent)
    while (head[head] != head).any():
        head = head[head]
    tops = np.flatnonzero(top)
    tops = tops[np.argsort(depth[tops], kind="stable")]
    number = np.zeros(size, np.int64)
    number[tops] = np.arange(len(tops))
    unit = number[head]
    nodes = np.lexsort((depth, unit))
    start = np.append(0, np.bincount(unit, minlength=len(tops)).cumsum())
    above = np.where(parent[tops] < 0, -1, unit[parent[tops]])
    weight = np.diff(start)
    for own in range(len(tops) - 1, -1, -1):
        if above[own] >= 0:
            weight[above[own]] += weight[own]
    return Forest(nodes, start, above, weight)


def border_costs(mask: Mask, block: int) -> tuple[Int64Array, Int64Array]:
    """g(v), and the full blocks of the block row that begins at v, of a forest in depth-first order.

    The keys that a whole block row shares are the first ``min(s(v), min s(x) - 1)`` ancestors of v, over the rows v < x < v + B of sizes s,
    because the parent of x is an ancestor of x - 1 or that node itself.

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
    far, near = (row - 1 - start) // block, (row - end) // block
    same = (row[1:] == row[:-1]) & (near[:-1] == far[1:])
    touched = (
        1 + np.bincount(row, far - near + 1, minlength=mask.size) - np.bincount(row[1:][same], minlength=mask.size)
    )
    common = np.minimum(size, window_least(size - 1, block))
    length = end - start
    before = length.cumsum() - length
    first = np.searchsorted(row, row)
    last = np.minimum(end, start + np.maximum(common[row] - (before - before[first]), 0)) if len(row) else end
    whole = np.maximum((row - start) // block + (last - row) // block, 0) * (last > start)
    return touched.astype(np.int64), np.bincount(row, whole, minlength=mask.size).astype(np.int64)


def window_least(values: Int64Array, block: int) -> Int64Array:
    """The least of ``values[v + 1 .. v + block - 1]``, 0 beyond the end; by doubling windows.

    Examples
    --------
    >>> window_least(np.array([5, 3, 4, 9]), 3).tolist()
    [3, 4, 0, 0]
    """
    top = int(values.max(initial=0)) + 1
    if block == 1:
        return np.full(len(values), top)
    width, least = 1, np.append(values[1:], 0)
    while width < block - 1:
        step = min(width, block - 1 - width)
        least = np.minimum(least, np.append(least[step:], np.zeros(min(step, len(least)), np.int64))[: len(least)])
        width += step
    return least


def tree_orders(mask: Mask, parent: Int64Array, block: int, seed: int = 0) -> list[Int64Array]:
    """Depth-first orders of a forest: as given, heaviest child first, and one laid out for blocks.

    Parameters
    ----------
    mask : Mask
    parent : (N,) int64
        From `parents`.
    block : int
    seed : int
        Of the search for child orders and for the sequence of trees.
    """
    trees = forest(parent, row_sizes(mask))
    lowest = trees.nodes[trees.start[:-1]].astype(np.float64)
    heavy = -trees.weight.astype(np.float64)
    plain = [trees.order(rank)[0] for rank in (lowest, heavy)]
    return [*plain, _laid_out(mask, trees, [lowest, heavy, -heavy, -lowest], block, np.random.default_rng(seed))]


class _Sheet(NamedTuple):
    """What is known of every tree at every offset: the least cost, and the units in the order that costs it."""

    cost: Int64Array
    layout: Int64Array
    layouts: list[list[Int64Array]]


def _laid_out(
    mask: Mask, trees: Forest, ranks: list[NDArray[np.float64]], block: int, rng: np.random.Generator
) -> Int64Array:
    """Search child orders and the sequence of trees by the table of costs for each offset."""
    roots = np.flatnonzero(trees.parent < 0)
    tree = np.searchsorted(roots, _jumped(np.where(trees.parent < 0, np.arange(len(trees.parent)), trees.parent)))
    sheet = _Sheet(np.full((len(roots), block), np.iinfo(np.int64).max), np.zeros((len(roots), block), np.int64), [])
    best, mean = ranks[0], np.full(len(roots), np.inf)
    branching = bool((np.bincount(trees.parent + 1)[1:] > 1).any())
    for turn in range(len(ranks) + ROUNDS if branching else 1):
        rank = ranks[turn] if turn < len(ranks) else _swapped(best, trees.parent, tree, rng)
        order, units = trees.order(rank)
        cost = _costs(permuted(mask, order), tree[np.repeat(units, np.diff(trees.start)[units])], block, len(roots))
        better = cost < sheet.cost
        sheet.cost[better], sheet.layout[better] = cost[better], turn
        sheet.layouts.append(_split(units, tree))
        gained = cost.mean(axis=1) < mean
        mean, best = np.where(gained, cost.mean(axis=1), mean), np.where(gained[tree], rank, best)
    return trees.laid(_sequenced(sheet, trees.weight[roots], block, rng))


def _jumped(above: Int64Array) -> Int64Array:
    """The root above every unit, by pointer jumping."""
    while (above[above] != above).any():
        above = above[above]
    return above


def _split(units: Int64Array, tree: Int64Array) -> list[Int64Array]:
    """The units of each tree, in their order; those of one tree stand together."""
    parts = np.split(units, np.flatnonzero(np.diff(tree[units])) + 1)
    return sorted(parts, key=lambda part: int(tree[part[0]]))


def _swapped(
    rank: NDArray[np.float64], parent: Int64Array, tree: Int64Array, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Ranks in which, in every tree with siblings, one pair of siblings has changed places."""
    by = np.lexsort((rng.random(len(rank)), parent))
    pairs = by[np.flatnonzero((parent[by][1:] == parent[by][:-1]) & (parent[by][1:] >= 0))[:, None] + np.arange(2)]
    pairs = pairs[rng.permutation(len(pairs))]
    pairs = pairs[np.unique(tree[pairs[:, 0]], return_index=True)[1]]
    changed = rank.copy()
    changed[pairs[:, 0]], changed[pairs[:, 1]] = rank[pairs[:, 1]], rank[pairs[:, 0]]
    return changed


def _costs(mask: Mask, tree: Int64Array, block: int, count: int) -> Int64Array:
    """The cost of every tree when it begins at every offset: non-empty blocks, then partial ones, then intervals."""
    touched, full = border_costs(mask, block)
    begins = np.flatnonzero(np.append(True, tree[1:] != tree[:-1]))
    first = np.zeros(count, np.int64)
    first[tree[begins]] = begins
    place = tree * block + (first[tree] - np.arange(len(tree))) % block
    cost = np.zeros(count * block, np.int64)
    np.add.at(cost, place, touched * (FIRST + SECOND) - full * SECOND)
    intervals = np.bincount(tree, np.diff(mask.row_offset[0]), minlength=count).astype(np.int64)
    return cost.reshape(count, block) + intervals[:, None]


def _sequenced(sheet: _Sheet, length: Int64Array, block: int, rng: np.random.Generator) -> Int64Array:
    """The units of all trees, tree after tree: greedily the tree that loses least at the offset reached, then random exchanges."""
    step = length % block
    loss = sheet.cost - sheet.cost.min(axis=1, keepdims=True)
    left, offset, greedy = np.ones(len(length), bool), 0, []
    for _ in range(len(length)):
        greedy.append(int(np.argmin(np.where(left, loss[:, offset], np.iinfo(np.int64).max))))
        left[greedy[-1]] = False
        offset = int(offset + step[greedy[-1]]) % block
    starts = np.array([np.arange(len(length)), greedy])
    found = starts[int(np.argmin(_total(starts, loss, step)))]
    for _ in range(PROPOSALS if len(length) > 1 else 0):
        tried = _moves(found, rng)
        totals = _total(tried, loss, step)
        if totals.min() <= _total(found[None], loss, step)[0]:
            found = tried[int(np.argmin(totals))]
    at = _offsets(found[None], step, block)[0]
    return np.concatenate(
        [sheet.layouts[int(sheet.layout[t, o])][t] for t, o in zip(found.tolist(), at.tolist(), strict=True)]
    )


def _offsets(sequences: Int64Array, step: Int64Array, block: int) -> Int64Array:
    steps = step[sequences]
    return (steps.cumsum(axis=1) - steps) % block


def _total(sequences: Int64Array, loss: Int64Array, step: Int64Array) -> Int64Array:
    """What each sequence of trees loses against every tree at its best offset."""
    total: Int64Array = loss[sequences, _offsets(sequences, step, loss.shape[1])].sum(axis=1)
    return total


def _moves(sequence: Int64Array, rng: np.random.Generator) -> Int64Array:
    """Some sequences in which two trees have changed places, or one has moved elsewhere."""
    tried = np.repeat(sequence[None], BATCH, axis=0)
    one, two = rng.integers(0, len(sequence), (2, BATCH))
    every = np.arange(BATCH)
    tried[every, one], tried[every, two] = sequence[two], sequence[one]
    for number in range(0, BATCH, 4):
        tried[number] = np.insert(np.delete(sequence, one[number]), two[number], sequence[one[number]])
    return tried
