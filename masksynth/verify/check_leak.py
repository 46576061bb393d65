"""Leaks: what a prediction hides must not flow into it, checked in each task on its own rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.tasks.canonical import canonical, canonical_texts
from masksynth.tasks.instance import Instance
from masksynth.tasks.merged import Leak
from masksynth.tasks.task import Node, Task
from masksynth.verify.bit_sets import unite_bits
from masksynth.verify.interval_sets import Lists
from masksynth.verify.path_numbering import contains
from masksynth.verify.ragged import prefix_sums
from masksynth.verify.task_flow import Flow, TaskFlow, task_flow


def elements(node: Node) -> tuple[str, ...]:
    """Return the canonical texts of what the node's input reveals; by default the input itself.

    Examples
    --------
    >>> elements(Node("p", ("mean", "a", "c"), 1, carries=("a", "c")))
    ('"a"', '"c"')
    """
    return tuple(canonical(element) for element in ((node.input,) if node.carries is None else node.carries))


def check_leaks(flow: Flow, layers: int | None) -> None:
    """Raise at the first prediction whose context carries what it hides, with a shortest path.

    Raises
    ------
    WrongAnswer
        ``leak``: the path leads from the carrying node to the predicting one, one hop per layer.
    """
    for task, flow_of_task in flow.tasks:
        pairs = _leaking_pairs(task, flow_of_task)
        if layers is not None and not task.closure:
            pairs = _arriving_pairs(task, flow_of_task, list(pairs), layers)
        for node, hidden in pairs:
            if path := _shortest_path(task, flow_of_task, node, hidden, layers):
                raise WrongAnswer("leak", f"the prediction sees {hidden}, which it hides", task.name, node, path)


def _leaking_pairs(task: Task, flow: TaskFlow) -> Iterator[tuple[str, str]]:
    """Yield (node, element) for each element that a node hides and its context, at any depth, carries."""
    pairs = dict.fromkeys((p.node, canonical(element)) for p in task.predict for element in p.hides)
    if not pairs:
        return
    hidden = {element for _, element in pairs}
    carried = [task.nodes[task.index[name]] for name in flow.names]
    values = [(node.input,) if node.carries is None else node.carries for node in carried]
    texts = iter(canonical_texts([value for row in values for value in row]))
    carriers: dict[str, list[int]] = {}  # in increasing order
    for number, row in enumerate(values):
        for element in hidden.intersection(islice(texts, len(row))):
            carriers.setdefault(element, []).append(number)
    for node, element in pairs:
        bounds, nodes = flow.context[flow.number[node]], carriers.get(element, [])
        for start, end in zip(bounds[::2], bounds[1::2], strict=True):
            index = bisect_left(nodes, start)
            if index < len(nodes) and nodes[index] < end:
                yield node, element
                break


def _arriving_pairs(task: Task, flow: TaskFlow, pairs: list[tuple[str, str]], layers: int) -> Iterator[tuple[str, str]]:
    """Yield those of some (node, element) pairs whose element arrives at the node within the layers.

    States are rows of bits, one for each element, and go through the layers for all nodes at once.
    """
    if not pairs:
        return
    number = {element: bit for bit, element in enumerate(dict.fromkeys(element for _, element in pairs))}
    state = np.zeros((len(flow.names), -(-len(number) // 64)), np.uint64)
    for row, name in enumerate(flow.names):
        for bit in [number[element] for element in elements(task.nodes[task.index[name]]) if element in number]:
            state[row, bit // 64] |= np.uint64(1 << bit % 64)
    tables = [_read_rows(rows, flow) for rows in task.attends]
    unchanged = 0
    for layer in range(layers):
        following = unite_bits(tables[layer % len(tables)], state)
        unchanged = unchanged + 1 if np.array_equal(following, state) else 0
        state = following
        if unchanged == len(tables):
            break
    for node, element in pairs:
        if state[flow.number[node], number[element] // 64] >> np.uint64(number[element] % 64) & np.uint64(1):
            yield node, element


def _read_rows(rows: Mapping[str, Sequence[str]], flow: TaskFlow) -> Lists:
    """Return what each live node reads in one table, itself included: it keeps what it has."""
    listed = [[row, *(flow.number[key] for key in rows.get(name, ()))] for row, name in enumerate(flow.names)]
    length = np.fromiter(map(len, listed), np.int64, len(listed))
    return Lists(prefix_sums(length), np.fromiter(chain.from_iterable(listed), np.int32, int(length.sum())))


def _keys_of(task: Task, flow: TaskFlow, name: str, table: int | None) -> list[str]:
    """Return the keys of a node in one table, or in all tables; that a node keeps what it has is not listed."""
    if task.closure:
        bounds = flow.context[flow.number[name]]
        return [key for start, end in zip(bounds[::2], bounds[1::2], strict=True) for key in flow.names[start:end]]
    tables = task.attends if table is None else task.attends[table : table + 1]
    return [key for rows in tables for key in rows.get(name, ())]


def _shortest_path(task: Task, flow: TaskFlow, node: str, hidden: str, layers: int | None) -> tuple[str, ...]:
    """Return a path with the fewest hops, at most ``layers``, from a carrier of ``hidden`` to ``node``; empty if none.

    The search is breadth-first, from the predicting node downwards, last layer first.
    """
    period = len(task.attends)
    next_on_path: dict[str, str] = {node: ""}
    carriers = {name for name in flow.names if hidden in elements(task.nodes[task.index[name]])}
    used = unchanged = 0
    new = {node}
    while not (new & carriers):
        if (layers is not None and used == layers) or unchanged == period:
            return ()
        table = None if layers is None else (layers - used - 1) % period
        reading = sorted(new if period == 1 or layers is None else next_on_path)
        new = set()
        for query in reading:
            for key in _keys_of(task, flow, query, table):
                if key not in next_on_path:
                    next_on_path[key] = query
                    new.add(key)
        used, unchanged = used + 1, 0 if new else unchanged + 1
    path = [min(new & carriers)]
    while path[-1] != node:
        path.append(next_on_path[path[-1]])
    return tuple(path)


def verify_leak(instance: Instance, leak: Leak, layers: int | None) -> None:
    """Check the witness of an infeasible instance: the hidden element flows into the prediction.

    Parameters
    ----------
    instance : Instance
    leak : Leak
        Task, predicting node, hidden element, and a path from a carrying node to the predicting one.
    layers : int, optional
        Each hop takes one layer, in that layer's table, and layers may be skipped; all must fit into L layers. None:
        any depth.

    Raises
    ------
    WrongAnswer
        ``leak witness``: with the first condition that does not hold.

    Examples
    --------
    >>> from masksynth.tasks import Prediction, TaskFamily
    >>> nodes = (Node("a", "a", 0), Node("b", "b", 1))
    >>> task = Task("t", nodes, {"a": ["b"], "b": ["b"]}, [Prediction("a", "b", hides=("b",))])
    >>> verify_leak(Instance(TaskFamily((task,)), "peek"), Leak("t", "a", "b", ("b", "a")), 1)
    >>> verify_leak(Instance(TaskFamily((task,)), "peek"), Leak("t", "a", "b", ("a",)), 1)
    Traceback (most recent call last):
    masksynth.errors.WrongAnswer: leak witness: task 't' node 'a': the path begins at a node that does not carry "b";
    path a
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
    if (hop := _first_impossible_hop(task, path, layers)) is not None:
        within = "" if layers is None else f" within {layers} layers"
        raise wrong(f"{path[hop + 1]!r} does not attend to {path[hop]!r} in layer order{within}")


def _first_impossible_hop(task: Task, path: tuple[str, ...], layers: int | None) -> int | None:
    """Return the first hop for which no layer is left, taking each hop at the earliest layer; None if all fit."""
    flow, used, period = task_flow(task), 0, len(task.attends)
    for hop, (key, query) in enumerate(pairwise(path)):
        if task.closure:
            are_live = key in flow.number and query in flow.number
            is_hop = are_live and contains(flow.context[flow.number[query]], flow.number[key])
            tables = [0] if is_hop else []
        else:
            tables = [table for table in range(period) if key == query or key in task.attends[table].get(query, ())]
        waits = [(table - used) % period for table in tables]
        if not waits or (layers is not None and used + min(waits) + 1 > layers):
            return hop
        used += min(waits) + 1
    return None
