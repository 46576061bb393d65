"""Decode one position at a time with a cache of means: the right-skewed subtree of arXiv 2509.15448, appendix G."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from masksynth.diagnostics.hierarchy.torch_checks import check_floating
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.diagnostics.hierarchy.visible_siblings import holds, is_ordered
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask


class _Node(NamedTuple):
    """A node of the path up to now: its ``leaves``, sums over them, and the row inside it.

    The sums are those of queries, keys, values, and of log(e^-phi + e^-eta). ``lives`` says whether e^-phi, and after
    mixing e^-phi + e^-eta, is above 0; if not, the last sum and the row are zeros.
    """

    leaves: int
    sums: tuple[Tensor, Tensor, Tensor, Tensor]
    row: Tensor
    lives: bool


@dataclass
class _Family:
    """Complete children of an open node: means of keys and values and ranges of leaves, and the sums over all.

    ``may`` says which of them the open child sees, and ``lives`` whether all have something to attend to.
    """

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    sums: tuple[Tensor | float, ...] = (0.0, 0.0, 0.0, 0.0)
    lives: bool = True
    may: list[bool] = field(default_factory=list)

    def add(self, node: _Node, end: int) -> None:
        """Take in a child that is complete, with its leaves before ``end``; its next sibling may see all until then."""
        self.keys.append(node.sums[1] / node.leaves)
        self.values.append(node.sums[2] / node.leaves)
        self.ranges.append((end - node.leaves, end))
        self.sums = tuple(total + one for total, one in zip(self.sums, node.sums, strict=True))
        self.lives &= node.lives
        self.may = [True] * len(self.keys)

    def look(self, mask: Mask, position: int) -> None:
        """Close the children of which the mask forbids the position a part."""
        if self.ranges:
            low, high = np.array(self.ranges).T
            seen = holds(mask, np.full(len(low), position), low, high)
            self.may = [old and bool(new) for old, new in zip(self.may, seen, strict=True)]


class _Sample:
    """The open nodes of one tree, and the rows of its positions one after the other."""

    def __init__(self, tree: Tree, mask: Mask | None) -> None:
        if not is_ordered(tree):
            raise InvalidInstance("the leaves of the tree are not in the order of their positions", "", "order them")
        if mask is not None and (mask.size != tree.size or mask.tables != 1):
            raise InvalidInstance(f"expected a mask over {tree.size} positions, got shape {mask.shape}", "")
        self.tree, self.mask, self.position = tree, mask, 0
        self.open = [_Family() for _ in range(tree.depth + 2)]

    @property
    def entries(self) -> int:
        return sum(len(family.keys) for family in self.open)

    def step(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Return the row of the next position, (..., H, c); q, k (..., H, d) and v have equal numbers of heads."""
        at = np.array([self.position])
        lives = self.mask is None or bool(holds(self.mask, at, at, at + 1)[0])
        own = scale * (q * k).sum(-1)  # the mass of a node is that inside it until it is mixed
        path = (
            _Node(1, (q, k, v, own), v, True) if lives else _Node(1, (q, k, v, own.zero_()), torch.zeros_like(v), False)
        )
        node = int(self.tree.leaves[self.position])
        for depth in range(self._depth(node), 0, -1):
            family = self.open[depth]
            if self.mask is not None:
                family.look(self.mask, self.position)
            path = _mixed(path, family, scale)
            above = _parent(path, family)
            if self.tree.first[node] + self.tree.count[node] == self.position + 1:  # the node is complete
                family.add(path, self.position + 1)
                self.open[depth + 1] = _Family()
            path, node = above, int(self.tree.parent[node])
        self.position += 1
        return path.row

    def _depth(self, node: int) -> int:
        return int(np.searchsorted(self.tree.level_offset, node, side="right")) - 1


class Decoder:
    """Compute the rows of `prefix_attention` one after the other, from a cache of one mean for each complete sibling.

    The cache has the left siblings of the ancestors of the last position: at most b for each level of the tree, O(b log
    N) where flat attention has N keys and values. Half precision is computed and kept in float32.

    Parameters
    ----------
    tree : Tree or sequence of Tree
        The tree of all positions to come, in order, or one for each sample. Rows do not depend on later parts of it:
        `windows` over the longest text serve shorter ones.
    scale : float, optional
        Factor of the dot products [default: 1 / sqrt(d)].
    mask : Mask or sequence of Mask, optional
        What the positions of the tree, or of each tree, may attend to, as in `plan_of`.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy import windows
    >>> decoder, x = Decoder(windows(64, (4, 4))), torch.ones(1, 2, 8)
    >>> for _ in range(64):
    ...     row = decoder.step(x, x, x)
    >>> row.shape, decoder.most
    (torch.Size([1, 2, 8]), 9)
    """

    def __init__(
        self,
        tree: Tree | Sequence[Tree],
        *,
        scale: float | None = None,
        mask: Mask | Sequence[Mask] | None = None,
    ) -> None:
        trees = [tree] if isinstance(tree, Tree) else list(tree) if isinstance(tree, Sequence) else []
        if not trees or not all(isinstance(one, Tree) for one in trees):
            raise InvalidInstance(
                f"expected a tree, or one for each sample, got {type(tree).__name__}", "", "build them with windows"
            )
        masks = [mask] * len(trees) if mask is None or isinstance(mask, Mask) else list(mask)
        if len(masks) != len(trees):
            raise InvalidInstance(f"expected {len(trees)} masks, one for each tree, got {len(masks)}", "")
        self.tree, self.scale, self.most = tree, scale, 0
        self._samples = [_Sample(*both) for both in zip(trees, masks, strict=True)]
        self._shapes: tuple[tuple[int, ...], ...] | None = None

    @property
    def position(self) -> int:
        """Number of positions up to now, of the sample that has most."""
        return max(sample.position for sample in self._samples)

    @property
    def entries(self) -> int:
        """Number of keys that the cache has now, of the sample that has most; ``most`` is the largest up to now."""
        return max(sample.entries for sample in self._samples)

    def step(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None = None) -> Tensor:
        """Take in the next position of each sample and return its row.

        Parameters
        ----------
        q : (..., H, d), or (B, H, d) with a tree for each sample
        k, v : (..., H / g, d) and (..., H / g, c)
        real : (B,) bool, optional
            False for samples that have padding here, to the left or the right of their text: their row is 0, and their
            tree stays where it is. It needs a tree for each sample.

        Returns
        -------
        (..., H, c)
            0 for samples whose tree is complete while others are not.

        Raises
        ------
        InvalidInstance
            After the last position of all trees, for shapes that do not fit one another or those of earlier positions,
            heads that cannot be shared, and integers.
        """
        if self.position and all(sample.position == sample.tree.size for sample in self._samples):
            size = max(sample.tree.size for sample in self._samples)
            raise InvalidInstance(f"the tree has {size} positions", "", "build the decoder with a larger one")
        self._check(q, k, v, real)
        given, kind = v.dtype, torch.promote_types(torch.promote_types(q.dtype, v.dtype), torch.float32)
        k, v = (table.repeat_interleave(q.shape[-2] // k.shape[-2], -2) for table in (k, v))
        q, k, v = (table.to(kind) for table in (q, k, v))
        scale = q.shape[-1] ** -0.5 if self.scale is None else self.scale
        if isinstance(self.tree, Tree):
            row = self._samples[0].step(q, k, v, scale)
        else:
            rows = torch.zeros_like(v)
            row = torch.stack(
                [
                    sample.step(q[b], k[b], v[b], scale)
                    if sample.position < sample.tree.size and (real is None or bool(real[b]))
                    else rows[b]
                    for b, sample in enumerate(self._samples)
                ]
            )
        self.most = max(self.most, self.entries)
        return row.to(given)

    def _check(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None) -> None:
        check_floating(q, k, v)
        shapes = tuple(tuple(table.shape) for table in (q, k, v))
        same = q.shape[:-2] == k.shape[:-2] and q.shape[-1:] == k.shape[-1:] and k.shape[:-1] == v.shape[:-1]
        if min(map(len, shapes)) < 2 or not same:
            raise InvalidInstance(f"expected q (..., H, d), k (..., H / g, d), v (..., H / g, c), got {shapes}", "")
        heads, shared = q.shape[-2], k.shape[-2]
        if not shared or heads % shared:
            raise InvalidInstance(f"{heads} query heads cannot share {shared} key heads", "", "give a multiple")
        if self._shapes not in (None, shapes):
            raise InvalidInstance(f"expected the shapes of earlier positions, {self._shapes}, got {shapes}", "")
        count = len(self._samples)
        if not isinstance(self.tree, Tree) and (q.dim() != 3 or len(q) != count):
            raise InvalidInstance(f"expected q ({count}, H, d) for {count} trees, got {shapes[0]}", "")
        if real is not None and (isinstance(self.tree, Tree) or real.dtype != torch.bool or real.shape != (count,)):
            raise InvalidInstance(
                f"real: expected bool ({count},), got {real.dtype} {tuple(real.shape)}", "", "give a tree a sample"
            )
        self._shapes = shapes


def _mixed(node: _Node, family: _Family, scale: float) -> _Node:
    """Return the node with the left siblings that it sees in the row and in the mass."""
    seen = [number for number, may in enumerate(family.may) if may]
    if not seen:
        return node if node.lives else node._replace(row=torch.zeros_like(node.row))  # no mass goes into the node
    keys, values = (torch.stack([table[number] for number in seen], -2) for table in (family.keys, family.values))
    sizes = [family.ranges[number][1] - family.ranges[number][0] for number in seen]
    counts = torch.tensor(sizes, dtype=keys.dtype, device=keys.device)
    score = scale * (keys @ (node.sums[0] / node.leaves).unsqueeze(-1)).squeeze(-1) + counts.log()
    inner, outer = node.sums[3] / node.leaves, score.logsumexp(-1)
    row = ((score - outer.unsqueeze(-1)).exp().unsqueeze(-2) @ values).squeeze(-2)
    if not node.lives:
        return _Node(node.leaves, (*node.sums[:3], node.leaves * outer), row, True)
    keep, cross = (logsigmoid(gap).exp().unsqueeze(-1) for gap in (inner - outer, outer - inner))
    mass = node.leaves * torch.logaddexp(inner, outer)
    return _Node(node.leaves, (*node.sums[:3], mass), keep * node.row + cross * row, True)


def _parent(node: _Node, family: _Family) -> _Node:
    """Return the parent up to now: all complete children, and the open one."""
    q, k, v, mass = (one + total for one, total in zip(node.sums, family.sums, strict=True))
    lives = node.lives and family.lives
    leaves = node.leaves + sum(high - low for low, high in family.ranges)
    return _Node(leaves, (q, k, v, mass if lives else torch.zeros_like(mass)), node.row, lives)
