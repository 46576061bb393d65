"""Leaks: what a prediction hides must not flow into it, judged in each task over its own rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from masksynth.errors import WrongAnswer
from masksynth.tasks.canonical import canonical
from masksynth.tasks.merged import Leak
from masksynth.tasks.model import Instance, Node, Task
from masksynth.verify.path_numbering import contains
from masksynth.verify.task_flow import Flow, TaskFlow, task_flow


def elements(node: Node) -> tuple[str, ...]:
    """Canonical texts of what the node's input reveals; by default the input itself.

    Examples
    --------
    >>> elements(Node("p", ("mean", "a", "c"), 1, carries=("a", "c")))
    ('"a"', '"c"')
    """
    return tuple(canonical(element) for element in ((node.input,) if node.carries is None else node.carries))


def check_leaks(flow: Flow, layers: int | None) -> None:
    """Refuse the first prediction whose context carries what it hides, with a shortest path.

    Raises
    ------
    WrongAnswer
        ``leak``: the path runs from the carrying node to the predicting one, one hop per layer.
    """
    for task, own in flow.tasks:
        for node, hidden in _shown(task, own):
            if path := _shortest_path(task, own, node, hidden, layers):
                raise WrongAnswer("leak", f"the prediction sees {hidden}, which it hides", task.name, node, path)


def _shown(task: Task, own: TaskFlow) -> Iterator[tuple[str, str]]:
    """(node, element) for each element hidden by a node and carried somewhere in its context at any depth."""
    asked = dict.fromkeys((p.node, canonical(element)) for p in task.predict for element in p.hides)
    if not asked:
        return
    wanted = {element for _, element in asked}
    carriers: dict[str, list[int]] = {}
    for number, name in enumerate(own.names):
        for element in wanted.intersection(elements(task.nodes[task.index[name]])):
            carriers.setdefault(element, []).append(number)
    for node, element in asked:
        bounds, found = own.context[own.number[node]], carriers.get(element, [])
        for start, end in zip(bounds[::2], bounds[1::2], strict=True):
            at = bisect_left(found, start)
            if at < len(found) and found[at] < end:
                yield node, element
                break


class _Steps(NamedTuple):
    """Which keys a query reads at a layer; residual waiting is understood."""

    task: Task
    own: TaskFlow

    def keys(self, name: str, table: int | None) -> list[str]:
        """Keys of a node in one table, or in all of them."""
        if self.task.closure:
            bounds = self.own.context[self.own.number[name]]
            return [
                key for start, end in zip(bounds[::2], bounds[1::2], strict=True) for key in self.own.names[start:end]
            ]
        tables = self.task.attends if table is None else self.task.attends[table : table + 1]
        return [key for rows in tables for key in rows.get(name, ())]


def _shortest_path(task: Task, own: TaskFlow, node: str, hidden: str, layers: int | None) -> tuple[str, ...]:
    """Find a path with the fewest hops from a carrier to ``node`` within the layers, breadth first downwards; empty if there is none."""
    steps, period = _Steps(task, own), len(task.attends)
    above: dict[str, str] = {node: ""}
    carrier = {name for name in own.names if hidden in elements(task.nodes[task.index[name]])}
    used = quiet = 0
    fresh = {node}
    while not (fresh & carrier):
        if (layers is not None and used == layers) or quiet == period:
            return ()
        table = None if layers is None else (layers - used - 1) % period
        reading = sorted(fresh if period == 1 or layers is None else above)
        fresh = set()
        for query in reading:
            for key in steps.keys(query, table):
                if key not in above:
                    above[key] = query
                    fresh.add(key)
        used, quiet = used + 1, 0 if fresh else quiet + 1
    path = [min(fresh & carrier)]
    while path[-1] != node:
        path.append(above[path[-1]])
    return tuple(path)


def verify_leak(instance: Instance, leak: Leak, layers: int | None) -> None:
    """Check the witness of an infeasible instance: the hidden element really flows into the prediction.

    Parameters
    ----------
    instance : Instance
    leak : Leak
        Task, predicting node, hidden element, and a path from a carrying node to the predicting one.
    layers : int, optional
        Hops must fit into L layers, each hop in the table of its layer, waiting allowed; None: any depth.

    Raises
    ------
    WrongAnswer
        ``leak witness``: with the first thing that is not so.

    Examples
    --------
    >>> from masksynth.tasks import Prediction, TaskFamily
    >>> nodes = (Node("a", "a", 0), Node("b", "b", 1))
    >>> task = Task("t", nodes, {"a": ["b"], "b": ["b"]}, [Prediction("a", "b", hides=("b",))])
    >>> verify_leak(Instance(TaskFamily((task,)), "peek"), Leak("t", "a", "b", ("b", "a")), 1)
    >>> verify_leak(Instance(TaskFamily((task,)), "peek"), Leak("t", "a", "b", ("a",)), 1)
    Traceback (most recent call last):
    masksynth.errors.WrongAnswer: leak witness: task 't' node 'a': the path begins at a node that does not carry "b"; path a
    """
    task = next((task for task in instance.family.tasks if task.name == leak.task), None)
    if task is None:
        raise WrongAnswer("leak witness", "there is no such task", str(leak.task), str(leak.node))
    path = tuple(leak.path)

    def wrong(fact: str) -> WrongAnswer:
        return WrongAnswer("leak witness", fact, task.name, str(leak.node), tuple(map(str, path)))

    hidden = canonical(leak.hides)
    if not any(p.node == leak.node and hidden in map(canonical, p.hides) for p in task.predict):
        raise wrong(f"no prediction of this node hides {hidden}")
    if not path or path[-1] != leak.node:
        raise wrong("the path does not end at the predicting node")
    if unknown := next((name for name in path if name not in task.index), None):
        raise wrong(f"there is no node {unknown!r}")
    if hidden not in elements(task.nodes[task.index[path[0]]]):
        raise wrong(f"the path begins at a node that does not carry {hidden}")
    if (stop := _first_impossible_hop(task, path, layers)) is not None:
        within = "" if layers is None else f" within {layers} layers"
        raise wrong(f"{path[stop + 1]!r} does not attend to {path[stop]!r} in layer order{within}")


def _first_impossible_hop(task: Task, path: tuple[str, ...], layers: int | None) -> int | None:
    """Take every hop at the earliest layer that allows it; the number of the first hop that no layer is left for."""
    own, used, period = task_flow(task), 0, len(task.attends)
    for hop, (key, query) in enumerate(pairwise(path)):
        if task.closure:
            tables = (
                [0]
                if key in own.number
                and query in own.number
                and contains(own.context[own.number[query]], own.number[key])
                else []
            )
        else:
            tables = [table for table in range(period) if key == query or key in task.attends[table].get(query, ())]
        waits = [(table - used) % period for table in tables]
        if not waits or (layers is not None and used + min(waits) + 1 > layers):
            return hop
        used += min(waits) + 1
    return None
