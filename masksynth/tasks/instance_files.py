"""Instance files: JSON in and out, with every malformed input named by file, JSON path and remedy.

Reading takes three steps: text -> JSON (size, encoding, nesting, repeated keys, NaN), JSON -> checked shape (msgspec), shape -> model
(names, rows, closure). Each step reports the first fault it meets.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import canonical, shown
from masksynth.tasks.merged import Question
from masksynth.tasks.model import Instance, Node, Prediction, Task, TaskFamily
from masksynth.tasks.parse_json import MAX_BYTES as MAX_BYTES
from masksynth.tasks.parse_json import MAX_NESTING as MAX_NESTING
from masksynth.tasks.parse_json import parse as parse

if TYPE_CHECKING:
    from masksynth.tasks.json_schema import TaskFile

SCHEMA = 1
MAX_NODES = 4_000_000
"""Most task nodes in one instance."""


def schema() -> dict[str, Any]:
    """The JSON Schema of instance files, as published in ``masksynth/tasks/schema/instance.schema.json``."""
    import msgspec

    from masksynth.tasks.json_schema import InstanceFile

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
        Naming file, JSON path and remedy; nothing else is raised for a readable file.
    OSError
        If the file cannot be read.
    """
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            return loads(file.read(MAX_BYTES + 1), str(source))
    name = getattr(source, "name", "<stream>")
    return loads(source.read(MAX_BYTES + 1), name if isinstance(name, str) else "<stream>")


def loads(data: bytes | str, source: str = "") -> Instance:
    """Read an instance from JSON text; ``source`` names the file in messages.

    Examples
    --------
    >>> loads('{"masksynth": 1, "name": "none", "tasks": []}').family.tasks
    ()
    >>> loads('{"masksynth": 2, "name": "none", "tasks": []}')
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.masksynth: schema 2 is not known; this version of masksynth reads schema 1
    """
    try:
        return instance_of(parse(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data))
    except InvalidInstance as error:
        raise error.within(source=source) from None


def instance_of(document: Any) -> Instance:
    """A parsed JSON document -> the validated instance."""
    import msgspec

    from masksynth.tasks.faults import shape_fault
    from masksynth.tasks.json_schema import InstanceFile

    if isinstance(document, dict) and type(document.get("masksynth")) is int and document["masksynth"] != SCHEMA:
        raise InvalidInstance(
            f"schema {shown(document['masksynth'])} is not known",
            "$.masksynth",
            f"this version of masksynth reads schema {SCHEMA}",
        )
    try:
        shape = msgspec.convert(document, InstanceFile, strict=True)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise shape_fault(str(error), document) from None
    total = sum(len(task.nodes) for task in shape.tasks)
    if total > MAX_NODES:
        raise InvalidInstance(f"{total} nodes, more than {MAX_NODES}", "$.tasks", "split the family")
    tasks = []
    for place, task in enumerate(shape.tasks):
        try:
            tasks.append(_task(task))
        except InvalidInstance as error:
            raise error.within(f"$.tasks[{place}]") from None
    family = TaskFamily(tuple(tasks))
    return Instance(family, shape.name, shape.source, shape.layers, shape.sparse, shape.expect)


def _task(shape: TaskFile) -> Task:
    nodes = []
    for place, node in enumerate(shape.nodes):
        try:
            nodes.append(
                Node(
                    node.name,
                    node.input,
                    node.position,
                    node.kind,
                    None if node.carries is None else tuple(node.carries),
                )
            )
        except InvalidInstance as error:
            raise error.within(f"$.nodes[{place}]") from None
    predictions = []
    for place, prediction in enumerate(shape.predict):
        try:
            predictions.append(
                Prediction(prediction.node, prediction.label, prediction.weight, tuple(prediction.hides))
            )
        except InvalidInstance as error:
            raise error.within(f"$.predict[{place}]") from None
    tables = shape.attends if isinstance(shape.attends, list) else [shape.attends]
    attends = tuple({name: tuple(row) for name, row in table.items()} for table in tables)
    return Task(shape.name, tuple(nodes), attends, tuple(predictions), shape.closure)


def task_document(task: Task) -> dict[str, Any]:
    """A task as plain JSON values, defaults filled in."""
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
    """SHA-256 (hex) of the canonical JSON of ``tasks`` with defaults filled in: no name, source or expectation."""
    digest = hashlib.sha256(b"[")
    for place, task in enumerate(family.tasks):
        digest.update(("," if place else "").encode() + canonical(task_document(task)).encode())
    digest.update(b"]")
    return digest.hexdigest()


def question_of(family: TaskFamily, layers: int | None = None, sparse: bool = False) -> Question:
    """The problem as it travels with its answer."""
    return Question(layers, sparse, family.tables, content_hash(family))


def dumps(instance: Instance) -> str:
    """The instance as JSON text, one node a line, default values left out; ``loads`` reads it back to an equal instance."""
    head = {"masksynth": SCHEMA, "name": instance.name, **({"source": instance.source} if instance.source else {})}
    tail: dict[str, Any] = {"layers": instance.layers, "sparse": instance.sparse}
    if instance.expect:
        tail["expect"] = dict(instance.expect)
    tasks = ",\n".join(_task_text(task) for task in instance.family.tasks)
    opening = json.dumps(head)[:-1]
    return f'{opening},\n "tasks": [{chr(10) if tasks else ""}{tasks}],\n {json.dumps(tail)[1:]}\n'


def _task_text(task: Task) -> str:
    document = task_document(task)
    for shape, node in zip(document["nodes"], task.nodes, strict=True):
        if node.carries == (node.input,) and canonical(node.carries) == canonical((node.input,)):
            del shape["carries"]
        if node.kind == "token":
            del shape["kind"]
    for shape in document["predict"]:
        if shape["weight"] == 1.0:
            del shape["weight"]
        if not shape["hides"]:
            del shape["hides"]
    if not task.closure:
        del document["closure"]
    lines = [f"   {json.dumps(key)}: {_lines(value)}" for key, value in document.items()]
    return "  {" + ",\n".join(lines)[3:] + "}"


def _lines(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[" + ",\n     ".join(json.dumps(item) for item in value) + "]"
    return json.dumps(value)
