"""Find rows of a block-tied matrix that depend on positions to which they may not attend.

A row of node A divides its mass between A and the siblings of A by the mean query of A and the energy of A, to which
all positions in A contribute. Under a causal mask a row in the middle of A therefore depends on later positions,
although its matrix is lower-triangular.
"""

from __future__ import annotations

import numpy as np

from masksynth.diagnostics.hierarchy.tied_attention import endless
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.diagnostics.hierarchy.visible_siblings import Sight
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array


def leaking_rows(tree: Tree, sight: Sight) -> BoolArray:
    """Return whether each position's row depends on queries of positions to which it may not attend, (N,).

    It does, for almost all queries and keys, iff it has mass in a node that contains such a position and divides its
    mass by its queries: one that may see two siblings or more, or one sibling with phi finite. Where phi is infinite no
    mass goes on below.

    Examples
    --------
    In windows all but the last of each later window leak; where only first children have children, none does.

    >>> from masksynth.diagnostics.hierarchy import sight_of, tree_of_lists
    >>> for nested in ([[0, 1], [2, 3, 4]], [[[0, 1], 2], 3, 4]):
    ...     tree = tree_of_lists(nested)
    ...     leaking_rows(tree, sight_of(tree, causal=True, included=True)).tolist()
    [False, False, True, True, False]
    [False, False, False, False, False]

    Without themselves, rows whose node sees one sibling and keeps nothing have nothing to divide:

    >>> tree = tree_of_lists([[0, 1], [2, 3], [4, 5]])
    >>> leaking_rows(tree, sight_of(tree, causal=True)).tolist()
    [False, False, False, False, True, False]
    """
    shared = _highest_shared(tree, sight)[tree.leaves]
    low, high = tree.first[shared], tree.first[shared] + tree.count[shared]
    ranks = np.arange(tree.size)
    late = (ranks < high - 1) & sight.causal
    result = np.zeros(tree.size, bool)
    result[tree.order] = (shared >= 0) & (late if sight.mask is None else _some_hidden(sight.mask, tree, low, high))
    return result


def _some_hidden(mask: Mask, tree: Tree, low: Int64Array, high: Int64Array) -> BoolArray:
    """Return whether the position of each rank may not attend to some other one of rank low to high - 1."""
    result = np.zeros(tree.size, bool)
    for rank in range(tree.size):
        inside = np.zeros(tree.size, bool)
        inside[mask.row(int(tree.order[rank]))] = True
        inside[tree.order[rank]] = True
        result[rank] = not inside[tree.order[low[rank] : high[rank]]].all()
    return result


def _highest_shared(tree: Tree, sight: Sight) -> Int64Array:
    """Return the highest of each node and its ancestors that divides mass by queries of several leaves, or -1."""
    seen = np.zeros(tree.nodes, np.int64)
    for level, tables in zip(tree.plan, sight.blocks, strict=True):
        for group, allowed in zip(level, tables, strict=True):
            seen[group.child] = allowed.sum(axis=2)
    ends = endless(tree, sight)
    divides = (tree.count > 1) & np.where(ends, seen > 1, seen > 0)
    ends[0] = False  # the root has all mass, regardless of its energy
    result = np.where(divides, np.arange(tree.nodes), -1)
    for low, high in tree.levels[1:]:
        above = tree.parent[low:high]
        result[low:high] = np.where((result[above] >= 0) | ends[above], result[above], result[low:high])
        ends[low:high] |= ends[above]
    return result
