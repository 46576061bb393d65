"""Decide which siblings a node may attend to, and whether a leaf may attend to itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.diagnostics.hierarchy.tree import Families, Tree
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import BoolArray, Int64Array

LARGEST_MASK = 8192
"""Positions up to which the pairs of blocks are counted, 8 bytes per pair; above it row intervals serve, for leaves in
order."""


@dataclass(frozen=True, eq=False)
class Sight:
    """Allowed pairs of siblings in a tree.

    Parameters
    ----------
    itself : (N,) bool
        Whether each position may attend to itself.
    blocks : tuple of tuples of (F, b, b) or (1, b, b) bool
        For each group of ``Tree.plan``: ``[f, i, j]`` is true iff child i of family f may attend to child j. The
        diagonal is false: a node is not a sibling of itself.
    causal : bool
        Left siblings only.
    mask : Mask, optional
        The mask from which the blocks come.
    lost : int
        Allowed pairs of the mask in blocks which are not allowed completely, so that no block-tied matrix can
        use them.
    """

    itself: BoolArray
    blocks: tuple[tuple[BoolArray, ...], ...]
    causal: bool = False
    mask: Mask | None = None
    lost: int = 0

    @property
    def included(self) -> bool:
        """Whether some position may attend to itself."""
        return bool(self.itself.any())


def sight_of(tree: Tree, *, included: bool = False, causal: bool = False, mask: Mask | None = None) -> Sight:
    """Return which siblings may attend to which.

    Parameters
    ----------
    tree : Tree
    included : bool
        A leaf may attend to itself; the paper excludes it, pretrained models include it.
    causal : bool
        Left siblings only; the leaves must be in the order of their positions.
    mask : Mask, optional
        One table over the positions. A block of two siblings is usable iff the mask allows all its pairs: with one
        forbidden pair, a value that is constant on the block must be 0.

    Raises
    ------
    InvalidInstance
        If the mask has another size or several tables, or goes with ``causal``; if the leaves of a causal tree are not
        in order.
    Unsupported
        Above 8,192 positions with a mask, if the leaves are not in order.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.nested_lists import tree_of_lists
    >>> tree = tree_of_lists([[0, 1], [2, 3]])
    >>> dense = np.array([[1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0], [1, 1, 0, 1]]) > 0
    >>> sight_of(tree, mask=Mask.from_dense(dense)).lost
    3
    """
    itself = np.full(tree.size, included)
    if mask is not None:
        if causal:
            raise InvalidInstance(
                "a mask and causal=True are both given", "", "omit causal: the mask defines what is attended to"
            )
        return _of_mask(tree, mask, itself)
    if causal and not is_ordered(tree):
        raise InvalidInstance(
            "the leaves of the tree are not in the order of their positions", "", "order them, or leave causal out"
        )
    return Sight(itself, tuple(tuple(_plain(group, causal) for group in level) for level in tree.plan), causal)


def is_ordered(tree: Tree) -> bool:
    """Return whether the leaves are in the order of their positions."""
    return bool((tree.order[1:] > tree.order[:-1]).all())


def _plain(group: Families, causal: bool) -> BoolArray:
    size = group.child.shape[1]
    return np.tri(size, k=-1, dtype=bool)[None] if causal else ~np.eye(size, dtype=bool)[None]


def _of_mask(tree: Tree, mask: Mask, itself: BoolArray) -> Sight:
    if mask.size != tree.size or mask.tables != 1:
        raise InvalidInstance(f"expected a mask of one table over {tree.size} positions, got shape {mask.shape}", "")
    if (large := mask.size > LARGEST_MASK) and not is_ordered(tree):
        raise Unsupported(
            f"{mask.size:,} positions: above {LARGEST_MASK:,} the leaves of a masked tree must be in order; order them"
        )
    sums = None if large else _sums(mask, tree)
    used, blocks = 0, []
    for level in tree.plan:
        found = []
        for group in level:
            low, high = tree.first[group.child], tree.first[group.child] + tree.count[group.child]
            area = tree.count[group.child][:, :, None] * tree.count[group.child][:, None, :]
            full = _covered(mask, low, high) if sums is None else _inside(sums, low, high) == area
            full &= ~np.eye(group.child.shape[1], dtype=bool)
            used += int(area[full].sum())
            found.append(full)
        blocks.append(tuple(found))
    each = np.arange(mask.size)
    loops = holds(mask, each, each, each + 1)
    return Sight(itself & loops, tuple(blocks), mask=mask, lost=mask.pairs - int(loops.sum()) - used)


def sightless_rows(sight: Sight) -> BoolArray:
    """Return whether each position may attend to nothing at all, in complete blocks or in part, (N,).

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.nested_lists import tree_of_lists
    >>> sightless_rows(sight_of(tree_of_lists([0, [1, 2]]), causal=True)).tolist()
    [True, False, False]
    """
    size, mask = len(sight.itself), sight.mask
    each = np.arange(size)
    if mask is None:
        alone: BoolArray = (each if sight.causal else np.full(size, size - 1)) + sight.itself == 0
        return alone
    owner = np.repeat(each, np.diff(mask.row_offset[0]))
    count = np.bincount(owner, mask.key_end[: len(owner)] - mask.key_start[: len(owner)], minlength=size)
    found: BoolArray = count - holds(mask, each, each, each + 1) + sight.itself == 0
    return found


def holds(mask: Mask, row: Int64Array, low: Int64Array, high: Int64Array) -> BoolArray:
    """Return whether a row of the first table allows all keys low .. high - 1, low < high: one of its intervals does.

    Examples
    --------
    >>> mask = Mask.from_intervals([[[(0, 1)], [(0, 1), (2, 3)], [(0, 3)]]])
    >>> holds(mask, np.array([1, 1, 2]), np.array([0, 2, 1]), np.array([2, 3, 3])).tolist()
    [False, True, True]
    """
    if not len(mask.key_start):
        return np.zeros(np.broadcast_shapes(row.shape, low.shape), bool)
    query, start, end = row_intervals(mask)
    width = mask.size + 1  # (query, start) as one integer, ascending
    interval = np.searchsorted(query * width + start, row * width + low, side="right") - 1
    result: BoolArray = (interval >= 0) & (query[interval] == row) & (high <= end[interval])
    return result


def _covered(mask: Mask, low: Int64Array, high: Int64Array) -> BoolArray:
    """Return whether rows low .. high - 1 of a node contain those of each of its family.

    Rows of the mask are in the order of the leaves.
    """
    count, size = low.shape
    found = np.zeros((count, size, size), bool)
    for family in range(count):
        rows = np.arange(low[family, 0], high[family, -1])
        seen = holds(mask, rows[:, None], low[family][None], high[family][None])
        found[family] = np.logical_and.reduceat(seen, low[family] - rows[0], axis=0)
    return found


def _sums(mask: Mask, tree: Tree) -> Int64Array:
    """Return two-dimensional prefix sums of the mask, positions in the order of the leaves."""
    sums = np.zeros((mask.size + 1, mask.size + 1), np.int64)
    np.cumsum(np.cumsum(mask.dense()[np.ix_(tree.order, tree.order)], axis=0), axis=1, out=sums[1:, 1:])
    return sums


def _inside(sums: Int64Array, low: Int64Array, high: Int64Array) -> Int64Array:
    """Return the number of allowed pairs in the block of each two siblings."""
    rows = (low[:, :, None], high[:, :, None])
    keys = (low[:, None, :], high[:, None, :])
    found: Int64Array = (
        sums[rows[1], keys[1]] - sums[rows[0], keys[1]] - sums[rows[1], keys[0]] + sums[rows[0], keys[0]]
    )
    return found
