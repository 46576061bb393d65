"""Read ``solution.json``: any bytes give a record or one ``InvalidInstance``. The checker's own reader."""

from __future__ import annotations

import json
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import frozen
from masksynth.tasks.merged import LossEdge, Position, Question
from masksynth.tasks.task import MAX_POSITION

MAX_BYTES = 1 << 30
"""Largest solution.json that is read (1 GiB)."""


class Objective(NamedTuple):
    """A value that was reached and a bound that was proved."""

    value: int
    bound: int


class Record(NamedTuple):
    """The content of solution.json that can be checked; ``size`` and ``edges`` are those of ``objective``."""

    status: str
    positions: tuple[Position, ...]
    labels: tuple[Any, ...]
    tasks: tuple[str, ...]
    embeddings: dict[str, dict[str, int]]
    loss_edges: tuple[LossEdge, ...]
    size: Objective
    edges: Objective | None
    problem: Question


def parse(data: bytes) -> Any:
    """Return the value of JSON text; refuse repeated keys, NaN and Infinity.

    Examples
    --------
    >>> parse(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $: key 'a' is repeated in one object
    """

    def unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) < len(items):
            keys = sorted(key for key, _ in items)
            repeated = next(key for key, after in pairwise(keys) if key == after)
            raise InvalidInstance(f"key {repeated!r} is repeated in one object")
        return value

    def refuse(name: str) -> float:
        raise InvalidInstance(f"{name} is not a JSON number")

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise InvalidInstance(f"not UTF-8: byte {error.start}") from None
    except RecursionError:
        raise InvalidInstance("nested too deeply") from None
    except ValueError as error:
        raise InvalidInstance(f"not JSON: {error}") from None


def read_record(path: Path) -> Record:
    """Read and validate a solution.json.

    Raises
    ------
    InvalidInstance
        Naming file and JSON path.
    """
    data = read_bytes(path, MAX_BYTES)
    try:
        return _record(parse(data))
    except InvalidInstance as error:
        raise error.within(source=str(path)) from None


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes."""
    try:
        if not path.is_file():
            raise InvalidInstance("there is no such file", remedy="name a folder written by solve", source=str(path))
        if path.stat().st_size > limit:
            raise InvalidInstance(f"larger than {limit} bytes", source=str(path))
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidInstance(f"cannot be read: {error}", source=str(path)) from None


def _record(value: Any) -> Record:
    """Return the record of a JSON value; raise InvalidInstance with the JSON path of the first invalid part."""
    document = _typed(value, dict, "$")
    objective = _typed(_field(document, "objective", "$"), dict, "$.objective")
    return Record(
        _typed(_field(document, "status", "$"), str, "$.status"),
        tuple(_position(item, f"$.positions[{i}]") for i, item in enumerate(_list(document, "positions"))),
        tuple(frozen(item, f"$.labels[{i}]") for i, item in enumerate(_list(document, "labels"))),
        tuple(_typed(item, str, f"$.tasks[{i}]") for i, item in enumerate(_list(document, "tasks"))),
        _embeddings(_field(document, "embeddings", "$")),
        tuple(_loss_edge(item, f"$.loss_edges[{i}]") for i, item in enumerate(_list(document, "loss_edges"))),
        _objective(_field(objective, "positions", "$.objective"), "$.objective.positions"),
        _objective(objective["edges"], "$.objective.edges") if "edges" in objective else None,
        _question(_field(document, "problem", "$")),
    )


def _objective(value: Any, path: str) -> Objective:
    """Return value and bound."""
    return Objective(*(_typed(_field(value, name, path), int, f"{path}.{name}") for name in ("value", "bound")))


def _typed(value: Any, kind: type, path: str) -> Any:
    """Return a value; raise unless it is exactly of this type, so that True is not an int."""
    if type(value) is not kind:
        raise InvalidInstance(f"expected {kind.__name__}, got {type(value).__name__}", path)
    return value


def _field(value: Any, name: str, path: str) -> Any:
    """Return a field of an object; raise if it is missing."""
    if name not in _typed(value, dict, path):
        raise InvalidInstance(f"{name!r} is missing", path)
    return value[name]


def _list(document: dict[str, Any], name: str) -> list[Any]:
    """Return a list at the top level."""
    items: list[Any] = _typed(_field(document, name, "$"), list, f"$.{name}")
    return items


def _position(item: Any, path: str) -> Position:
    """Return an entry of ``positions``."""
    number = _typed(_field(item, "position", path), int, f"{path}.position")
    if not 0 <= number <= MAX_POSITION:
        raise InvalidInstance(f"expected a position from 0 to {MAX_POSITION}, got {number}", path)
    return Position(
        frozen(_field(item, "input", path), f"{path}.input"),
        number,
        _typed(_field(item, "kind", path), str, f"{path}.kind"),
    )


def _embeddings(value: Any) -> dict[str, dict[str, int]]:
    """Return task -> node -> index."""
    for task, nodes in _typed(value, dict, "$.embeddings").items():
        for node, index in _typed(nodes, dict, f"$.embeddings[{task!r}]").items():
            _typed(index, int, f"$.embeddings[{task!r}][{node!r}]")
    embeddings: dict[str, dict[str, int]] = value
    return embeddings


def _loss_edge(item: Any, path: str) -> LossEdge:
    """Return an entry of ``loss_edges``."""
    if len(_typed(item, list, path)) != 4:
        raise InvalidInstance(f"expected [index, label index, task index, weight], got {len(item)} entries", path)
    if any(not 0 <= _typed(number, int, path) < 2**63 for number in item[:3]):
        raise InvalidInstance("expected indices from 0 to 2**63 - 1", path)
    weight = item[3]
    if type(weight) not in (int, float) or (type(weight) is int and abs(weight) > 2**53) or not isfinite(weight):
        raise InvalidInstance(f"expected a finite weight, got {weight!r:.40}", path)
    return LossEdge(item[0], item[1], item[2], float(weight))


def _question(value: Any) -> Question:
    """Return ``problem``."""
    layers = _field(value, "layers", "$.problem")
    return Question(
        layers if layers is None else _typed(layers, int, "$.problem.layers"),
        _typed(_field(value, "sparse", "$.problem"), bool, "$.problem.sparse"),
        _typed(_field(value, "pattern", "$.problem"), int, "$.problem.pattern"),
        _typed(_field(value, "sha256", "$.problem"), str, "$.problem.sha256"),
    )
