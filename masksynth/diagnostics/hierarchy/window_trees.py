"""Build trees of fixed windows, of squares of images, and of windows that attend to all before them as one block."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from masksynth.diagnostics.hierarchy.tree import Tree, tree_of_parents
from masksynth.errors import InvalidInstance

BRANCHING = (2, 4, 8, 16)
"""Windows of the paper's zero-shot models, from the leaves up."""


def windows(size: int, branching: Sequence[int] = BRANCHING) -> Tree:
    """Build windows of ``branching[0]`` positions, windows of ``branching[1]`` of those, and so on, under one root.

    A level is made as long as more than one node is left, so short sequences have fewer levels. The last window of a
    level may be shorter.

    Raises
    ------
    InvalidInstance
        For no positions, or windows of less than one.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.nested_lists import lists_of_tree
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


def grid_windows(height: int, width: int, side: int = 2) -> Tree:
    """Build squares of ``side`` x ``side`` pixels, squares of as many of those, and so on; 2 gives a quad-tree.

    Pixels, or patches, are numbered row by row. Windows at the right and lower edges may be smaller.

    Raises
    ------
    InvalidInstance
        For no pixels, or a side below 2.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.nested_lists import lists_of_tree
    >>> lists_of_tree(grid_windows(4, 4))
    [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    >>> lists_of_tree(grid_windows(2, 3))
    [[0, 1, 3, 4], [2, 5]]
    """
    for value, least in ((height, 1), (width, 1), (side, 2)):
        if type(value) is not int or value < least:
            raise InvalidInstance(f"expected an integer of at least {least}, got {value!r:.40}", "")
    shapes = [(height, width)]
    while shapes[-1] != (1, 1) or len(shapes) == 1:
        shapes.append((-(-shapes[-1][0] // side), -(-shapes[-1][1] // side)))
    parent, begin = [], 0
    for (rows, columns), above in pairwise(shapes):
        begin += rows * columns
        square = np.arange(rows)[:, None] // side * above[1] + np.arange(columns) // side
        parent.append(begin + square.ravel())
    position = np.full(begin + 1, -1)
    position[: height * width] = np.arange(height * width)
    return tree_of_parents(np.concatenate([*parent, [-1]]), position)


def histories(size: int, window: int) -> Tree:
    """Build windows of positions, each next to one node of all positions before it: ``[[[0, 1], 2, 3], 4, 5]``.

    A position sees those of its own window one by one and everything earlier as one block. No inner node has a left
    sibling, so under a causal mask no row depends on later positions (`leaking_rows`).

    Raises
    ------
    InvalidInstance
        For no positions, or windows of less than one.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.nested_lists import lists_of_tree
    >>> lists_of_tree(histories(5, 2))
    [[[0, 1], 2, 3], 4]
    """
    _checked(size, [window])
    count = -(-size // window)
    number = np.arange(size)
    depth = np.maximum(count - 1 - number // window, 0)  # depth of the family that contains the position
    return tree_of_parents(
        np.concatenate([np.arange(-1, count - 1), depth]), np.concatenate([np.full(count, -1), number])
    )


def _checked(size: int, branching: Sequence[int]) -> list[int]:
    if type(size) is not int or size < 1:
        raise InvalidInstance(f"expected a positive number of positions, got {size!r:.40}", "")
    steps = list(branching) if isinstance(branching, Sequence) else [0]
    if not all(type(step) is int and step >= 1 for step in steps):
        raise InvalidInstance(f"branching: expected positive integers, such as 2,4,8,16, got {branching!r:.60}", "")
    return steps
