"""Build the tree of a large mask: runs of neighbours that no other position tells apart, and the modules over them.

Two neighbours i, i + 1 are *twins* if the other positions see both or neither, and both see the same others: {i, i + 1}
is a module. A run of positions in which all neighbours are twins is a module too, and so is each of its subsets that is
a run, since unions of overlapping modules are modules. So runs can be cut into windows, and one position can stand for
each in the search for modules: no block is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from masksynth.diagnostics.hierarchy.modules import LARGEST, module_tree
from masksynth.diagnostics.hierarchy.nested_lists import lists_of_tree, tree_of_lists
from masksynth.diagnostics.hierarchy.nested_windows import nest_windows
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.diagnostics.hierarchy.visible_siblings import holds
from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import AnyArray, BoolArray, Int64Array


def tree_of_mask(mask: Mask, most: int | None = None) -> Tree:
    """Return `module_tree`, above 2,048 positions that of `tree_of_runs`; families of more than ``most`` are split.

    Raises
    ------
    InvalidInstance
        As `module_tree`.
    Unsupported
        As `tree_of_runs`.

    Examples
    --------
    >>> tree_of_mask(Mask.from_intervals([[[(0, row + 1)] for row in range(5000)]]), most=32)
    Tree(5000 positions, 163 families of at most 32, depth 3)
    """
    if mask.size <= LARGEST or mask.tables != 1:
        return module_tree(mask, most)
    return tree_of_runs(mask, () if most is None else (most,) * mask.size.bit_length(), most)


def tree_of_runs(mask: Mask, branching: Sequence[int] = (), most: int | None = None) -> Tree:
    """Return the tree of the modules of a mask over runs of twins, which are split into windows.

    Parameters
    ----------
    mask : Mask
        One table over N positions.
    branching : sequence of int
        Windows within a run, from the positions up [default: none].
    most : int, optional
        As in `module_tree`, for families of runs.

    Raises
    ------
    Unsupported
        For more than 2,048 runs.

    Examples
    --------
    Two documents of 30 and 40 positions, and 5 positions that see the second alone:

    >>> dense = np.zeros((75, 75), bool)
    >>> for low, high in ((0, 30), (30, 75)):
    ...     dense[low:high, low:high] = np.tri(high - low, dtype=bool)
    >>> tree_of_runs(Mask.from_dense(dense))
    Tree(75 positions, 3 families of at most 45, depth 2)
    """
    starts = np.append(np.flatnonzero(~_twins(mask)), mask.size)
    if (count := len(starts) - 1) > LARGEST:
        raise Unsupported(
            f"{count:,} runs of positions: modules are found up to {LARGEST:,}; give --branching or a tree"
        )
    first = starts[:-1]
    sees = holds(mask, first[:, None], first[None], first[None] + 1)
    runs = [nest_windows(list(range(low, high)), branching) for low, high in pairwise(starts.tolist())]
    pending = [nested := [lists_of_tree(module_tree(sees, most))]]
    while pending:
        family = pending.pop()
        for place, child in enumerate(family):
            if isinstance(child, list):
                pending.append(child)
            else:
                family[place] = runs[child]
    return tree_of_lists(nested[0])


def _twins(mask: Mask) -> BoolArray:
    """Return whether each position is a twin of the one before it, (N,).

    Sets of keys, and of queries, are compared by sums of random numbers modulo 2^64. The sums of different sets are
    equal with probability 2^-64; blocks that a wrong run would lose are counted like all others (`Sight.lost`).
    """
    size = mask.size
    number = np.random.default_rng(0).integers(2**64, size=size, dtype=np.uint64)
    query, start, end = row_intervals(mask)
    before = np.concatenate([np.zeros(1, np.uint64), np.cumsum(number)])
    keys, queries = np.zeros(size, np.uint64), np.zeros(size + 1, np.uint64)
    np.add.at(keys, query, before[end] - before[start])
    np.add.at(queries, start, number[query])
    np.subtract.at(queries, end, number[query])
    queries = np.cumsum(queries[:-1])
    left, right = np.arange(size - 1), np.arange(1, size)

    def pair(row: Int64Array, key: Int64Array, weight: AnyArray) -> AnyArray:
        """Return the numbers of the pairs that the mask allows, 0 elsewhere."""
        return np.where(holds(mask, row, key, key + 1), weight, np.uint64(0))

    # what each of two neighbours sees, and is seen by, outside of the two
    same_keys = keys[left] - pair(left, left, number[left]) - pair(left, right, number[right]) == (
        keys[right] - pair(right, left, number[left]) - pair(right, right, number[right])
    )
    same_queries = queries[left] - pair(left, left, number[left]) - pair(right, left, number[right]) == (
        queries[right] - pair(left, right, number[left]) - pair(right, right, number[right])
    )
    return np.concatenate([np.zeros(1, bool), same_keys & same_queries])
