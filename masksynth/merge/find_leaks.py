"""Leaks: a prediction whose context carries an element that it hides, judged in each task by the task's own flow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from masksynth.collector import paused_collector
from masksynth.errors import check_type
from masksynth.mask.csr import indptr
from masksynth.posets import components
from masksynth.tasks import Leak, Task, TaskFamily
from masksynth.tasks.canonical import canonical


@paused_collector()
def find_leak(family: TaskFamily, layers: int | None = None) -> Leak | None:
    """Return the first leak in the order of tasks and predictions, None if there is none.

    Parameters
    ----------
    family : TaskFamily
    layers : int, optional
        Count only paths through L layers: at most L hops, hop i through the table of its layer; a position may also
        keep its value for a layer (residual connection) [default: paths of any length].

    Returns
    -------
    Leak or None
        Its path is a shortest one, from a carrying node to the predicting node.

    Examples
    --------
    >>> from masksynth.tasks import Node, Prediction, Task
    >>> nodes, hides = [Node("a", "x", 0), Node("b", "y", 1)], ["x"]
    >>> task = Task("t", nodes, {"b": ["a"]}, [Prediction("b", "x", hides=hides)], closure=True)
    >>> find_leak(TaskFamily((task,)))
    Leak(task='t', node='b', hides='x', path=('a', 'b'))
    """
    check_type(family, TaskFamily)
    for task in family.tasks:
        for leak in _iterate_leaks(task, layers):
            return leak
    return None


def _iterate_leaks(task: Task, layers: int | None) -> Iterator[Leak]:
    hidden = {canonical(element) for prediction in task.predict for element in prediction.hides}
    carriers: dict[str, list[int]] = {}  # nodes whose input contains a hidden element
    for number, node in enumerate(task.nodes):
        for text in node.elements:
            if text in hidden:
                carriers.setdefault(text, []).append(number)
    if not carriers:
        return
    reachability = _Reachability(task)
    for prediction in task.predict:
        reader = task.index[prediction.node]
        for element in prediction.hides:
            reachable = {node for node in carriers.get(canonical(element), ()) if reachability.reaches(reader, node)}
            path = _shortest_path(task, reader, reachable, layers) if reachable else None
            if path:
                yield Leak(task.name, prediction.node, element, tuple(task.nodes[node].name for node in path))


class _Reachability:
    """Reachability at any depth in a task's condensation.

    Components with at most one lower component form a forest in which "depends on" is "descends from": two numbers of a
    depth-first traversal decide. Where the path down ends in a component with several lower ones, its down-set is
    computed once and cached for the next query.
    """

    def __init__(self, task: Task) -> None:
        tables = [_list_keys(task, table) for table in range(len(task.attends))]
        keys = [[key for row in rows for key in row] for rows in zip(*tables, strict=True)]
        flat_keys = np.array([key for row in keys for key in row], np.int64)
        self.of: list[int] = components(indptr([len(row) for row in keys]), flat_keys).tolist()
        lower: list[set[int]] = [set() for _ in range(max(self.of, default=-1) + 1)]
        for node, row in enumerate(keys):
            lower[self.of[node]].update(self.of[key] for key in row)
        self.lower = [sorted(below - {component}) for component, below in enumerate(lower)]
        parent = [below[0] if len(below) == 1 else -1 for below in self.lower]
        self.root = list(range(len(parent)))
        for component, below in enumerate(parent):  # a component is numbered after those below it
            if below >= 0:
                self.root[component] = self.root[below]
        self.enter, self.leave = _number_forest(parent)
        self.cached: tuple[int, set[int]] = (-1, set())

    def reaches(self, reader: int, node: int) -> bool:
        """Return whether ``reader`` depends on ``node``."""
        upper, lower = self.of[reader], self.of[node]
        if self.enter[lower] <= self.enter[upper] < self.leave[lower]:
            return True
        root = self.root[upper]
        if not self.lower[root] or lower >= root:
            return False
        if self.cached[0] != root:
            self.cached = root, self._down_set(root)
        return lower in self.cached[1]

    def _down_set(self, component: int) -> set[int]:
        reached, pending = {component}, [component]
        while pending:
            for below in self.lower[pending.pop()]:
                if below not in reached:
                    reached.add(below)
                    pending.append(below)
        return reached


def _number_forest(parent: list[int]) -> tuple[list[int], list[int]]:
    """Return the numbers at which a depth-first traversal enters and leaves each node; parents have smaller indices."""
    size = [1] * len(parent)
    for node in range(len(parent) - 1, -1, -1):
        if parent[node] >= 0:
            size[parent[node]] += size[node]
    enter, next_free = [0] * len(parent), [0] * len(parent)  # next_free: the number of the next child
    next_root = 0
    for node, below in enumerate(parent):
        if below < 0:
            enter[node] = next_root
            next_root += size[node]
        else:
            enter[node] = next_free[below]
            next_free[below] += size[node]
        next_free[node] = enter[node] + 1
    return enter, [start + count for start, count in zip(enter, size, strict=True)]


def _list_keys(task: Task, table: int) -> list[list[int]]:
    """Return the keys of each node in one table."""
    rows = task.attends[table]
    return [[task.index[key] for key in rows.get(node.name, ())] for node in task.nodes]


def _shortest_path(task: Task, reader: int, sources: set[int], layers: int | None) -> list[int] | None:
    """Return a shortest path from one of ``sources`` to ``reader``; a closed task needs one hop."""
    if reader in sources:
        return [reader]
    if layers is not None and not task.closure:
        return _shortest_layered_path(task, reader, sources, layers)
    next_node = {reader: reader}  # the next node on the way to the reader
    queue = deque([reader])
    while queue:
        node = queue.popleft()
        for table in task.attends:
            for name in table.get(task.nodes[node].name, ()):
                key = task.index[name]
                if key not in next_node:
                    next_node[key] = node
                    if key in sources:
                        return [key, reader] if task.closure else _follow(key, next_node, reader)
                    queue.append(key)
    return None


def _follow(node: int, next_node: dict[int, int], reader: int) -> list[int]:
    path = [node]
    while path[-1] != reader:
        path.append(next_node[path[-1]])
    return path


def _shortest_layered_path(task: Task, reader: int, sources: set[int], layers: int) -> list[int] | None:
    """Return a path of fewest hops through L layers; ``best`` has the shortest path from each node so far."""
    best: dict[int, tuple[int, ...]] = {reader: (reader,)}
    pattern = len(task.attends)
    idle = 0  # layers in a row without a shorter path
    for layer in range(layers, 0, -1):
        rows = task.attends[(layer - 1) % pattern]
        shorter: dict[int, tuple[int, ...]] = {}
        for node, path in best.items():
            for name in rows.get(task.nodes[node].name, ()):
                key = task.index[name]
                known = shorter.get(key) or best.get(key)
                if known is None or len(path) + 1 < len(known):
                    shorter[key] = (key, *path)
        idle = 0 if shorter else idle + 1
        best |= shorter
        if idle >= pattern:
            break
    paths = sorted((len(best[node]), best[node]) for node in sources if node in best)
    return list(paths[0][1]) if paths else None
