"""Trees of fixed windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.errors import InvalidInstance

BRANCHING = (2, 4, 8, 16)
"""Windows of the paper's zero-shot models, from the leaves up."""


def windows(size: int, branching: Sequence[int] = BRANCHING) -> Tree:
    """Consecutive positions in windows of ``branching[0]``, those in windows of ``branching[1]`` and so on; a root over what is left.

    A level is made as long as more than one node is left, so short sequences have fewer levels. The last window of a level may be shorter.

    Raises
    ------
    InvalidInstance
        For no positions, or windows of less than one.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.tree import lists_of_tree
    >>> lists_of_tree(windows(7, (2, 2)))
    [[[0, 1], [2, 3]], [[4, 5], [6]]]
    """
    steps = _checked(size, branching)
    counts = [size]
    for step in steps:
        if counts[-1] > 1:
            counts.append(-(-counts[-1] // step))
    if counts[-1] > 1 or size == 1:
        counts.append(1)
    parent, begin = [np.array([-1])], 0
    for above, below in zip(counts[:0:-1], counts[-2::-1], strict=True):
        width = steps[len(counts) - 1 - len(parent)] if len(counts) - 1 - len(parent) < len(steps) else below
        parent.append(begin + np.arange(below) // width)
        begin += above
    position = np.full(sum(counts), -1)
    position[-size:] = np.arange(size)
    return Tree(np.concatenate(parent), position)


def _checked(size: int, branching: Sequence[int]) -> list[int]:
    if type(size) is not int or size < 1:
        raise InvalidInstance(f"{size!r:.40} positions", "", "give at least one position")
    steps = list(branching)
    if not all(isinstance(step, int) and step >= 1 for step in steps):
        raise InvalidInstance(f"branching {steps!r:.60}", "", "give whole numbers from 1, such as 2,4,8,16")
    return steps
