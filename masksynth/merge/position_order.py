"""The order of positions: along heavy paths, so that rows consist of few intervals.

Components of a closed family, each above its only lower cover, form a forest in which a row is the path to the root.
Numbered along heavy paths (Sleator and Tarjan, JCSS 26(3), 1983: each component is followed by its heaviest upper
neighbour), a row meets at most log2(n) + 1 paths, each in a prefix: in a tree of n nodes a row has at most log2(n) + 1
intervals. In order of first appearance it may have n / 2, as on a spine with a leaf at every node.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def heavy_paths(parent: Sequence[int], weight: Sequence[int], depth: Sequence[int]) -> list[int]:
    """Order the nodes of a forest path by path, each path upwards; paths by the first appearance of their lowest node.

    Parameters
    ----------
    parent : sequence of n ints
        The node below, -1 for a root.
    weight : sequence of n ints
        Weight of each node, without its subtree.
    depth : sequence of n ints
        Any number that is larger for a node than for its parent.

    Returns
    -------
    list of n ints
        The nodes in their new order.

    Examples
    --------
    A spine 0 < 2 < 4 with a leaf at 0 and at 2:

    >>> heavy_paths([-1, 0, 0, 2, 2, 4], [1] * 6, [0, 1, 1, 2, 2, 3])
    [0, 2, 4, 5, 1, 3]
    """
    total = list(weight)
    heavy_child = [-1] * len(parent)
    for node in np.argsort(-np.asarray(depth, np.int64), kind="stable").tolist():  # children before parents
        below = parent[node]
        if below >= 0:
            total[below] += total[node]
            if heavy_child[below] < 0 or total[node] > total[heavy_child[below]]:
                heavy_child[below] = node
    order: list[int] = []
    for node, below in enumerate(parent):
        if below < 0 or heavy_child[below] != node:  # a path starts here
            current = node
            while current >= 0:
                order.append(current)
                current = heavy_child[current]
    return order
