"""Count the cost of hierarchical and flat attention: scores, floating-point operations and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.diagnostics.hierarchy.window_trees import BRANCHING


class Cost(NamedTuple):
    """Count scores, floating-point operations and bytes of scores held; hierarchical (``tree``) and flat."""

    tree_pairs: int
    flat_pairs: int
    tree_flops: int
    flat_flops: int
    tree_bytes: int
    flat_bytes: int


def unit(width: int, heads: int) -> int:
    """Return the operations of one pair: two dot products of ``width`` numbers, and a softmax entry for each head.

    Examples
    --------
    >>> unit(768, 12)
    3084
    """
    return 4 * width + heads


def cost(tree: Tree, width: int, heads: int = 1, itemsize: int = 4) -> Cost:
    """Return the cost of a layer on a tree: sum of b^2 over its families, against N^2 pairs.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.window_trees import windows
    >>> cost(windows(65536, (16, 16, 16, 16)), 64).tree_pairs, 65536**2
    (1118464, 4294967296)
    """
    pairs, flat = tree.sibling_pairs, tree.size**2
    each = unit(width, heads)
    return Cost(pairs, flat, pairs * each, flat * each, pairs * heads * itemsize, flat * heads * itemsize)


def published_pairs(size: int, branching: Sequence[int] = BRANCHING) -> int:
    """Return pairs by the model that reproduces the paper's table of operations: full windows, the last ones padded.

    ``n_0 = N``, ``n_l = ceil(n_{l-1} / b_l)``; the sum of ``n_l b_l^2`` while n_l > 1 and ``n_{l-1}^2`` after, and 1.

    Examples
    --------
    >>> [published_pairs(n) for n in (264, 54, 12, 26, 55, 70, 38)]
    [1402, 271, 62, 134, 275, 417, 183]
    """
    total, below = 1, size
    for step in branching:
        above = -(-below // step)
        total += above * step**2 if above > 1 else below**2
        below = above
    return total


def published_flops(
    size: int, width: int = 768, heads: int = 12, branching: Sequence[int] = BRANCHING
) -> tuple[int, int]:
    """Return (flat, hierarchical) operations of a replaced layer by that model.

    Examples
    --------
    >>> published_flops(264)
    (214942464, 4323768)
    """
    return size**2 * unit(width, heads), published_pairs(size, branching) * unit(width, heads)
