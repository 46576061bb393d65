"""Requirements at every depth: the right instance, complete and in order, with the right identities and labels."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.tasks.canonical import canonical, canonical_texts, frozen
from masksynth.tasks.instance import TaskFamily, batch_tasks
from masksynth.tasks.merged import LossEdge, MergedTask, Position, Question
from masksynth.tasks.task import Node, Task
from masksynth.verify.task_flow import Flow

Identity = tuple[str, int, str]


def instance_hash(family: TaskFamily) -> str:
    """Return the SHA-256 (hex) of the sorted-key JSON of the tasks with every default filled in.

    Examples
    --------
    >>> instance_hash(TaskFamily(()))[:16]
    '4f53cda18c2baa0c'
    """
    texts = [text for batch in batch_tasks(family.tasks) for text in _documents(batch)]
    return hashlib.sha256(f"[{','.join(texts)}]".encode()).hexdigest()


def _documents(tasks: list[Task]) -> Iterator[str]:
    """Yield each task as in an instance file, with every default filled in and its keys sorted."""
    nodes = [node for task in tasks for node in task.nodes]
    predict = [prediction for task in tasks for prediction in task.predict]
    inputs = canonical_texts([node.input for node in nodes])
    node_texts = _object_texts(
        {
            "carries": [_carried_text(node, text) for node, text in zip(nodes, inputs, strict=True)],
            "input": inputs,
            "kind": canonical_texts([node.kind for node in nodes]),
            "name": canonical_texts([node.name for node in nodes]),
            "position": [str(node.position) for node in nodes],
        }
    )
    prediction_texts = _object_texts(
        {
            "hides": [canonical(prediction.hides) if prediction.hides else "[]" for prediction in predict],
            "label": canonical_texts([prediction.label for prediction in predict]),
            "node": canonical_texts([prediction.node for prediction in predict]),
            "weight": canonical_texts([float(prediction.weight) for prediction in predict]),
        }
    )
    for task in tasks:
        attends = canonical(task.attends[0] if len(task.attends) == 1 else list(task.attends))
        listed, predicted = islice(node_texts, len(task.nodes)), islice(prediction_texts, len(task.predict))
        yield (
            f'{{"attends":{attends},"closure":{canonical(task.closure)},"name":{canonical(task.name)},'
            f'"nodes":[{",".join(listed)}],"predict":[{",".join(predicted)}]}}'
        )


def _carried_text(node: Node, text: str) -> str:
    """Return what a node carries as JSON; by default its input, which is ``text``."""
    if node.carries is None or (len(node.carries) == 1 and node.carries[0] is node.input):
        return f"[{text}]"
    return canonical(node.carries)


def _object_texts(columns: dict[str, list[str]]) -> Iterator[str]:
    """Yield JSON objects with the given fields, one text of each column."""
    template = "{" + ",".join(f'"{key}":%s' for key in columns) + "}"
    return (template % row for row in zip(*columns.values(), strict=True))


def canonical_text(value: Any, what: str) -> str:
    """Return the canonical text of an input or a label of the answer; raise WrongAnswer if it is not a JSON value."""
    try:
        return canonical(frozen(value))
    except InvalidInstance as error:
        raise WrongAnswer("shape", f"{what} is not a JSON value: {error.fact}") from None


def describe_position(position: Position) -> str:
    """Return "(input, position id, kind)" for messages."""
    value, kind = canonical_text(position.input, "an input"), canonical_text(position.kind, "a kind")
    return f"({value}, {position.position}, {kind})"


def check_problem(problem: Question, family: TaskFamily) -> None:
    """Raise WrongAnswer unless the answer is to this instance, and its parameters are valid."""
    if problem.sha256 != instance_hash(family):
        raise WrongAnswer("problem", f"the answer is to another instance (SHA-256 {problem.sha256!s:.12}...)")
    if type(problem.pattern) is not int or problem.pattern != family.tables:
        raise WrongAnswer("problem", f"expected a pattern of {family.tables} tables, got {problem.pattern!r}")
    if problem.layers is not None and (type(problem.layers) is not int or problem.layers < 1):
        raise WrongAnswer("problem", f"expected layers to be null or an integer from 1, got {problem.layers!r}")
    if type(problem.sparse) is not bool:
        raise WrongAnswer("problem", f"expected sparse to be true or false, got {problem.sparse!r}")
    literal = next((task.name for task in family.tasks if not task.closure), None)
    if problem.sparse and literal is not None:
        raise WrongAnswer("problem", "sparse needs closure, and this task has literal rows", literal)


def check_shape(merged: MergedTask, tables: int) -> list[Identity]:
    """Return (canonical input, position id, kind) of every position, after checking the mask's shape.

    Raises
    ------
    WrongAnswer
        ``shape``: unless the mask has a row for each position and ``tables`` tables, and no row is empty.
    """
    if merged.mask.size != len(merged.positions) or merged.mask.tables != tables:
        expected = f"expected {tables} mask tables over {len(merged.positions)} positions"
        raise WrongAnswer("shape", f"{expected}, got {merged.mask.tables} over {merged.mask.size}")
    for index, position in enumerate(merged.positions):
        if type(position.position) is not int or type(position.kind) is not str:
            raise WrongAnswer(
                "shape", f"position {index} has position id {position.position!r} and kind {position.kind!r}"
            )
    empty = np.argwhere(np.diff(merged.mask.row_offset, axis=1) == 0)
    if len(empty):
        table, index = empty[0].tolist()
        shown = describe_position(merged.positions[index])
        raise WrongAnswer("shape", f"the row of position {index} {shown} in table {table} is empty")
    return [(canonical_text(entry.input, "an input"), entry.position, entry.kind) for entry in merged.positions]


def check_embeddings(family: TaskFamily, merged: MergedTask, identity: list[Identity]) -> None:
    """Check that the tasks are in order, and that every embedding maps a node to a position of its identity.

    Raises
    ------
    WrongAnswer
        ``shape`` or ``identity``.
    """
    names = tuple(task.name for task in family.tasks)
    if tuple(merged.tasks) != names or set(merged.embeddings) != set(names):
        fact = f"expected the {len(names)} tasks of the family in their order, got {len(merged.tasks)}"
        raise WrongAnswer("shape", fact)
    for task in family.tasks:
        for name, index in merged.embeddings[task.name].items():
            if name not in task.index:
                raise WrongAnswer("shape", "has a position, though there is no such node", task.name, str(name))
            if type(index) is not int or not 0 <= index < len(identity):
                fact = f"expected an index from 0 to {len(identity) - 1}, got {index!r:.40}"
                raise WrongAnswer("shape", fact, task.name, name)
            node = task.nodes[task.index[name]]
            if identity[index] != (canonical(node.input), node.position, node.kind):
                expected = describe_position(Position(node.input, node.position, node.kind))
                fact = f"{expected} is not position {index} {describe_position(merged.positions[index])}"
                raise WrongAnswer("identity", fact, task.name, name)


def read_embedding(flow: Flow, merged: MergedTask, needed: BoolArray) -> Int64Array:
    """Return the index of the position of every live node, (V,) int64, -1 for nodes that are not needed.

    Parameters
    ----------
    flow : Flow
    merged : MergedTask
    needed : (V,) bool

    Raises
    ------
    WrongAnswer
        ``shape``: unless exactly the needed nodes have positions.
    """
    positions = np.full(flow.first[-1], -1, np.int64)
    for (task, task_flow), first in zip(flow.tasks, flow.first, strict=False):
        given = merged.embeddings[task.name]
        live = {name: first + number for name, number in task_flow.number.items() if needed[first + number]}
        if wrong := sorted(given.keys() ^ live.keys()):
            fact = "is live and has no position" if wrong[0] in live else "has a position, though nothing depends on it"
            raise WrongAnswer("shape", fact, task.name, wrong[0])
        positions[list(live.values())] = [given[name] for name in live]
    return positions


def check_loss(family: TaskFamily, merged: MergedTask) -> None:
    """Check the labels, and that there is one loss edge per ``predict`` entry, in task order, equal to the bit.

    Raises
    ------
    WrongAnswer
        ``shape``, ``labels`` (distinct, in order of first use) or ``loss edges``.
    """
    codes: dict[str, int] = {}
    entries = [
        (number, task.name, prediction) for number, task in enumerate(family.tasks) for prediction in task.predict
    ]
    missing = next(((task, p.node) for _, task, p in entries if p.node not in merged.embeddings[task]), None)
    if missing:
        raise WrongAnswer("shape", "is live and has no position", *missing)
    texts = canonical_texts([p.label for _, _, p in entries])
    expected = [
        (merged.embeddings[task][p.node], codes.setdefault(text, len(codes)), number, p.weight)
        for (number, task, p), text in zip(entries, texts, strict=True)
    ]
    _check_labels([canonical_text(label, "a label") for label in merged.labels], list(codes))
    if len(merged.loss_edges) != len(expected):
        raise WrongAnswer("loss edges", f"expected {len(expected)} loss edges, got {len(merged.loss_edges)}")
    if _equal_edges(merged.loss_edges, expected):
        return
    for (_, task, prediction), edge, right in zip(entries, merged.loss_edges, expected, strict=True):
        if not _equal_edges([edge], [right]):
            label = canonical(prediction.label)
            fact = f"expected the edge {_format_edge(right)} for the label {label}, got {_format_edge(edge)}"
            raise WrongAnswer("loss edges", fact, task, prediction.node)


def _check_labels(labels: list[str], expected: list[str]) -> None:
    """Raise WrongAnswer at the first label that differs from the distinct labels in order of first use."""
    if labels != expected:
        pairs = enumerate(zip(labels, expected, strict=False))
        number = next((i for i, (a, b) in pairs if a != b), min(len(labels), len(expected)))
        given = labels[number] if number < len(labels) else "missing"
        right = [*expected, "no more"][number]
        fact = f"label {number} is {given}; the distinct labels in order of first use have {right} there"
        raise WrongAnswer("labels", fact)


def _format_edge(edge: tuple[Any, ...]) -> str:
    """Return a loss edge with the names of its fields."""
    return "(" + ", ".join(f"{name} {value!r}" for name, value in zip(LossEdge._fields, edge, strict=False)) + ")"


def _equal_edges(given: Sequence[tuple[Any, ...]], expected: Sequence[tuple[int, int, int, float]]) -> bool:
    """Return whether edges are equal: three integers and a weight, which is compared by its bits."""
    if not expected:
        return True
    if {*map(len, given)} != {4}:
        return False
    *indices, weights = zip(*given, strict=True)
    *expected_indices, expected_weights = zip(*expected, strict=True)
    if {*map(type, weights)} != {float} or any({*map(type, column)} != {int} for column in indices):
        return False
    equal = array("d", weights).tobytes() == array("d", expected_weights).tobytes()
    return equal and indices == expected_indices
