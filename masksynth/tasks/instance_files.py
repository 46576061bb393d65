"""Read and write instance files (JSON); every error names file, JSON path and remedy.

Reading takes three steps: text -> JSON (size, encoding, nesting, repeated keys, NaN), JSON -> validated structs
(msgspec), structs -> model (names, rows, closure). Each step reports its first error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from masksynth.collector import paused_collector
from masksynth.errors import InvalidInstance, check_type
from masksynth.tasks.canonical import canonical, canonical_texts, shown
from masksynth.tasks.instance import Instance, TaskFamily, batch_tasks
from masksynth.tasks.merged import Question
from masksynth.tasks.parse_json import MAX_BYTES as MAX_BYTES
from masksynth.tasks.parse_json import MAX_NESTING as MAX_NESTING
from masksynth.tasks.parse_json import parse as parse
from masksynth.tasks.parse_json import parse_document, read_document
from masksynth.tasks.task import Node, Prediction, Task

if TYPE_CHECKING:
    from masksynth.tasks.instance_structs import TaskFile

SCHEMA = 1
MAX_NODES = 4_000_000
"""Maximal number of task nodes in one instance."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of instance files, as published in ``masksynth/tasks/schema/instance.schema.json``."""
    import msgspec

    from masksynth.tasks.instance_structs import InstanceFile

    document = msgspec.json.schema(InstanceFile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "masksynth instance", **document}


def load(source: str | Path | IO[bytes] | IO[str]) -> Instance:
    """Read an instance file.

    Parameters
    ----------
    source : path or open file
        The path of a JSON file, or a stream (``sys.stdin``).

    Raises
    ------
    InvalidInstance
        Naming file, JSON path and remedy: the only error for a readable file.
    OSError
        If the file cannot be read.
    """
    return loads(*read_document(source))


@paused_collector()
def loads(data: bytes | str, source: str = "") -> Instance:
    """Read an instance from JSON text.

    Parameters
    ----------
    data : bytes or str
    source : str
        Name of the file, for messages.

    Raises
    ------
    InvalidInstance
        Naming file, JSON path and remedy.

    Examples
    --------
    >>> loads('{"masksynth": 1, "name": "none", "tasks": []}').family.tasks
    ()
    >>> loads('{"masksynth": 2, "name": "none", "tasks": []}')
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.masksynth: unsupported schema 2; this version of masksynth reads schema 1
    """
    try:
        return instance_of(parse_document(data))
    except InvalidInstance as error:
        raise error.within(source=source) from None


def instance_of(document: Any) -> Instance:
    """Return the validated instance of a parsed JSON document."""
    import msgspec

    from masksynth.tasks.faults import shape_fault
    from masksynth.tasks.instance_structs import InstanceFile

    if isinstance(document, dict) and "masksynth_contracts" in document and "masksynth" not in document:
        remedy = "find a structure with masksynth discover, which writes an instance"
        raise InvalidInstance("is a document of contracts, not an instance", "$", remedy)
    if isinstance(document, dict) and type(document.get("masksynth")) is int and document["masksynth"] != SCHEMA:
        raise InvalidInstance(
            f"unsupported schema {shown(document['masksynth'])}",
            "$.masksynth",
            f"this version of masksynth reads schema {SCHEMA}",
        )
    try:
        file = msgspec.convert(document, InstanceFile, strict=True)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise shape_fault(str(error), document) from None
    total = sum(len(task.nodes) for task in file.tasks)
    if total > MAX_NODES:
        raise InvalidInstance(f"{total} nodes, more than {MAX_NODES}", "$.tasks", "split the family")
    tasks = []
    for index, task in enumerate(file.tasks):
        try:
            tasks.append(_read_task(task))
        except InvalidInstance as error:
            raise error.within(f"$.tasks[{index}]") from None
    family = TaskFamily(tuple(tasks))
    return Instance(family, file.name, file.source, file.layers, file.sparse, file.expect)


def _read_task(file: TaskFile) -> Task:
    """Return the model of a task; errors name the JSON path within the task."""
    nodes = []
    for index, node in enumerate(file.nodes):
        try:
            carries = None if node.carries is None else tuple(node.carries)
            nodes.append(Node(node.name, node.input, node.position, node.kind, carries))
        except InvalidInstance as error:
            raise error.within(f"$.nodes[{index}]") from None
    predictions = []
    for index, prediction in enumerate(file.predict):
        try:
            predictions.append(
                Prediction(prediction.node, prediction.label, prediction.weight, tuple(prediction.hides))
            )
        except InvalidInstance as error:
            raise error.within(f"$.predict[{index}]") from None
    tables = file.attends if isinstance(file.attends, list) else [file.attends]
    attends = tuple({name: tuple(row) for name, row in table.items()} for table in tables)
    return Task(file.name, tuple(nodes), attends, tuple(predictions), file.closure)


def task_document(task: Task) -> dict[str, Any]:
    """Return a task as plain JSON values, with defaults filled in."""
    tables = [{name: list(row) for name, row in table.items()} for table in task.attends]
    return {
        "name": task.name,
        "nodes": [
            {"name": n.name, "input": n.input, "position": n.position, "kind": n.kind, "carries": list(n.carries or ())}
            for n in task.nodes
        ],
        "attends": tables[0] if len(tables) == 1 else tables,
        "closure": task.closure,
        "predict": [
            {"node": p.node, "label": p.label, "weight": p.weight, "hides": list(p.hides)} for p in task.predict
        ],
    }


def content_hash(family: TaskFamily) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of ``tasks`` with defaults, without name and source."""
    digest = hashlib.sha256()
    opening = "["
    for batch in batch_tasks(family.tasks):
        digest.update((opening + ",".join(_canonical_tasks(batch))).encode())
        opening = ","
    digest.update(b"]" if family.tasks else b"[]")
    return digest.hexdigest()


def _canonical_tasks(tasks: Sequence[Task]) -> Iterator[str]:
    """Yield ``canonical(task_document(task))`` of each task; nodes and predictions are encoded together, in columns."""
    nodes = iter(_canonical_nodes([node for task in tasks for node in task.nodes]))
    predict = iter(_canonical_predictions([entry for task in tasks for entry in task.predict]))
    for task in tasks:
        tables = canonical(task.attends[0] if len(task.attends) == 1 else task.attends)
        head = f'"attends":{tables},"closure":{canonical(task.closure)},"name":{canonical(task.name)}'
        listed = ",".join(islice(nodes, len(task.nodes)))
        yield f'{{{head},"nodes":[{listed}],"predict":[{",".join(islice(predict, len(task.predict)))}]}}'


def _canonical_nodes(nodes: Sequence[Node]) -> list[str]:
    inputs = canonical_texts([node.input for node in nodes])
    carries = [
        f"[{text}]" if len(carried := node.carries or ()) == 1 and carried[0] is node.input else canonical(carried)
        for node, text in zip(nodes, inputs, strict=True)
    ]
    kinds = canonical_texts([node.kind for node in nodes])
    names = canonical_texts([node.name for node in nodes])
    return [
        f'{{"carries":{carried},"input":{text},"kind":{kind},"name":{name},"position":{node.position}}}'
        for node, carried, text, kind, name in zip(nodes, carries, inputs, kinds, names, strict=True)
    ]


def _canonical_predictions(predict: Sequence[Prediction]) -> list[str]:
    hides = [canonical(entry.hides) if entry.hides else "[]" for entry in predict]
    labels = canonical_texts([entry.label for entry in predict])
    nodes = canonical_texts([entry.node for entry in predict])
    weights = canonical_texts([entry.weight for entry in predict])
    return [
        f'{{"hides":{hidden},"label":{label},"node":{node},"weight":{weight}}}'
        for hidden, label, node, weight in zip(hides, labels, nodes, weights, strict=True)
    ]


def question_of(family: TaskFamily, layers: int | None = None, sparse: bool = False) -> Question:
    """Return the question that is stored with an answer: depth, sparsity, length of the pattern, hash of the family."""
    return Question(layers, sparse, family.tables, content_hash(family))


def dumps(instance: Instance) -> str:
    """Return an instance as JSON text, one node per line, without default values; ``loads`` returns an equal instance.

    Raises
    ------
    InvalidInstance
        If the argument is not an Instance.
    """
    check_type(instance, Instance)
    head = {"masksynth": SCHEMA, "name": instance.name, **({"source": instance.source} if instance.source else {})}
    tail: dict[str, Any] = {"layers": instance.layers, "sparse": instance.sparse}
    if instance.expect:
        tail["expect"] = dict(instance.expect)
    tasks = ",\n".join(_format_task(task) for task in instance.family.tasks)
    opening = json.dumps(head)[:-1]
    return f'{opening},\n "tasks": [{chr(10) if tasks else ""}{tasks}],\n {json.dumps(tail)[1:]}\n'


def _format_task(task: Task) -> str:
    document = task_document(task)
    for entry, node in zip(document["nodes"], task.nodes, strict=True):
        if node.carries == (node.input,) and canonical(node.carries) == canonical((node.input,)):
            del entry["carries"]
        if node.kind == "token":
            del entry["kind"]
    for entry in document["predict"]:
        if entry["weight"] == 1.0:
            del entry["weight"]
        if not entry["hides"]:
            del entry["hides"]
    if not task.closure:
        del document["closure"]
    lines = [f"   {json.dumps(key)}: {_format_value(value)}" for key, value in document.items()]
    return "  {" + ",\n".join(lines)[3:] + "}"


def _format_value(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[" + ",\n     ".join(json.dumps(item) for item in value) + "]"
    return json.dumps(value)
