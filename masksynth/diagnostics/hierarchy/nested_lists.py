"""Build trees from nested lists of positions, and write trees as such lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from masksynth.diagnostics.hierarchy.tree import Tree, tree_of_parents
from masksynth.errors import InvalidInstance


def tree_of_lists(nested: Sequence[Any] | int) -> Tree:
    """Build the tree of nested lists: a list is a family, an integer a leaf.

    Raises
    ------
    InvalidInstance
        If something in it is neither, a list contains itself, or `Tree` refuses.

    Examples
    --------
    >>> tree_of_lists([0, [1, [2, 3]]])
    Tree(4 positions, 3 families of at most 2, depth 3)
    """
    parent: list[int] = []
    position: list[int] = []
    open_lists: dict[int, None] = {}
    pending: list[tuple[Any, int]] = [(nested, -1)]
    while pending:
        value, above = pending.pop()
        if above == CLOSE:
            del open_lists[value]
            continue
        parent.append(above)
        if isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= value < 2**62:
            position.append(int(value))
            continue
        if not isinstance(value, list | tuple):
            raise InvalidInstance(
                f"expected a list or a position, got {value!r:.40}", remedy="write a tree as [[0, 1], [2, 3]]"
            )
        if id(value) in open_lists:
            raise InvalidInstance("a family contains itself: a cycle", remedy="write a tree as [[0, 1], [2, 3]]")
        open_lists[id(value)] = None
        position.append(-1)
        pending.append((id(value), CLOSE))
        node = len(parent) - 1
        pending += [(one, node) for one in reversed(value)]
    return tree_of_parents(parent, position)


CLOSE = -2
"""A mark among the parents: the list is left."""


def lists_of_tree(tree: Tree) -> Any:
    """Return the nested lists from which `tree_of_lists` builds the tree.

    Examples
    --------
    >>> lists_of_tree(tree_of_lists([0, [1, [2, 3]]]))
    [0, [1, [2, 3]]]
    """
    made: list[Any] = [[] if place < 0 else int(place) for place in tree.position]
    for node, above in enumerate(tree.parent[1:].tolist(), 1):
        made[above].append(made[node])
    return made[0]
