"""The part of ``solution.json`` that describes the merged task: written, read, and laid out for reading."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.tasks import LossEdge, MergedTask, Position, Question
from masksynth.tasks.canonical import encode_each, frozen
from masksynth.tasks.instance_files import parse
from masksynth.tasks.task import MAX_POSITION

Index = Annotated[int, msgspec.Meta(ge=0)]
Layers = Annotated[int, msgspec.Meta(ge=1)]
ENCODER = json.JSONEncoder(allow_nan=False)


class PositionRecord(msgspec.Struct):
    """One position of the merged sequence."""

    input: Any
    position: Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION)]
    kind: str


class ProblemRecord(msgspec.Struct):
    """The problem that was solved."""

    layers: Layers | None
    sparse: bool
    pattern: Layers
    sha256: str


class SolutionRecord(msgspec.Struct):
    """The fields of a solution.json that ``read_merged`` needs; others describe the solver's run."""

    positions: list[PositionRecord]
    labels: list[Any]
    tasks: list[str]
    embeddings: dict[str, dict[str, Index]]
    loss_edges: list[tuple[Index, Index, Index, float]]
    problem: ProblemRecord


def solution_record(merged: MergedTask) -> dict[str, Any]:
    """Return the merged task without its mask, as JSON values in the order of solution.json.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),)]])
    >>> edges, question = (LossEdge(0, 0, 0, 1.0),), Question(None, False, 1, "")
    >>> merged = MergedTask((Position("a", 0),), mask, {"t": {"a": 0}}, ("b",), ("t",), edges, question)
    >>> record = solution_record(merged)
    >>> record["positions"], record["embeddings"], record["loss_edges"]
    ([{'input': 'a', 'position': 0, 'kind': 'token'}], {'t': {'a': 0}}, [[0, 0, 0, 1.0]])
    """
    problem = merged.problem
    return {
        "positions": [
            {"input": place.input, "position": place.position, "kind": place.kind} for place in merged.positions
        ],
        "labels": list(merged.labels),
        "tasks": list(merged.tasks),
        "embeddings": {task: dict(places) for task, places in merged.embeddings.items()},
        "loss_edges": [list(edge) for edge in merged.loss_edges],
        "problem": {
            "layers": problem.layers,
            "sparse": problem.sparse,
            "pattern": problem.pattern,
            "sha256": problem.sha256,
        },
    }


def read_record(text: bytes) -> SolutionRecord:
    """Return the typed content of a solution.json.

    Raises
    ------
    InvalidInstance
        With the JSON path of the first field that is missing or malformed, or of an index out of range.
    """
    try:
        record = msgspec.convert(parse(text), SolutionRecord, strict=True)
    except msgspec.ValidationError as error:
        fact, _, path = str(error).partition(" - at `")
        raise InvalidInstance(fact[0].lower() + fact[1:], path.rstrip("`") or "$", "write the answer again") from None
    for name, places in record.embeddings.items():
        paths = (f"$.embeddings[{json.dumps(name)}][{json.dumps(node)}]" for node in places)
        _check_indices(list(places.values()), len(record.positions), "positions", paths)
    edges = [(edge[0], edge[1], edge[2]) for edge in record.loss_edges]
    counts = {"positions": len(record.positions), "labels": len(record.labels), "tasks": len(record.tasks)}
    for column, (what, count) in enumerate(counts.items()):
        paths = (f"$.loss_edges[{number}][{column}]" for number in range(len(edges)))
        _check_indices([edge[column] for edge in edges], count, what, paths)
    return record


def _check_indices(indices: list[int], count: int, what: str, paths: Iterable[str]) -> None:
    """Raise InvalidInstance with the path of the first index that is not below ``count``, the number of ``what``."""
    if max(indices, default=-1) >= count:
        index, path = next(pair for pair in zip(indices, paths, strict=True) if pair[0] >= count)
        raise InvalidInstance(f"{index} is not one of the {count} {what}", path, "write the answer again")


def merged_task(record: SolutionRecord, mask: Mask) -> MergedTask:
    """Return the merged task that a record and its mask describe; the inverse of ``solution_record``."""
    problem = record.problem
    return MergedTask(
        positions=tuple(
            Position(frozen(place.input, f"$.positions[{i}].input"), place.position, place.kind)
            for i, place in enumerate(record.positions)
        ),
        mask=mask,
        embeddings=record.embeddings,
        labels=tuple(frozen(label, f"$.labels[{i}]") for i, label in enumerate(record.labels)),
        tasks=tuple(record.tasks),
        loss_edges=tuple(LossEdge(*edge) for edge in record.loss_edges),
        problem=Question(problem.layers, problem.sparse, problem.pattern, problem.sha256),
    )


def json_text(record: Mapping[str, Any]) -> str:
    """Return a record as ASCII JSON in the given order, one line per item of each field of lists or objects.

    Examples
    --------
    >>> print(json_text({"status": "OPTIMAL", "positions": [{"input": "a"}, {"input": "b"}], "tasks": ["t"]}), end="")
    {
     "status": "OPTIMAL",
     "positions": [
      {"input": "a"},
      {"input": "b"}],
     "tasks": ["t"]
    }
    """
    fields = (f" {_json(key)}: {_field(value)}" for key, value in record.items())
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _field(value: Any) -> str:
    """Return a field's value as JSON, its items on lines of their own where one of them has items itself."""
    inner = list(value.values()) if isinstance(value, Mapping) else value
    if not isinstance(inner, (list, tuple)) or not any(isinstance(item, (list, tuple, Mapping)) for item in inner):
        return _json(value)
    if isinstance(value, Mapping):
        return "{\n" + ",\n".join(f"  {_json(key)}: {_json(item)}" for key, item in value.items()) + "}"
    return "[\n  " + ",\n  ".join(_items(list(value))) + "]"


def _items(items: list[Any]) -> list[str]:
    """Return each item as JSON: objects of equal keys and lists of equal length column by column, which is faster."""
    first = items[0]
    if type(first) is dict and first and all(type(item) is dict and tuple(item) == tuple(first) for item in items):
        frame = [f"{_json(key)}: ".replace("%", "%%") + "%s" for key in first]
        template = "{" + ", ".join(frame) + "}"
        columns = [[item[key] for item in items] for key in first]
    elif type(first) is list and first and all(type(item) is list and len(item) == len(first) for item in items):
        template = "[" + ", ".join(["%s"] * len(first)) + "]"
        columns = [list(column) for column in zip(*items, strict=True)]
    else:
        return [_json(item) for item in items]
    try:
        return [template % row for row in zip(*(encode_each(column, ENCODER, ", ") for column in columns), strict=True)]
    except (TypeError, ValueError):
        return [_json(item) for item in items]  # raises for the item that JSON cannot represent


def _json(value: Any) -> str:
    """Return a value as JSON on one line; raise InvalidInstance if JSON cannot represent it."""
    try:
        return ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise InvalidInstance(
            f"solution.json cannot hold {type(value).__name__}: {error}", remedy="use finite numbers, strings, lists"
        ) from None
