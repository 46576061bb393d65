"""Validation errors of msgspec as InvalidInstance, with the exact JSON path and a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import quoted
from masksynth.tasks.instance_structs import InstanceFile, NodeFile, PredictionFile, TaskFile


def shape_fault(message: str, document: Any, unknown: Iterable[tuple[str, str]] | None = None) -> InvalidInstance:
    """Return the error for a document that msgspec rejected, or could not decode because of a lone surrogate.

    Parameters
    ----------
    message : str
        Message of msgspec.
    document : JSON value
    unknown : iterable of (str, str), optional
        Path and key of the fields that are not part of the schema; by default those of an instance.

    Examples
    --------
    >>> document = {"tasks": [{"attends": {"a": [], "b": [1]}}]}
    >>> print(shape_fault("Expected `str`, got `int` - at `$.tasks[0].attends[...][0]`", document))
    $.tasks[0].attends["b"][0]: expected `str`, got `int`; correct the value
    """
    for path, key in _unknown_fields(document) if unknown is None else unknown:
        return InvalidInstance(
            f"object contains unknown field `{quoted(key)[1:-1]}`", path, "remove it or correct its spelling"
        )
    fact, _, path = message.partition(" - at `")
    remedy = "add it" if fact.startswith("Object missing required field") else "correct the value"
    return InvalidInstance(fact[0].lower() + fact[1:], _exact_path(path.rstrip("`") or "$", document), remedy)


def _unknown_fields(document: Any) -> Iterator[tuple[str, str]]:
    """Yield (path, key) of every field that is not part of the schema."""
    yield from other_keys("$", document, InstanceFile)
    for path, task in list_items("$.tasks", document, "tasks"):
        yield from other_keys(path, task, TaskFile)
        for node_path, node in list_items(f"{path}.nodes", task, "nodes"):
            yield from other_keys(node_path, node, NodeFile)
        for prediction_path, prediction in list_items(f"{path}.predict", task, "predict"):
            yield from other_keys(prediction_path, prediction, PredictionFile)


def other_keys(path: str, value: Any, shape: Any) -> Iterator[tuple[str, str]]:
    """Yield (path, key) of each key of an object that is not a field of a struct."""
    if isinstance(value, dict):
        yield from ((path, key) for key in value if key not in shape.__struct_fields__)


def list_items(path: str, value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield (path, item) of the list that an object has under a key, if it has one."""
    items = value.get(key) if isinstance(value, dict) else None
    if isinstance(items, list):
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(items))


def _exact_path(path: str, document: Any) -> str:
    """Return the path with the row's name in place of msgspec's ``[...]``.

    The row is the first that is not a list of strings.
    """
    before, dots, after = path.partition("[...]")
    if not dots:
        return path
    table = document
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", before):
        table = table[key or int(index)]
    name = next(
        name for name, row in table.items() if not isinstance(row, list) or not all(isinstance(key, str) for key in row)
    )
    return f"{before}[{quoted(name)}]{after}"
