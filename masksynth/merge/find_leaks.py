"""Leaks: a prediction whose context carries an element that it hides, judged in each task over its own flow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from masksynth.posets import components
from masksynth.tasks import Leak, Task, TaskFamily
from masksynth.tasks.canonical import canonical


def find_leak(family: TaskFamily, layers: int | None = None) -> Leak | None:
    """The first leak in task and prediction order, or None.

    With ``layers`` = L only paths of at most L hops count, hop by hop through the layer pattern, waiting allowed (the residual connection).

    Returns
    -------
    Leak or None
        Its path is a shortest one, from a carrying node to the predicting node.

    Examples
    --------
    >>> from masksynth.tasks import Node, Prediction, Task
    >>> task = Task("t", [Node("a", "x", 0), Node("b", "y", 1)], {"b": ["a"]}, [Prediction("b", "x", hides=["x"])], closure=True)
    >>> find_leak(TaskFamily((task,)))
    Leak(task='t', node='b', hides='x', path=('a', 'b'))
    """
    for task in family.tasks:
        for leak in _leaks(task, layers):
            return leak
    return None


def _leaks(task: Task, layers: int | None) -> Iterator[Leak]:
    hidden = {canonical(element) for prediction in task.predict for element in prediction.hides}
    carriers: dict[str, list[int]] = {}
    for number, node in enumerate(task.nodes):
        for text in node.elements:
            if text in hidden:
                carriers.setdefault(text, []).append(number)
    if not carriers:
        return
    flow = _Flow(task)
    for prediction in task.predict:
        reader = task.index[prediction.node]
        for element in prediction.hides:
            suspects = {node for node in carriers.get(canonical(element), ()) if flow.reaches(reader, node)}
            path = _shortest_path(task, reader, suspects, layers) if suspects else None
            if path:
                yield Leak(task.name, prediction.node, element, tuple(task.nodes[node].name for node in path))


class _Flow:
    """Who depends on whom at any depth, in a task's condensation.

    Components with at most one lower component form a forest, in which "below" is "ancestor": two numbers of a depth-first walk decide.
    Where the way down ends in a component with several lower ones, its down-set is searched once and kept for the next question.
    """

    def __init__(self, task: Task) -> None:
        tables = [_adjacency(task, table) for table in range(len(task.attends))]
        keys = [[key for row in rows for key in row] for rows in zip(*tables, strict=True)]
        offset = np.zeros(len(keys) + 1, np.int64)
        np.cumsum([len(row) for row in keys], out=offset[1:])
        self.of: list[int] = components(offset, np.array([key for row in keys for key in row], np.int64)).tolist()
        lower: list[set[int]] = [set() for _ in range(max(self.of, default=-1) + 1)]
        for node, row in enumerate(keys):
            lower[self.of[node]].update(self.of[key] for key in row)
        self.lower = [sorted(below - {number}) for number, below in enumerate(lower)]
        parent = [below[0] if len(below) == 1 else -1 for below in self.lower]
        self.root = list(range(len(parent)))
        size = [1] * len(parent)
        for number, below in enumerate(parent):
            if below >= 0:
                self.root[number] = self.root[below]
        for number in range(len(parent) - 1, -1, -1):
            if parent[number] >= 0:
                size[parent[number]] += size[number]
        self.opens, free = [0] * len(parent), [0] * len(parent)
        start = 0
        for number, below in enumerate(parent):
            self.opens[number] = start if below < 0 else free[below]
            start += size[number] if below < 0 else 0
            if below >= 0:
                free[below] += size[number]
            free[number] = self.opens[number] + 1
        self.closes = [opened + count for opened, count in zip(self.opens, size, strict=True)]
        self.known: tuple[int, set[int]] = (-1, set())

    def reaches(self, reader: int, node: int) -> bool:
        """Whether ``reader`` depends on ``node``."""
        upper, lower = self.of[reader], self.of[node]
        if self.opens[lower] <= self.opens[upper] < self.closes[lower]:
            return True
        root = self.root[upper]
        if not self.lower[root] or lower >= root:
            return False
        if self.known[0] != root:
            self.known = root, self._down_set(root)
        return lower in self.known[1]

    def _down_set(self, component: int) -> set[int]:
        found, todo = {component}, [component]
        while todo:
            for below in self.lower[todo.pop()]:
                if below not in found:
                    found.add(below)
                    todo.append(below)
        return found


def _adjacency(task: Task, table: int) -> list[list[int]]:
    rows = task.attends[table]
    return [[task.index[key] for key in rows.get(node.name, ())] for node in task.nodes]


def _shortest_path(task: Task, reader: int, suspects: set[int], layers: int | None) -> list[int] | None:
    """A shortest path from one of ``suspects`` to ``reader``; one hop in a closed task, whose rows hold all that is reachable."""
    if reader in suspects:
        return [reader]
    if layers is not None and not task.closure:
        return _layered_path(task, reader, suspects, layers)
    toward = {reader: reader}
    todo = deque([reader])
    while todo:
        node = todo.popleft()
        for table in task.attends:
            for name in table.get(task.nodes[node].name, ()):
                key = task.index[name]
                if key not in toward:
                    toward[key] = node
                    if key in suspects:
                        return [key, reader] if task.closure else _unwound(key, toward, reader)
                    todo.append(key)
    return None


def _unwound(node: int, toward: dict[int, int], reader: int) -> list[int]:
    path = [node]
    while path[-1] != reader:
        path.append(toward[path[-1]])
    return path


def _layered_path(task: Task, reader: int, suspects: set[int], layers: int) -> list[int] | None:
    """Fewest hops within L layers: from the top layer down, each node keeps its fewest hops so far and the node above it."""
    best: dict[int, tuple[int, ...]] = {reader: (reader,)}
    pattern = len(task.attends)
    idle = 0
    for layer in range(layers, 0, -1):
        rows = task.attends[(layer - 1) % pattern]
        found: dict[int, tuple[int, ...]] = {}
        for node, path in best.items():
            for name in rows.get(task.nodes[node].name, ()):
                key = task.index[name]
                known = found.get(key) or best.get(key)
                if known is None or len(path) + 1 < len(known):
                    found[key] = (key, *path)
        idle = 0 if found else idle + 1
        best |= found
        if idle >= pattern:
            break
    hits = sorted((len(best[node]), best[node]) for node in suspects if node in best)
    return list(hits[0][1]) if hits else None
