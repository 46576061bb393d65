"""A numbering of nodes under which the set that each node reaches is few intervals.

A set of numbers is given by its *bounds* ``(s0, e0, s1, e1, ...)``, the ends of its maximal runs ``s <= x < e`` in
increasing order. Nodes are numbered along chains of the reachability order: a down-set meets a chain in a prefix, so it
has at most one interval per chain that it meets. Chains are the heavy paths of the forest "query -> its highest key"
(Sleator & Tarjan 1983): on trees, a node meets at most log2(n) of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

Bounds = tuple[int, ...]


def contains(bounds: Bounds, number: int) -> bool:
    """Return whether the set with these bounds contains a number.

    Examples
    --------
    >>> [contains((0, 2, 5, 6), number) for number in (1, 2, 5)]
    [True, False, True]
    """
    return bisect_right(bounds, number) % 2 == 1


def union(left: Bounds, right: Bounds) -> Bounds:
    """Return the bounds of the union of two sets.

    Examples
    --------
    >>> union((0, 2, 5, 6), (2, 4)), union((0, 2), (2, 3))
    ((0, 4, 5, 6), (0, 3))
    """
    if not left or not right:
        return left or right
    if left[-1] <= right[0]:
        return left[:-1] + right[1:] if left[-1] == right[0] else left + right
    ends: list[int] = []
    for start, end in sorted(chain(zip(left[::2], left[1::2], strict=True), zip(right[::2], right[1::2], strict=True))):
        if ends and start <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            ends += (start, end)
    return tuple(ends)


def components(keys: Sequence[Sequence[int]], roots: Iterable[int]) -> list[list[int]]:
    """Return the strongly connected components of what ``roots`` reach, each after those it reaches (Tarjan 1972).

    Parameters
    ----------
    keys : sequence of sequences of int
        The keys of each node.
    roots : iterable of int

    Examples
    --------
    >>> components([[0], [0, 2], [1], [2]], [2])
    [[0], [1, 2]]
    """
    roots = list(roots)
    if (nodes := _reached_upwards(keys, roots)) is not None:
        return [[node] for node in nodes]
    index: dict[int, int] = {}  # order of discovery
    low: dict[int, int] = {}
    stack: list[int] = []
    groups: list[list[int]] = []
    finished = len(keys) + 1  # above every index, so that finished components do not count
    for root in roots:
        calls: list[tuple[int, Iterator[int]]] = [] if root in index else [(root, iter(keys[root]))]
        while calls:
            node, rest = calls[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
            for key in rest:
                if key not in index:
                    calls.append((key, iter(keys[key])))
                    break
                low[node] = min(low[node], low[key])
            else:
                calls.pop()
                if low[node] == index[node]:
                    groups.append(_pop_component(stack, node))
                    low.update(dict.fromkeys(groups[-1], finished))
                if calls:
                    low[calls[-1][0]] = min(low[calls[-1][0]], low[node])
    return groups


def _reached_upwards(keys: Sequence[Sequence[int]], roots: Iterable[int]) -> list[int] | None:
    """Return what ``roots`` reach, ascending, if no node that they reach has a later key; None otherwise."""
    reached = [False] * len(keys)
    for root in roots:
        reached[root] = True
    for node in range(len(keys) - 1, -1, -1):
        if reached[node]:
            for key in keys[node]:
                if key > node:
                    return None
                reached[key] = True
    return [node for node, is_reached in enumerate(reached) if is_reached]


def _pop_component(stack: list[int], node: int) -> list[int]:
    """Remove everything from ``node`` upwards from the stack, and return it sorted."""
    members = [stack.pop()]
    while members[-1] != node:
        members.append(stack.pop())
    return sorted(members)


def _condensation(groups: list[list[int]], keys: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return for each component the other components that contain keys of its members."""
    group_of = [-1] * len(keys)
    for number, group in enumerate(groups):
        for member in group:
            group_of[member] = number
    below = [{group_of[key] for member in group for key in keys[member]} for group in groups]
    for number, lower in enumerate(below):
        lower.discard(number)
    return [sorted(lower) if len(lower) > 1 else list(lower) for lower in below]


def _heavy_paths(groups: list[list[int]], below: list[list[int]]) -> list[int]:
    """Return the components path by path, each path upwards in the forest "component -> its highest key"."""
    height: list[int] = []
    parent: list[int] = []
    for lower in below:
        parent.append(max(lower, key=height.__getitem__, default=-1) if len(lower) != 1 else lower[0])
        height.append(height[parent[-1]] + 1 if lower else 0)
    weight = [len(group) for group in groups]
    heavy = [-1] * len(groups)
    for number in reversed(range(len(groups))):
        if (up := parent[number]) >= 0:
            weight[up] += weight[number]
            if heavy[up] < 0 or weight[heavy[up]] < weight[number]:
                heavy[up] = number
    order: list[int] = []
    for head in range(len(groups)):
        if parent[head] < 0 or heavy[parent[head]] != head:
            while head >= 0:
                order.append(head)
                head = heavy[head]
    return order


def _down_sets(spans: list[tuple[int, int]], below: list[list[int]]) -> list[Bounds]:
    """Return the bounds of everything each component reaches, itself included; components come after what they reach.

    ``spans`` are the first number and the end of each component's own numbers.
    """
    down_sets: list[Bounds] = []
    for span, lower in zip(spans, below, strict=True):
        row: Bounds = ()
        if len(lower) == 1:
            down_sets.append(union(down_sets[lower[0]], span))
            continue
        for key in reversed(lower):
            if not contains(row, spans[key][0]):  # else the row has all that the key reaches already
                row = union(row, down_sets[key])
        down_sets.append(union(row, span))
    return down_sets


class Paths(NamedTuple):
    """Nodes numbered along heavy paths.

    Parameters
    ----------
    groups : list of lists of int
        Strongly connected components, each after those it reaches.
    below : list of lists of int
        For each component, the components that contain keys of its members.
    order : list of int
        The nodes in the order in which they are numbered, component by component.
    """

    groups: list[list[int]]
    below: list[list[int]]
    order: list[int]


def find_paths(keys: Sequence[Sequence[int]], roots: Iterable[int]) -> Paths:
    """Number what ``roots`` reach along heavy paths."""
    groups = components(keys, roots)
    below = _condensation(groups, keys)
    return Paths(groups, below, [member for number in _heavy_paths(groups, below) for member in groups[number]])


def find_contexts(paths: Paths) -> list[Bounds]:
    """Return the bounds of everything that each node reaches, itself included, in the order of the numbering.

    Examples
    --------
    >>> find_contexts(find_paths([[], [0], [1]], [2]))
    [(0, 1), (0, 2), (0, 3)]
    """
    number = {node: index for index, node in enumerate(paths.order)}
    spans = [(number[group[0]], number[group[0]] + len(group)) for group in paths.groups]
    contexts: list[Bounds] = [()] * len(paths.order)
    for (start, end), bounds in zip(spans, _down_sets(spans, paths.below), strict=True):
        contexts[start:end] = [bounds] * (end - start)
    return contexts
