"""Instance files: JSON in and out, with every malformed input named by file, JSON path and remedy.

Reading takes three steps: text -> JSON (size, encoding, nesting, repeated keys, NaN), JSON -> checked shape (msgspec), shape -> model
(names, rows, closure). Each step reports the first fault it meets.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import canonical
from masksynth.tasks.merged import Question
from masksynth.tasks.model import Instance, Node, Prediction, Task, TaskFamily

if TYPE_CHECKING:
    from masksynth.tasks.shapes import TaskFile

SCHEMA = 1
MAX_BYTES = 1 << 30
"""Largest instance file that is read (1 GiB)."""
MAX_NESTING = 48
"""Deepest nesting of brackets in an instance file."""
MAX_NODES = 4_000_000
"""Most task nodes in one instance."""


def schema() -> dict[str, Any]:
    """The JSON Schema of instance files, as published in ``masksynth/tasks/schema/instance.schema.json``."""
    import msgspec

    from masksynth.tasks.shapes import InstanceFile

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
        path = Path(source)
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInstance(f"larger than {MAX_BYTES} bytes", remedy="split the family", source=str(source))
        return loads(path.read_bytes(), str(source))
    data = source.read(MAX_BYTES + 1)
    return loads(data.encode() if isinstance(data, str) else data, getattr(source, "name", "<stream>"))


def loads(data: bytes | str, source: str = "") -> Instance:
    """Read an instance from JSON text; ``source`` names the file in messages.

    Examples
    --------
    >>> loads('{"masksynth": 1, "name": "none", "tasks": []}').family.tasks
    ()
    >>> loads('{"masksynth": 2, "name": "none", "tasks": []}')
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.masksynth: Expected `int` <= 1; this is masksynth instance schema 1
    """
    try:
        document = parse(data.encode() if isinstance(data, str) else data)
        return instance_of(document)
    except InvalidInstance as error:
        raise error.within(source=source) from None


class _Repeated:
    """Stands for an object in which ``key`` was given twice."""

    def __init__(self, key: str) -> None:
        self.key = key


class _Constant:
    """Stands for NaN or Infinity."""

    def __init__(self, text: str) -> None:
        self.text = text


def parse(data: bytes) -> Any:
    """JSON text -> value, refusing repeated keys, NaN, deep nesting, oversized and undecodable text."""
    if len(data) > MAX_BYTES:
        raise InvalidInstance(f"larger than {MAX_BYTES} bytes", remedy="split the family")
    if not data.strip():
        raise InvalidInstance("the file is empty", remedy='an instance begins {"masksynth": 1, "name": ..., "tasks": [...]}')
    if nesting(data) > MAX_NESTING:
        raise InvalidInstance(f"nested deeper than {MAX_NESTING} levels", remedy="flatten the document")
    odd: list[_Repeated | _Constant] = []

    def pairs(items: list[tuple[str, Any]]) -> Any:
        value = dict(items)
        if len(value) == len(items):
            return value
        keys = [key for key, _ in items]
        odd.append(_Repeated(next(key for key in keys if keys.count(key) > 1)))
        return odd[-1]

    def constant(text: str) -> _Constant:
        odd.append(_Constant(text))
        return odd[-1]  # type: ignore[return-value]

    try:
        value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=pairs, parse_constant=constant)
    except UnicodeDecodeError as error:
        raise InvalidInstance(f"not UTF-8: byte {error.start}", remedy="save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise InvalidInstance(f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}", remedy="check the text there") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise InvalidInstance(f"not JSON: {error}", remedy="use smaller numbers") from None
    if odd:
        path = next(place for place, found in _walk(value, "$") if found is odd[0] or isinstance(found, (_Repeated, _Constant)))
        raise _fault(odd[0], path)
    return value


def _fault(odd: _Repeated | _Constant, path: str) -> InvalidInstance:
    if isinstance(odd, _Repeated):
        return InvalidInstance(f"key {odd.key!r} is repeated in one object", path, "keep one of them")
    return InvalidInstance(f"{odd.text} is not a JSON number", path, "use a finite number")


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, f"{path}.{key}" if key.isidentifier() else f"{path}[{canonical(key)}]")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]")


def nesting(data: bytes) -> int:
    """Deepest nesting of brackets outside strings.

    Examples
    --------
    >>> nesting(b'{"a": ["]", [1]]}')
    3
    """
    text = np.frombuffer(re.sub(rb'"(?:[^"\\]|\\.)*"', b"", data, flags=re.DOTALL), np.uint8)
    marks = text[(text == ord("[")) | (text == ord("{")) | (text == ord("]")) | (text == ord("}"))]
    steps = np.where((marks == ord("[")) | (marks == ord("{")), 1, -1)
    return int(steps.cumsum().max(initial=0))


def instance_of(document: Any) -> Instance:
    """A parsed JSON document -> the validated instance."""
    import msgspec

    from masksynth.tasks.shapes import InstanceFile

    if isinstance(document, dict) and type(document.get("masksynth")) is int and document["masksynth"] != SCHEMA:
        raise InvalidInstance(
            f"schema {document['masksynth']} is not known", "$.masksynth", f"this version of masksynth reads schema {SCHEMA}"
        )
    try:
        shape = msgspec.convert(document, InstanceFile, strict=True)
    except msgspec.ValidationError as error:
        raise _shape_fault(str(error)) from None
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


def _shape_fault(message: str) -> InvalidInstance:
    fact, _, path = message.partition(" - at `")
    if fact.startswith("Object contains unknown field"):
        return InvalidInstance(fact[0].lower() + fact[1:], path.rstrip("`") or "$", "remove it or correct its spelling")
    if fact.startswith("Object missing required field"):
        return InvalidInstance(fact[0].lower() + fact[1:], path.rstrip("`") or "$", "add it")
    return InvalidInstance(fact[0].lower() + fact[1:], path.rstrip("`") or "$", "correct the value")


def _task(shape: TaskFile) -> Task:
    nodes = []
    for place, node in enumerate(shape.nodes):
        try:
            nodes.append(Node(node.name, node.input, node.position, node.kind, None if node.carries is None else tuple(node.carries)))
        except InvalidInstance as error:
            raise error.within(f"$.nodes[{place}]") from None
    predictions = []
    for place, prediction in enumerate(shape.predict):
        try:
            predictions.append(Prediction(prediction.node, prediction.label, prediction.weight, tuple(prediction.hides)))
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
            {"name": n.name, "input": n.input, "position": n.position, "kind": n.kind, "carries": list(n.carries or ())} for n in task.nodes
        ],
        "attends": tables[0] if len(tables) == 1 else tables,
        "closure": task.closure,
        "predict": [{"node": p.node, "label": p.label, "weight": p.weight, "hides": list(p.hides)} for p in task.predict],
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
