"""The tasks as they are: live nodes side by side, literal or closed rows as intervals, and what each node can see at any depth.

A set of numbers is written as its *bounds* ``(s0, e0, s1, e1, ...)``, the ends of its maximal runs ``s <= x < e`` in ascending order.
Nodes are numbered along chains of the flow: a down-set meets a chain in a prefix, so its bounds are as short as the chains it meets are
few. Chains are the heavy paths of the forest "query -> its highest key" (Sleator & Tarjan 1983): on trees, log2(n) chains at most.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask
from masksynth.tasks.model import Task, TaskFamily

Bounds = tuple[int, ...]
Integers = NDArray[np.int64]


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
    return [sorted({home[key] for member in group for key in keys[member]} - {number}) for number, group in enumerate(groups)]


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


class TaskFlow(NamedTuple):
    """The live nodes of one task.

    Parameters
    ----------
    names : tuple of str
        Node names by number.
    number : dict
        Node name -> number.
    context : list of Bounds
        What each node can see at any depth, itself included; empty where nobody asks (literal rows, nothing hidden).
    """

    names: tuple[str, ...]
    number: dict[str, int]
    context: list[Bounds]


def task_flow(task: Task) -> TaskFlow:
    """List the live nodes of a task, those that a prediction depends on through any of its tables, and find what they see.

    Examples
    --------
    >>> from masksynth.tasks import Node, Prediction
    >>> nodes = [Node(name, name, place) for place, name in enumerate("abc")]
    >>> task_flow(Task("t", nodes, {"b": ["a"], "c": ["b"]}, [Prediction("b", "c")], closure=True))
    TaskFlow(names=('a', 'b'), number={'a': 0, 'b': 1}, context=[(0, 1), (0, 2)])
    """
    place = {node.name: number for number, node in enumerate(task.nodes)}
    keys = [[place[key] for table in task.attends for key in table.get(node.name, ())] for node in task.nodes]
    groups = components(keys, [place[prediction.node] for prediction in task.predict])
    below = _below(groups, keys)
    order = _heavy_paths(groups, below)
    names = tuple(task.nodes[member].name for number in order for member in groups[number])
    number = {name: at for at, name in enumerate(names)}
    context: list[Bounds] = [()] * len(names)
    if task.closure or any(prediction.hides for prediction in task.predict):
        first = [number[task.nodes[group[0]].name] for group in groups]
        spans = [(start, start + len(group)) for start, group in zip(first, groups, strict=True)]
        for (start, end), bounds in zip(spans, _down_sets(spans, below), strict=True):
            context[start:end] = [bounds] * (end - start)
    return TaskFlow(names, number, context)


@dataclass(frozen=True)
class Flow:
    """All live nodes of a family side by side, tasks in order.

    Parameters
    ----------
    tasks : tuple of (Task, TaskFlow)
    first : list of int
        Number of each task's first node; one more entry for the end.
    rows : Mask
        Row tables over the V live nodes; closed where the task is.
    """

    tasks: tuple[tuple[Task, TaskFlow], ...]
    first: list[int]
    rows: Mask

    def where(self, number: int) -> tuple[int, str]:
        """Find the task (its number) and the name of a node."""
        task = bisect_right(self.first, number) - 1
        return task, self.tasks[task][1].names[number - self.first[task]]


def family_flow(family: TaskFamily) -> Flow:
    """Put the flow of every task of a family side by side."""
    tasks = tuple((task, task_flow(task)) for task in family.tasks)
    first = [0]
    for _, flow in tasks:
        first.append(first[-1] + len(flow.names))
    tables = [
        _assemble([_runs(task, flow, table, at) for (task, flow), at in zip(tasks, first, strict=False)]) for table in range(family.tables)
    ]
    return Flow(tasks, first, _mask(tables, first[-1]))


def _runs(task: Task, flow: TaskFlow, table: int, first: int) -> Integers:
    """Write the rows of one task as (query, start, end), counted from ``first``."""
    if task.closure:
        query = np.repeat(np.arange(len(flow.names)), [len(bounds) // 2 for bounds in flow.context])
        ends = np.fromiter(chain.from_iterable(flow.context), np.int64)
        return np.column_stack([query, ends[::2], ends[1::2]]) + first
    rows = [[flow.number[key] for key in task.attends[table].get(name, ())] for name in flow.names]
    query = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    pairs = np.sort(query * len(rows) + np.fromiter(chain.from_iterable(rows), np.int64, len(query)))
    query, key = np.divmod(pairs, max(len(rows), 1))
    begins = np.ones(len(pairs), bool)
    begins[1:] = (np.diff(query) != 0) | (np.diff(key) != 1)
    ends = np.append(np.flatnonzero(begins), len(pairs))[1:] - 1
    return np.column_stack([query[begins], key[begins], key[ends] + 1]) + first


def _assemble(parts: list[Integers]) -> Integers:
    return np.concatenate(parts) if parts else np.zeros((0, 3), np.int64)


def _mask(tables: list[Integers], size: int) -> Mask:
    """Row tables given as (query, start, end), sorted, as one Mask."""
    offset = np.zeros((len(tables), size + 1), np.int64)
    done = 0
    for table, runs in enumerate(tables):
        offset[table, 0] = done
        offset[table, 1:] = done + np.bincount(runs[:, 0], minlength=size).cumsum()
        done += len(runs)
    runs = _assemble(tables)
    return Mask(offset, runs[:, 1].astype(np.int32), runs[:, 2].astype(np.int32))
