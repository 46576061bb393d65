"""Grids, trees and graphs in which elements lie: checked, and counted before anything is allocated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from masksynth.contracts.model import MAX_ELEMENTS
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Int64Array
from masksynth.tasks.canonical import shown

if TYPE_CHECKING:
    from masksynth.contracts.document_structs import SpaceFile


def count_elements(elements: int | list[Any] | SpaceFile) -> int:
    """Return the number of elements of a document."""
    import msgspec

    if isinstance(elements, int):
        return elements
    if isinstance(elements, list):
        return len(elements)
    if elements.grid is not msgspec.UNSET:
        return prod(elements.grid)
    if elements.tree is not msgspec.UNSET:
        return len(elements.tree)
    return 0 if elements.graph is msgspec.UNSET else elements.graph.n


def space_of(elements: int | list[Any] | SpaceFile) -> Mapping[str, Any]:
    """Return where the elements of a document lie, checked: ``{}`` for a count or a list.

    Raises
    ------
    InvalidInstance
        Unless the elements lie on one grid, in one tree or in one connected graph.
    """
    import msgspec

    if isinstance(elements, (int, list)):
        return {}
    given = {name: value for name, value in msgspec.structs.asdict(elements).items() if value is not msgspec.UNSET}
    kinds = [name for name in given if name != "metric"]
    if len(kinds) != 1:
        fact = f"expected one of grid, tree and graph, got {' and '.join(kinds) or 'none'}"
        raise InvalidInstance(fact, "$.elements", "keep one of them")
    if "metric" in given and kinds != ["grid"]:
        raise InvalidInstance(f"a {kinds[0]} has one metric", "$.elements.metric", "leave it out")
    count = count_elements(elements)
    if count > MAX_ELEMENTS:
        raise InvalidInstance(f"{shown(count)} elements, more than {MAX_ELEMENTS}", "$.elements", "give fewer elements")
    if "tree" in given:
        check_tree(given["tree"])
    if "graph" in given:
        edges = [list(edge) for edge in elements.graph.edges]  # type: ignore[union-attr]
        check_graph(count, edges)
        return {"graph": {"n": count, "edges": edges}}
    return given


def check_tree(parents: Sequence[int | None]) -> None:
    """Raise InvalidInstance unless parents describe one rooted tree.

    Examples
    --------
    >>> check_tree([None, 2, 1])
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.elements.tree[1]: element 1 is its own ancestor; lead every element to the root
    """
    path = "$.elements.tree"
    roots = [index for index, parent in enumerate(parents) if parent is None]
    if len(roots) != 1:
        fact = f"a tree has one root, this has {len(roots)}"
        raise InvalidInstance(fact, path, "give null as the parent of one element alone")
    up = np.array([index if parent is None else parent for index, parent in enumerate(parents)], np.int64)
    if (outside := up >= len(parents)).any():
        index = int(outside.argmax())
        fact = f"parent {up[index]} is not an element"
        raise InvalidInstance(fact, f"{path}[{index}]", f"use 0 to {len(parents) - 1}, or null for the root")
    ancestor = up
    for _ in range(len(parents).bit_length()):  # after i steps: the ancestor 2^i generations up, at most the root
        ancestor = ancestor[ancestor]
    if (astray := ancestor != roots[0]).any():
        index = int(ancestor[astray.argmax()])  # on a cycle: more generations up than there are elements
        fact = f"element {index} is its own ancestor"
        raise InvalidInstance(fact, f"{path}[{index}]", "lead every element to the root")


def check_graph(count: int, edges: Sequence[Sequence[int]]) -> None:
    """Raise InvalidInstance unless the edges join ``count`` elements into one graph.

    Examples
    --------
    >>> check_graph(3, [[0, 1]])
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.elements.graph.edges: no path leads from 0 to 2; join them, or give a count
    """
    path = "$.elements.graph.edges"
    for index, (a, b) in enumerate(edges):
        if max(a, b) >= count:
            fact = f"{max(a, b)} is not an element"
            raise InvalidInstance(fact, f"{path}[{index}]", f"use 0 to {count - 1}")
        if a == b:
            raise InvalidInstance(f"an edge joins {a} with itself", f"{path}[{index}]", "leave it out")
    reached = reach(count, edges)
    if not reached.all():
        fact = f"no path leads from 0 to {int(reached.argmin())}"
        raise InvalidInstance(fact, path, "join them, or give a count")


def reach(count: int, edges: Sequence[Sequence[int]]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which elements a path leads to from element 0."""
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    reached = np.zeros(count, bool)
    stack = [0]
    reached[0] = True
    while stack:
        for other in neighbours[stack.pop()]:
            if not reached[other]:
                reached[other] = True
                stack.append(other)
    return reached


def generations(parents: Sequence[int | None]) -> list[Int64Array]:
    """Return the elements of a tree by depth: the root, its children, and so on.

    Examples
    --------
    >>> [level.tolist() for level in generations([None, 0, 0, 1])]
    [[0], [1, 2], [3]]
    """
    children: list[list[int]] = [[] for _ in parents]
    level = []
    for index, parent in enumerate(parents):
        if parent is None:
            level = [index]
        else:
            children[parent].append(index)
    levels = []
    while level:
        levels.append(np.array(level, np.int64))
        level = [child for index in level for child in children[index]]
    return levels
