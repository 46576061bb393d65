"""What every answer must be, whatever the depth: of this instance, complete, in order, with the identities and labels of the tasks."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.tasks.canonical import canonical, frozen
from masksynth.tasks.merged import LossEdge, MergedTask, Position, Question
from masksynth.tasks.model import Task, TaskFamily
from masksynth.verify.task_flow import Flow, Integers

Identity = tuple[str, int, str]


def instance_hash(family: TaskFamily) -> str:
    """SHA-256 (hex) of the sorted-key JSON of the tasks with every default filled in.

    Examples
    --------
    >>> instance_hash(TaskFamily(()))[:16]
    '4f53cda18c2baa0c'
    """
    tasks = [_document(task) for task in family.tasks]
    return hashlib.sha256(json.dumps(tasks, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _document(task: Task) -> dict[str, Any]:
    """Spell a task out as an instance file would."""
    nodes = [
        {
            "name": node.name,
            "input": node.input,
            "position": node.position,
            "kind": node.kind,
            "carries": [node.input] if node.carries is None else node.carries,
        }
        for node in task.nodes
    ]
    predict = [
        {
            "node": prediction.node,
            "label": prediction.label,
            "weight": float(prediction.weight),
            "hides": prediction.hides,
        }
        for prediction in task.predict
    ]
    tables = [dict(table) for table in task.attends]
    attends = tables[0] if len(tables) == 1 else tables
    return {"name": task.name, "nodes": nodes, "attends": attends, "closure": task.closure, "predict": predict}


def text(value: Any, what: str) -> str:
    """Canonical text of an input or a label of the answer; WrongAnswer if it is no JSON value."""
    try:
        return canonical(frozen(value))
    except InvalidInstance as error:
        raise WrongAnswer("shape", f"{what} is not a JSON value: {error.fact}") from None


def word(position: Position) -> str:
    """Put a position in words."""
    return f"({text(position.input, 'an input')}, {position.position}, {text(position.kind, 'a kind')})"


def check_problem(problem: Question, family: TaskFamily) -> None:
    """Demand an answer to this instance, and a question that makes sense."""
    if problem.sha256 != instance_hash(family):
        raise WrongAnswer("problem", f"the answer is to another instance (SHA-256 {problem.sha256!s:.12}...)")
    if type(problem.pattern) is not int or problem.pattern != family.tables:
        raise WrongAnswer("problem", f"a pattern of {problem.pattern!r} tables where the tasks have {family.tables}")
    if problem.layers is not None and (type(problem.layers) is not int or problem.layers < 1):
        raise WrongAnswer("problem", f"layers {problem.layers!r} is not null or an integer from 1")
    if type(problem.sparse) is not bool:
        raise WrongAnswer("problem", f"sparse {problem.sparse!r} is not true or false")
    literal = next((task.name for task in family.tasks if not task.closure), None)
    if problem.sparse and literal is not None:
        raise WrongAnswer("problem", "sparse needs closure, and this task has literal rows", literal)


def identities(merged: MergedTask, tables: int) -> list[Identity]:
    """(canonical input, position id, kind) of every position, after checking the shape.

    As many rows as positions, as many tables as asked, and no row over which softmax would have nothing to choose from.
    """
    if merged.mask.size != len(merged.positions) or merged.mask.tables != tables:
        raise WrongAnswer(
            "shape",
            f"{merged.mask.tables} mask tables over {merged.mask.size} positions where {tables} over {len(merged.positions)} are due",
        )
    for index, position in enumerate(merged.positions):
        if type(position.position) is not int or type(position.kind) is not str:
            raise WrongAnswer(
                "shape", f"position {index} has position id {position.position!r} and kind {position.kind!r}"
            )
    empty = np.argwhere(np.diff(merged.mask.row_offset, axis=1) == 0)
    if len(empty):
        table, index = empty[0].tolist()
        raise WrongAnswer(
            "shape", f"the row of position {index} {word(merged.positions[index])} in table {table} is empty"
        )
    return [(text(at.input, "an input"), at.position, at.kind) for at in merged.positions]


def check_embeddings(family: TaskFamily, merged: MergedTask, identity: list[Identity]) -> None:
    """Demand the tasks in order, and of every embedding a node that is there at a position of its identity.

    Raises
    ------
    WrongAnswer
        ``shape`` or ``identity``.
    """
    names = tuple(task.name for task in family.tasks)
    if tuple(merged.tasks) != names or set(merged.embeddings) != set(names):
        raise WrongAnswer(
            "shape",
            f"the answer is for {len(merged.tasks)} tasks, not for the {len(names)} of the family in their order",
        )
    for task in family.tasks:
        for name, at in merged.embeddings[task.name].items():
            if name not in task.index:
                raise WrongAnswer("shape", "has a position, though there is no such node", task.name, str(name))
            if type(at) is not int or not 0 <= at < len(identity):
                raise WrongAnswer(
                    "shape", f"index {at!r:.40} is not an integer from 0 to {len(identity) - 1}", task.name, name
                )
            node = task.nodes[task.index[name]]
            if identity[at] != (canonical(node.input), node.position, node.kind):
                own = word(Position(node.input, node.position, node.kind))
                raise WrongAnswer(
                    "identity", f"{own} is not position {at} {word(merged.positions[at])}", task.name, name
                )


def embedding(flow: Flow, merged: MergedTask, due: NDArray[np.bool_]) -> Integers:
    """Index of the position of every live node, -1 where none is due; positions for exactly the nodes that are due, or ``shape``."""
    index = np.full(flow.first[-1], -1, np.int64)
    for (task, own), first in zip(flow.tasks, flow.first, strict=False):
        given = merged.embeddings[task.name]
        live = {name: first + number for name, number in own.number.items() if due[first + number]}
        if odd := sorted(given.keys() ^ live.keys()):
            fact = "is live and has no position" if odd[0] in live else "has a position, though nothing depends on it"
            raise WrongAnswer("shape", fact, task.name, odd[0])
        index[list(live.values())] = [given[name] for name in live]
    return index


def check_loss(family: TaskFamily, merged: MergedTask) -> None:
    """Demand one loss edge per ``predict`` entry, in task order, to the bit; labels distinct and in order of first use."""
    known: dict[str, int] = {}
    entries = [
        (number, task.name, prediction) for number, task in enumerate(family.tasks) for prediction in task.predict
    ]
    missing = next(((task, p.node) for _, task, p in entries if p.node not in merged.embeddings[task]), None)
    if missing:
        raise WrongAnswer("shape", "is live and has no position", *missing)
    due = [
        (merged.embeddings[task][p.node], known.setdefault(canonical(p.label), len(known)), at, p.weight)
        for at, task, p in entries
    ]
    labels = [text(label, "a label") for label in merged.labels]
    if labels != list(known):
        odd = next(
            (at for at, (a, b) in enumerate(zip(labels, known, strict=False)) if a != b), min(len(labels), len(known))
        )
        given = labels[odd] if odd < len(labels) else "missing"
        raise WrongAnswer(
            "labels",
            f"label {odd} is {given}; the distinct labels in order of first use have {[*known, 'no more'][odd]} there",
        )
    if len(merged.loss_edges) != len(due):
        raise WrongAnswer("loss edges", f"{len(merged.loss_edges)} loss edges where the tasks predict {len(due)} times")
    for (_, task, prediction), edge, right in zip(entries, merged.loss_edges, due, strict=True):
        if _bits(edge) != _bits(right):
            fact = f"the edge {_fields(edge)} should be {_fields(right)} for the label {canonical(prediction.label)}"
            raise WrongAnswer("loss edges", fact, task, prediction.node)


def _fields(edge: tuple[Any, ...]) -> str:
    return "(" + ", ".join(f"{name} {value!r}" for name, value in zip(LossEdge._fields, edge, strict=False)) + ")"


def _bits(edge: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Turn the weight of an edge to bits; None if the edge is malformed."""
    if len(edge) != 4 or type(edge[3]) is not float or not all(type(field) is int for field in edge[:3]):
        return None
    return (*edge[:3], struct.pack("<d", edge[3]))
