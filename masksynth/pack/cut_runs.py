"""Cut a sequence of units into runs of few positions, by dynamic programming.

A *unit* is a set of samples that stay together. The units are taken in the order of their first samples in the prefix
forest; a run of consecutive units takes the positions of the trie of its samples, which units may share in any way. A
node of the trie that the units u_1 < u_2 < ... hold counts for the run i, ..., j if some of them lies in it: for the
first such, u_k, iff ``u_(k-1) < i <= u_k <= j``. So the costs of all runs that end with unit j follow from those that
end with j - 1 by one sum over the nodes that j holds.
"""

from __future__ import annotations

import numpy as np

from masksynth.mask.csr import repeat_index, repeat_ranges
from masksynth.mask.equal_values import run_starts
from masksynth.mask.typing import Int64Array
from masksynth.pack.prefix import Forest


def cut_runs(forest: Forest, unit: Int64Array, limit: int) -> Int64Array:
    """Return the run of each unit: the fewest positions of all ways to cut the sequence of units, then the fewest runs.

    Parameters
    ----------
    forest : Forest
    unit : (S,) int64
        The unit of each of its samples, in order of first appearance, so that unit 0 has the first sample.
    limit : int
        Most positions of a run; each unit has at most as many.

    Examples
    --------
    >>> forest = Forest(np.arange(3), np.array([4, 5, 5]), np.array([0, 3, 1]))
    >>> cut_runs(forest, np.arange(3), 7).tolist()
    [0, 0, 1]
    """
    count = int(unit.max(initial=-1)) + 1
    before, holder, weight = _find_new_nodes(forest, unit)
    cut = np.searchsorted(holder, np.arange(count + 1))
    size = np.zeros(count, np.int64)  # positions of the run from each unit to the present one
    # cost[i] of the best cut of the first i units: positions first, then runs; the last run begins at begin[i]
    cost = np.zeros(count + 1, np.int64)
    begin = np.zeros(count + 1, np.int64)
    low = 0
    for last in range(count):
        nodes = slice(int(cut[last]), int(cut[last + 1]))
        new = np.zeros(last + 1 - low, np.int64)
        np.add.at(new, np.maximum(before[nodes] + 1 - low, 0), weight[nodes])  # counted by the runs that begin there
        run = size[low : last + 1]
        run += np.cumsum(new)  # or later
        while size[low] > limit:
            low += 1  # no run that ends here or later can begin earlier
        price = cost[low : last + 1] + size[low : last + 1] * (count + 1) + 1
        best = int(np.argmin(price))
        cost[last + 1], begin[last + 1] = price[best], low + best
    starts = np.zeros(count, np.int64)
    while count:
        count = int(begin[count])
        starts[count] = 1
    return np.cumsum(starts) - 1


def _find_new_nodes(forest: Forest, unit: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return, for each node of the compressed trie and each unit that holds it, the unit before it that does, or -1.

    Returns
    -------
    before, holder, weight : (m,) int64
        Sorted by holder; ``weight`` is the number of positions of the node.
    """
    node, held, weight = holders_of_nodes(forest, unit)
    before = np.append(-1, held[:-1])[: len(held)]
    before[run_starts(node)] = -1
    by_holder = np.argsort(held, kind="stable")
    return before[by_holder], held[by_holder], weight[node][by_holder]


def holders_of_nodes(forest: Forest, unit: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return the units that hold each node of the compressed trie.

    Parameters
    ----------
    forest : Forest
    unit : (S,) int64
        Unit of each sample.

    Returns
    -------
    node, unit : (p,) int64
        Distinct pairs, sorted.
    weight : (n,) int64
        Number of positions of each node.
    """
    first, end, weight = _compress(forest)
    node = repeat_index(end - first)
    held = unit[repeat_ranges(first, end - first)]
    order = np.lexsort((held, node))
    node, held = node[order], held[order]
    new = run_starts(node, held)
    return node[new], held[new], weight


def _compress(forest: Forest) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return the nodes of the compressed trie: consecutive samples ``first <= i < end`` and the number of positions."""
    count = len(forest.length)
    length, shared = forest.length.tolist(), [*forest.shared.tolist(), 0]
    nodes: list[tuple[int, int, int]] = []
    open_nodes: list[tuple[int, int]] = [(0, 0)]  # (depth, first sample) of the nodes on the path, deepest last
    for i in range(count):
        if open_nodes[-1][0] < length[i]:
            open_nodes.append((length[i], i))
        common, first = shared[i + 1], i
        while open_nodes[-1][0] > common:  # a node that the next sample does not share ends here
            depth, first = open_nodes.pop()
            nodes.append((first, i + 1, depth - max(common, open_nodes[-1][0])))
        if open_nodes[-1][0] < common:
            open_nodes.append((common, first))
    first_sample, end, weight = np.array(nodes, np.int64).reshape(-1, 3).T
    return first_sample, end, weight
