"""The tasks as they are: live nodes side by side, literal or closed rows as intervals, and what each node can see at any depth."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask
from masksynth.tasks.model import Task, TaskFamily
from masksynth.verify.path_numbering import Bounds, contexts, paths

Integers = NDArray[np.int64]


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
    walk = paths(keys, [place[prediction.node] for prediction in task.predict])
    names = tuple(task.nodes[member].name for member in walk.order)
    number = {name: at for at, name in enumerate(names)}
    asked = task.closure or any(prediction.hides for prediction in task.predict)
    return TaskFlow(names, number, contexts(walk) if asked else [()] * len(names))


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
        _assemble([_runs(task, flow, table, at) for (task, flow), at in zip(tasks, first, strict=False)])
        for table in range(family.tables)
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
