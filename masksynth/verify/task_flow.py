"""The live nodes of all tasks with their literal or closed rows, and what each node can see at any depth."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from masksynth.mask import Mask
from masksynth.tasks.instance import TaskFamily
from masksynth.tasks.task import Task
from masksynth.verify.path_numbering import Bounds, find_contexts, find_paths
from masksynth.verify.ragged import Rows, build_mask, coalesce_pairs


class TaskFlow(NamedTuple):
    """The live nodes of one task.

    Parameters
    ----------
    names : tuple of str
        Node names by number.
    number : dict
        Node name -> number.
    context : list of Bounds
        What each node can see at any depth, itself included; empty where it is not needed (literal rows, nothing
        hidden).
    """

    names: tuple[str, ...]
    number: dict[str, int]
    context: list[Bounds]


def task_flow(task: Task) -> TaskFlow:
    """Return the live nodes of a task, those that a prediction depends on through any table, and their contexts.

    Examples
    --------
    >>> from masksynth.tasks import Node, Prediction
    >>> nodes = [Node(name, name, position) for position, name in enumerate("abc")]
    >>> task_flow(Task("t", nodes, {"b": ["a"], "c": ["b"]}, [Prediction("b", "c")], closure=True))
    TaskFlow(names=('a', 'b'), number={'a': 0, 'b': 1}, context=[(0, 1), (0, 2)])
    """
    index = {node.name: number for number, node in enumerate(task.nodes)}
    keys = [[index[key] for table in task.attends for key in table.get(node.name, ())] for node in task.nodes]
    paths = find_paths(keys, [index[prediction.node] for prediction in task.predict])
    names = tuple(task.nodes[member].name for member in paths.order)
    needs_contexts = task.closure or any(prediction.hides for prediction in task.predict)
    contexts: list[Bounds] = find_contexts(paths) if needs_contexts else [()] * len(names)
    return TaskFlow(names, {name: number for number, name in enumerate(names)}, contexts)


@dataclass(frozen=True)
class Flow:
    """All live nodes of a family, task by task.

    Parameters
    ----------
    tasks : tuple of (Task, TaskFlow)
    first : list of int
        Number of each task's first node; one more entry for the end.
    rows : Mask
        Row tables over the V live nodes; closed where the task has ``closure``.
    """

    tasks: tuple[tuple[Task, TaskFlow], ...]
    first: list[int]
    rows: Mask

    def find_node(self, number: int) -> tuple[int, str]:
        """Return the index of the task and the name of a node."""
        task = bisect_right(self.first, number) - 1
        return task, self.tasks[task][1].names[number - self.first[task]]


def family_flow(family: TaskFamily) -> Flow:
    """Return the live nodes of all tasks of a family, numbered task by task, with their rows."""
    tasks = tuple((task, task_flow(task)) for task in family.tasks)
    first = [0]
    for _, flow in tasks:
        first.append(first[-1] + len(flow.names))
    tables = [
        _concatenate(
            [_task_rows(task, flow, table, number) for (task, flow), number in zip(tasks, first, strict=False)]
        )
        for table in range(family.tables)
    ]
    return Flow(tasks, first, build_mask(tables, first[-1]))


def _task_rows(task: Task, flow: TaskFlow, table: int, first: int) -> Rows:
    """Return the rows of one table of a task, its nodes numbered from ``first``."""
    if task.closure:
        query = np.repeat(np.arange(len(flow.names)), [len(bounds) // 2 for bounds in flow.context])
        bounds = np.fromiter(chain.from_iterable(flow.context), np.int64)
        return query + first, bounds[::2] + first, bounds[1::2] + first
    keys = [[flow.number[key] for key in task.attends[table].get(name, ())] for name in flow.names]
    query = np.repeat(np.arange(len(keys)), [len(row) for row in keys])
    # A pair is the integer query * nodes + key; sorted, the keys of each query are in order.
    pairs = np.sort(query * len(keys) + np.fromiter(chain.from_iterable(keys), np.int64, len(query)))
    query, start, end = coalesce_pairs(*np.divmod(pairs, max(len(keys), 1)))
    return query + first, start + first, end + first


def _concatenate(parts: list[Rows]) -> Rows:
    """Return the rows of all parts, in order."""
    empty = np.zeros(0, np.int64)
    query, start, end = (np.concatenate([empty, *(part[column] for part in parts)]) for column in range(3))
    return query, start, end
