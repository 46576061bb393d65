"""The tree with the fewest edges for in-place rerooting of leave-one-out, for n tokens and L layers.

An unrooted tree with n leaves and inner degrees d_v costs sum d_v (d_v - 1) - 2 (inner nodes - 1) edges at depth
diameter - 1. That is 4 n - 6 plus an *excess* which vanishes where every degree is three. From its centre (a node for
odd L, an edge for even L) such a tree is a sequence of levels; from a level of s nodes to one of t, the excess is least
where children are shared evenly, 2 sum over c >= 2 of max(t - c s, 0), and the least total is a shortest path over the
sizes of levels. ``docs/discovery.md`` has the proofs.
"""

from __future__ import annotations

import numpy as np

from masksynth.discover.constructions.target_trees import Tree, tree_of_levels
from masksynth.mask.csr import index_in_row, indptr, repeat_index
from masksynth.mask.typing import Int64Array

FAR = np.int64(1) << 60
"""Excess of what cannot be reached."""


def least_depth(n: int) -> int:
    """Return the least number of layers of in-place rerooting with 4 n - 6 edges, for n >= 3 tokens.

    It is min(2 ceil(log2 n) - 2, 2 ceil(log2(n / 3)) + 1): a tree of inner degree three and diameter L + 1 has at most
    3 * 2^a leaves if L = 2 a + 1, and 4 * 2^a if L = 2 a + 2.

    Examples
    --------
    >>> [least_depth(n) for n in (3, 4, 6, 8, 64, 1024)]
    [1, 2, 3, 4, 10, 18]
    """
    halvings = (-(-n // 3) - 1).bit_length()  # least a with 3 * 2^a >= n
    doublings = (n - 1).bit_length()
    return min(2 * doublings - 2, 2 * halvings + 1)


def edges_of_arities(n: int, layers: int) -> int:
    """Return the edges of the best tree: fewest edges of a rerooting of n >= 3 tokens in at most this many layers.

    Examples
    --------
    >>> [edges_of_arities(16, layers) for layers in range(1, 7)]
    [240, 142, 78, 70, 60, 58]
    """
    return 4 * n - 6 + _best_levels(n, layers)[0]


def rerooted_tree(n: int, layers: int) -> Tree:
    """Return the tree of fewest edges for in-place rerooting of n >= 3 tokens in at most this many layers.

    Examples
    --------
    >>> rerooted_tree(4, layers=2).parent.tolist()
    [-1, 0, 0, 0, 1, 1]
    """
    layers = min(layers, least_depth(n))
    sizes = _best_levels(n, layers)[1]
    if layers % 2:
        return tree_of_levels([1, *sizes])
    return _rooted_at_an_end(tree_of_levels([1, *sizes]))


def _rooted_at_an_end(tree: Tree) -> Tree:
    """Return a tree whose root has two children, rooted at the first of them: the root becomes an edge."""
    parent, order = tree.parent.copy(), np.concatenate([[1], np.arange(2, tree.size)])
    parent[2] = 1
    above = parent[order] - 1
    above[0] = -1
    return Tree(above, tree.element[order], tree.target[order])


def _best_levels(n: int, layers: int) -> tuple[int, list[int]]:
    """Return (excess, sizes of levels): from the centre's children if L is odd, from its two ends if L is even."""
    layers = min(layers, least_depth(n))
    steps = layers // 2
    tables = tables_of_excess(n, steps)
    size = np.arange(n + 1)
    if layers % 2:
        root = np.where(size >= 2, (size - 2) * (size - 3), FAR)
        first = int((root + tables[steps]).argmin())
        excess = int(root[first] + tables[steps][first])
    else:
        first, excess = 2, int(tables[steps][2])
    return excess, tree_sizes(first, tables)


def tree_sizes(first: int, tables: list[Int64Array]) -> list[int]:
    """Return the best sizes of levels from a first one down to the leaves, as `tables_of_excess` has found them."""
    sizes = [first]
    for table in reversed(tables[:-1]):
        following = np.arange(sizes[-1], len(table))
        cost = step_excess(np.full(len(following), sizes[-1]), following) + table[following]
        sizes.append(int(following[cost.argmin()]))
    return sizes


def tables_of_excess(n: int, steps: int) -> list[Int64Array]:
    """Return, for k = 0, .., steps, the least excess from a level of s = 0, .., n nodes to n leaves in k steps."""
    table = np.full(n + 1, FAR)
    table[n] = 0
    tables = [table]
    for _ in range(steps):
        tables.append(_one_step(tables[-1], n))
    return tables


def _one_step(table: Int64Array, n: int) -> Int64Array:
    """Return min over t >= s of step_excess(s, t) + table[t] for each s, halving the rows between known ones.

    The excess of a step has the Monge property, so that the best t does not decrease with s: between two rows whose
    best t are known, only those between them are tried. That is n log n instead of n^2.
    """
    best = np.full(n + 1, FAR)
    choice = np.zeros(n + 2, np.int64)
    choice[n + 1] = n
    stride = 1 << (n + 1).bit_length()
    while stride > 1:
        half = stride // 2
        rows = np.arange(half, n + 1, stride)
        low = np.maximum(choice[rows - half], rows)
        high = choice[np.minimum(rows + half, n + 1)]
        length = high - low + 1
        row = repeat_index(length)
        following = low[row] + index_in_row(length)
        cost = step_excess(rows[row], following) + table[following]
        least = np.minimum.reduceat(cost, indptr(length)[:-1]) if len(rows) else cost
        best[rows] = least
        hits = np.flatnonzero(cost == least[row])[::-1]
        choice[rows[row[hits]]] = following[hits]  # the first of equal ones is written last
        stride = half
    return best


def step_excess(above: Int64Array, below: Int64Array) -> Int64Array:
    """Return the least sum of (a - 1) (a - 2) over s nodes whose numbers of children a >= 1 add up to t.

    Parameters
    ----------
    above, below : (m,) int64
        s and t >= s.

    Examples
    --------
    >>> step_excess(np.array([2, 2]), np.array([4, 5])).tolist()
    [0, 2]
    """
    share, rest = np.divmod(below, np.maximum(above, 1))
    excess: Int64Array = rest * share * (share - 1) + (above - rest) * (share - 1) * (share - 2)
    return excess
