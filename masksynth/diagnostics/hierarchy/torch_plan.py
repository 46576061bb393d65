"""Lay out trees of positions, one for the batch or one for each sample, as index tensors on a device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from masksynth.diagnostics.hierarchy.tree import Families, Tree
from masksynth.diagnostics.hierarchy.visible_siblings import Sight, holds, is_ordered, sight_of
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import AnyArray, BoolArray, Int64Array


class Group(NamedTuple):
    """Families of one size: ``child`` (F, b) and ``parent`` (F,), both counted from the start of their levels.

    ``may`` (F, b, b) says which child may attend to which, where there is a mask. If the leaves are in order, ``rows``
    (R, b) says for each of the R positions below the families, ascending, to which children the node of its path may
    attend that is cut off after it: those that it and all positions before it in its child see completely.
    """

    child: Tensor
    parent: Tensor
    may: Tensor | None
    rows: Tensor | None


class Level(NamedTuple):
    """Nodes at one depth: ``leaf`` are leaves, of ``position``; ``above`` is the parent of each; then the families.

    ``inside`` is the place of each node in its family, ``itself`` says whether each leaf may attend to itself, where
    there is a mask. ``nodes`` sorts the leaves and the parents of the groups, ``children`` the children of the groups;
    None where they are in order.
    """

    leaf: Tensor
    position: Tensor
    above: Tensor
    inside: Tensor
    itself: Tensor | None
    groups: tuple[Group, ...]
    nodes: Tensor | None
    children: Tensor | None


class Plan(NamedTuple):
    """Index tensors of trees on a device.

    ``place`` is the rank of each position among the leaves of all levels, the number of leaves for a position without
    one; ``size`` the number of positions of a sample; ``trees`` the number of samples, 0 for one tree that all share;
    ``ordered`` whether the leaves are in the order of their positions.
    """

    levels: tuple[Level, ...]
    place: Tensor
    size: int
    trees: int
    ordered: bool


def plan_of(
    tree: Tree | Sequence[Tree],
    device: str | torch.device = "cpu",
    *,
    mask: Mask | Sequence[Mask] | Tensor | None = None,
    length: int | None = None,
    start: Sequence[int] | None = None,
) -> Plan:
    """Build the index tensors of one tree, or of one for each sample, on a device, to be reused by many calls.

    Parameters
    ----------
    tree : Tree or sequence of Tree
        With several trees sample b of a batch has tree b, over neighbouring positions; the others are padding.
    device : str or torch.device
    mask : Mask, (N, N) bool, or one for each tree: sequence of Mask, (B, N, N) bool; optional
        What positions may attend to. As in `sight_of`, a block of two siblings is used iff all its pairs are allowed,
        and the diagonal says whether a position may attend to itself. A `Mask` is over the positions of its tree, a
        tensor over those of the sample.
    length : int, optional
        Number of positions of a sample [default: that of the largest tree].
    start : sequence of int, optional
        The first position of each tree, such as the number of positions of padding to its left [default: 0].

    Raises
    ------
    InvalidInstance
        For no trees, a tree that does not fit into ``length`` positions, or masks of another number or size.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy import tree_of_lists
    >>> plan_of(tree_of_lists([[0, 1], 2])).place.tolist()
    [1, 2, 0]
    >>> plan_of([tree_of_lists([0, 1]), tree_of_lists([[0, 1], 2])]).place.tolist()
    [0, 1, 5, 3, 4, 2]
    """
    trees = [tree] if isinstance(tree, Tree) else list(tree)
    if not trees or not all(isinstance(one, Tree) for one in trees):
        raise InvalidInstance("expected a tree, or one for each sample", "", "build them with tree_of_lists or windows")
    size = max(one.size for one in trees) if length is None else length
    begins = _begins(trees, isinstance(tree, Tree), size, start)
    sights: list[Sight | None] = [None] * len(trees)
    if mask is not None:
        sights = _sights(trees, mask, begins)
    starts = _starts(trees)
    offsets = [number * size + begin for number, begin in enumerate(begins)]
    levels = tuple(_level(trees, sights, depth, starts, offsets).on(device) for depth in range(len(starts)))
    position = torch.cat([level.position for level in levels])
    place = torch.full((len(trees) * size,), len(position), device=device)
    place[position] = torch.arange(len(position), device=device)
    ordered = all(map(is_ordered, trees))
    return Plan(levels, place, size, 0 if isinstance(tree, Tree) else len(trees), ordered)


def _begins(trees: list[Tree], shared: bool, size: int, start: Sequence[int] | None) -> list[int]:
    """Return the first position of each tree in its sample."""
    begins = [0] * len(trees) if start is None else [int(one) for one in start]
    if len(begins) != len(trees):
        raise InvalidInstance(f"expected {len(trees)} first positions, one for each tree, got {len(begins)}", "")
    for number, (one, begin) in enumerate(zip(trees, begins, strict=True)):
        if begin < 0 or begin + one.size > size or (shared and one.size != size):
            after = f" from position {begin}" if begin else ""
            raise InvalidInstance(
                f"tree {number} has {one.size} positions{after}, expected {size}", "", "give a tree for them"
            )
    return begins


def _sights(trees: list[Tree], mask: Mask | Sequence[Mask] | Tensor, begins: list[int]) -> list[Sight | None]:
    """Return which siblings of each tree the masks allow."""
    if isinstance(mask, Tensor) and (mask.dtype != torch.bool or mask.dim() not in (2, 3)):
        raise InvalidInstance(f"mask: expected bool (N, N) or (B, N, N), got {mask.dtype} {tuple(mask.shape)}", "")
    masks: list[Any] = [mask] * len(trees)
    if mask.dim() == 3 if isinstance(mask, Tensor) else not isinstance(mask, Mask):
        masks = list(mask)  # type: ignore[arg-type]
    if len(masks) != len(trees):
        raise InvalidInstance(f"expected {len(trees)} masks, one for each tree, got {len(masks)}", "")
    return [
        sight_of(tree, included=True, mask=_mask(one, begin, begin + tree.size))
        for tree, one, begin in zip(trees, masks, begins, strict=True)
    ]


def _mask(mask: Mask | Tensor, low: int, high: int) -> Mask:
    return mask if isinstance(mask, Mask) else Mask.from_dense(mask[low:high, low:high].cpu().numpy())


def _row_sight(tree: Tree, group: Families, mask: Mask) -> BoolArray:
    """Return to which children each position's part of its child may attend, (R, b); the leaves are in order."""
    low, count = tree.first[group.child], tree.count[group.child]
    below = count.sum(1)
    row, family = repeat_ranges(low[:, 0], below), np.repeat(np.arange(len(low)), below)
    seen = holds(mask, row[:, None], low[family], (low + count)[family])
    missed = np.cumsum(np.pad(~seen, ((1, 0), (0, 0))), axis=0)  # rows before each that miss a key
    begin = np.repeat(indptr(count.ravel())[:-1], count.ravel())  # the first row of the child of each
    result: BoolArray = missed[1:] == missed[begin]
    return result


def _starts(trees: list[Tree]) -> list[list[int]]:
    """Return for each depth the numbers that the nodes of each tree begin with, and the number of all, (B + 1,)."""
    sizes = [np.diff(tree.level_offset).tolist() for tree in trees]
    deepest = max(map(len, sizes))
    return [list(accumulate((s[depth] if depth < len(s) else 0 for s in sizes), initial=0)) for depth in range(deepest)]


_Families = tuple[Int64Array, Int64Array, "BoolArray | None", "BoolArray | None"]


class _Arrays(NamedTuple):
    """A level in numpy; groups map a size to children, parents and allowed pairs."""

    position: Int64Array
    above: Int64Array
    inside: Int64Array
    itself: BoolArray | None
    groups: dict[int, _Families]

    def on(self, device: str | torch.device) -> Level:
        """Return the level as tensors."""

        def tensor(array: AnyArray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        leaf = np.flatnonzero(self.position >= 0)
        groups = tuple(
            Group(tensor(child), tensor(parent), *(None if table is None else tensor(table) for table in tables))
            for child, parent, *tables in self.groups.values()
        )
        nodes = _sorting([tensor(leaf), *(group.parent for group in groups)])
        children = _sorting([group.child.reshape(-1) for group in groups])
        itself = None if self.itself is None else tensor(self.itself[leaf])
        at, position, above, inside = map(tensor, (leaf, self.position[leaf], self.above, self.inside))
        return Level(at, position, above, inside, itself, groups, nodes, children)


def _level(
    trees: list[Tree], sights: list[Sight | None], depth: int, starts: list[list[int]], offsets: list[int]
) -> _Arrays:
    """Join the nodes that all trees have at one depth; positions of tree b begin at ``offsets[b]``."""
    position, above, inside, itself = [], [], [], []
    found: dict[int, list[_Families]] = {}
    for number, (tree, sight) in enumerate(zip(trees, sights, strict=True)):
        if depth > tree.depth:
            continue
        low, high = tree.levels[depth]
        here = tree.position[low:high]
        position.append(np.where(here >= 0, here + offsets[number], -1))
        parent = tree.parent[low:high]
        above.append(parent + (starts[depth - 1][number] - tree.levels[depth - 1][0] if depth else 0))
        inside.append(np.arange(low, high) - tree.child_offset[parent] if depth else np.zeros(1, np.int64))
        itself.append(np.ones(0, bool) if sight is None else sight.itself[here])  # inner nodes: any value
        for place, group in enumerate(tree.plan[depth] if depth < tree.depth else ()):
            child = group.child - high + starts[depth + 1][number]
            may = None if sight is None else np.broadcast_to(sight.blocks[depth][place], (*child.shape, child.shape[1]))
            rows = None
            if sight is not None and sight.mask is not None and is_ordered(tree):
                rows = _row_sight(tree, group, sight.mask)
            found.setdefault(child.shape[1], []).append((child, group.parent - low + starts[depth][number], may, rows))
    joined = {size: _joined(found[size]) for size in sorted(found)}
    positions, parents, places = (np.concatenate(parts) for parts in (position, above, inside))
    return _Arrays(positions, parents, places, None if sights[0] is None else np.concatenate(itself), joined)


def _joined(parts: list[_Families]) -> _Families:
    """Join families of one size: children, parents, and the tables of the masks, if all trees have them."""
    child, parent, *tables = zip(*parts, strict=True)
    may, rows = (None if any(one is None for one in table) else np.concatenate(table) for table in tables)
    return np.concatenate(child), np.concatenate(parent), may, rows


def _sorting(parts: list[Tensor]) -> Tensor | None:
    numbers = torch.cat(parts) if parts else torch.zeros(0)
    return torch.argsort(numbers) if (numbers[1:] < numbers[:-1]).any() else None
