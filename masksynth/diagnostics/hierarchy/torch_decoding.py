"""Decode one position at a time with a cache of means: the right-skewed subtree of arXiv 2509.15448, appendix G."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from masksynth.diagnostics.hierarchy.torch_plan import check_floating
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.errors import InvalidInstance, check_type


class _Node(NamedTuple):
    """A node of the path up to now: its ``leaves``, sums over them, and the row inside it.

    The sums are those of queries, keys, values, and of log(e^-phi + e^-eta).
    """

    leaves: int
    sums: tuple[Tensor, Tensor, Tensor, Tensor]
    row: Tensor


@dataclass
class _Family:
    """Complete children of an open node: means of keys and values and numbers of leaves, and the sums over all."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    sums: tuple[Tensor | float, ...] = (0.0, 0.0, 0.0, 0.0)

    def add(self, node: _Node) -> None:
        """Take in a child that is complete."""
        self.keys.append(node.sums[1] / node.leaves)
        self.values.append(node.sums[2] / node.leaves)
        self.counts.append(node.leaves)
        self.sums = tuple(total + one for total, one in zip(self.sums, node.sums, strict=True))


class Decoder:
    """Compute the rows of `prefix_attention` one after the other, from a cache of one mean for each complete sibling.

    The cache has the left siblings of the ancestors of the last position: at most b for each level of the tree, O(b log
    N) where flat attention has N keys and values.

    Parameters
    ----------
    tree : Tree
        The tree of all positions to come, in order. Rows do not depend on later parts of it: `windows` over the longest
        text serve shorter ones.
    scale : float, optional
        Factor of the dot products [default: 1 / sqrt(d)].

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy import windows
    >>> decoder, x = Decoder(windows(64, (4, 4))), torch.ones(1, 2, 8)
    >>> for _ in range(64):
    ...     row = decoder.step(x, x, x)
    >>> row.shape, decoder.most
    (torch.Size([1, 2, 8]), 9)
    """

    def __init__(self, tree: Tree, *, scale: float | None = None) -> None:
        check_type(tree, Tree, "build one with tree_of_lists or windows")
        if (tree.order[1:] < tree.order[:-1]).any():
            raise InvalidInstance("the leaves of the tree are not in the order of their positions", "", "order them")
        self.tree, self.scale, self.position, self.most = tree, scale, 0, 0
        self._open = [_Family() for _ in range(tree.depth + 2)]
        self._shapes: tuple[tuple[int, ...], ...] | None = None

    @property
    def entries(self) -> int:
        """Number of keys that the cache has now; ``most`` is the largest up to now."""
        return sum(len(family.keys) for family in self._open)

    def step(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Take in the next position and return its row.

        Parameters
        ----------
        q : (..., H, d)
        k, v : (..., H / g, d) and (..., H / g, c)

        Returns
        -------
        (..., H, c)

        Raises
        ------
        InvalidInstance
            After the last position of the tree, for shapes that do not fit one another or those of earlier positions,
            heads that cannot be shared, and integers.
        """
        if self.position >= self.tree.size:
            raise InvalidInstance(f"the tree has {self.tree.size} positions", "", "build the decoder with a larger one")
        self._check(q, k, v)
        k, v = (table.repeat_interleave(q.shape[-2] // k.shape[-2], -2) for table in (k, v))
        scale = q.shape[-1] ** -0.5 if self.scale is None else self.scale
        own = scale * (q * k).sum(-1)
        path = _Node(1, (q, k, v, own), v)  # the mass of a node is that inside it until it is mixed
        node = int(self.tree.leaves[self.position])
        for depth in range(self._depth(node), 0, -1):
            family = self._open[depth]
            path = _mixed(path, family, scale)
            above = _parent(path, family)
            if self.tree.first[node] + self.tree.count[node] == self.position + 1:  # the node is complete
                family.add(path)
                self._open[depth + 1] = _Family()
            path, node = above, int(self.tree.parent[node])
        self.position += 1
        self.most = max(self.most, self.entries)
        return path.row

    def _check(self, q: Tensor, k: Tensor, v: Tensor) -> None:
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
        self._shapes = shapes

    def _depth(self, node: int) -> int:
        return int(np.searchsorted(self.tree.level_offset, node, side="right")) - 1


def _mixed(node: _Node, family: _Family, scale: float) -> _Node:
    """Return the node with its left siblings in the row and in the mass."""
    if not family.keys:
        return node
    keys, values = torch.stack(family.keys, -2), torch.stack(family.values, -2)
    counts = torch.tensor(family.counts, dtype=keys.dtype, device=keys.device)
    score = scale * (keys @ (node.sums[0] / node.leaves).unsqueeze(-1)).squeeze(-1) + counts.log()
    inner, outer = node.sums[3] / node.leaves, score.logsumexp(-1)
    seen = ((score - outer.unsqueeze(-1)).exp().unsqueeze(-2) @ values).squeeze(-2)
    keep, cross = (logsigmoid(gap).exp().unsqueeze(-1) for gap in (inner - outer, outer - inner))
    mass = node.leaves * torch.logaddexp(inner, outer)
    return _Node(node.leaves, (*node.sums[:3], mass), keep * node.row + cross * seen)


def _parent(node: _Node, family: _Family) -> _Node:
    """Return the parent up to now: all complete children, and the open one."""
    q, k, v, mass = (one + total for one, total in zip(node.sums, family.sums, strict=True))
    return _Node(node.leaves + sum(family.counts), (q, k, v, mass), node.row)
