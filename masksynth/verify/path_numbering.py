"""Sets as intervals, and a numbering of nodes under which what each of them can see is few.

A set of numbers is written as its *bounds* ``(s0, e0, s1, e1, ...)``, the ends of its maximal runs ``s <= x < e`` in ascending order.
Nodes are numbered along chains of the flow: a down-set meets a chain in a prefix, so its bounds are as short as the chains it meets are
few. Chains are the heavy paths of the forest "query -> its highest key" (Sleator & Tarjan 1983): on trees, log2(n) chains at most.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

Bounds = tuple[int, ...]


def contains(bounds: Bounds, number: int) -> bool:
    """Whether a number lies in the set with these bounds.

    Examples
    --------
    >>> [contains((0, 2, 5, 6), number) for number in (1, 2, 5)]
    [True, False, True]
    """
    return bisect_right(bounds, number) % 2 == 1


def union(left: Bounds, right: Bounds) -> Bounds:
    """Bounds of the union of two sets.

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
    """Strongly connected components of what ``roots`` can reach, each after all the components it sees (Tarjan 1972).

    Examples
    --------
    >>> components([[0], [0, 2], [1], [2]], [2])
    [[0], [1, 2]]
    """
    opened: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    found: list[list[int]] = []
    closed = len(keys) + 1
    for root in roots:
        todo: list[tuple[int, Iterator[int]]] = [] if root in opened else [(root, iter(keys[root]))]
        while todo:
            node, rest = todo[-1]
            if node not in opened:
                opened[node] = low[node] = len(opened)
                stack.append(node)
            for key in rest:
                if key not in opened:
                    todo.append((key, iter(keys[key])))
                    break
                low[node] = min(low[node], low[key])
            else:
                todo.pop()
                if low[node] == opened[node]:
                    found.append(_cut(stack, node))
                    low.update(dict.fromkeys(found[-1], closed))
                if todo:
                    low[todo[-1][0]] = min(low[todo[-1][0]], low[node])
    return found


def _cut(stack: list[int], node: int) -> list[int]:
    """Take everything from ``node`` upwards off the stack."""
    members = [stack.pop()]
    while members[-1] != node:
        members.append(stack.pop())
    return sorted(members)


def _below(groups: list[list[int]], keys: Sequence[Sequence[int]]) -> list[list[int]]:
    """For each component, the other components that its members see at one hop."""
    home = {member: number for number, group in enumerate(groups) for member in group}
    return [
        sorted({home[key] for member in group for key in keys[member]} - {number})
        for number, group in enumerate(groups)
    ]


def _heavy_paths(groups: list[list[int]], below: list[list[int]]) -> list[int]:
    """Components path after path, each path upwards without a gap in the forest "component -> its highest key"."""
    height: list[int] = []
    parent: list[int] = []
    for seen in below:
        parent.append(max(seen, key=height.__getitem__, default=-1))
        height.append(height[parent[-1]] + 1 if seen else 0)
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
    """Bounds of everything each component reaches, itself included; components come after what they see."""
    found: list[Bounds] = []
    for span, seen in zip(spans, below, strict=True):
        row: Bounds = ()
        for key in reversed(seen):
            if not contains(row, spans[key][0]):
                row = union(row, found[key])
        found.append(union(row, span))
    return found


class Paths(NamedTuple):
    """Nodes along the heavy paths of their flow.

    Parameters
    ----------
    groups, below : list of lists
        Strongly connected components, each after those it sees, and which those are.
    order : list of int
        The nodes, component by component, in the order in which they are numbered.
    """

    groups: list[list[int]]
    below: list[list[int]]
    order: list[int]


def paths(keys: Sequence[Sequence[int]], roots: Iterable[int]) -> Paths:
    """Number what ``roots`` can reach along heavy paths."""
    groups = components(keys, roots)
    below = _below(groups, keys)
    return Paths(groups, below, [member for number in _heavy_paths(groups, below) for member in groups[number]])


def contexts(walk: Paths) -> list[Bounds]:
    """Bounds of everything that each node reaches, itself included, in the order of the nodes.

    Examples
    --------
    >>> contexts(paths([[], [0], [1]], [2]))
    [(0, 1), (0, 2), (0, 3)]
    """
    number = {node: at for at, node in enumerate(walk.order)}
    spans = [(number[group[0]], number[group[0]] + len(group)) for group in walk.groups]
    found: list[Bounds] = [()] * len(walk.order)
    for (start, end), bounds in zip(spans, _down_sets(spans, walk.below), strict=True):
        found[start:end] = [bounds] * (end - start)
    return found
