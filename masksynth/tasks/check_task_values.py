"""Checks of the values of tasks; errors name the JSON path and a remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import frozen, quoted, shown

MAX_ROWS = 20_000_000
"""Maximal number of rows of a family: nodes times tables of the layer pattern."""


def check_text(value: Any, what: str, path: str) -> None:
    """Raise InvalidInstance if a value is not a non-empty string; ``what`` names it in the message."""
    if type(value) is not str:
        raise InvalidInstance(f"{what}: expected a string, got {type(value).__name__}", path, "put it in quotes")
    if not value:
        raise InvalidInstance(f"{what} is empty", path, "give it a name")


def check_flag(value: Any, path: str) -> None:
    """Raise InvalidInstance if a value is not a boolean."""
    if type(value) is not bool:
        raise InvalidInstance(f"expected true or false, got {shown(value)}", path, "use a boolean")


def freeze_elements(values: Any, path: str) -> tuple[Any, ...]:
    """Return a list of elements as a tuple of frozen values."""
    if not isinstance(values, (list, tuple)):
        raise InvalidInstance(f"expected a list of elements, got {type(values).__name__}", path, "put it in a list")
    return tuple(frozen(value, f"{path}[{index}]") for index, value in enumerate(values))


def check_row(row: Any, path: str) -> tuple[str, ...]:
    """Return a row as a tuple; raise InvalidInstance if it is not a list of node names."""
    if not isinstance(row, (list, tuple)) or not set(map(type, row)) <= {str}:
        raise InvalidInstance("a row is not a list of node names", path, "list the names of its keys")
    return tuple(row)


def check_table(table: Any, path: str) -> dict[str, tuple[str, ...]]:
    """Return a row table with tuples as rows; raise InvalidInstance if it is not a mapping of names to rows."""
    if not isinstance(table, Mapping) or not set(map(type, table)) <= {str}:
        raise InvalidInstance("a row table does not map node names to rows", path, "write {name: [keys], ...}")
    return {name: check_row(row, f"{path}[{quoted(name)}]") for name, row in table.items()}


def check_row_count(nodes: int, tables: int, path: str) -> None:
    """Raise InvalidInstance if a family has more than ``MAX_ROWS`` rows."""
    if nodes * tables > MAX_ROWS:
        fact = f"{nodes} nodes with {tables} row tables make {nodes * tables} rows, more than {MAX_ROWS}"
        raise InvalidInstance(fact, path, "shorten the layer pattern or split the family")


def check_sequence(values: Any, kind: type, path: str) -> tuple[Any, ...]:
    """Return a sequence as a tuple; raise InvalidInstance if it is not a sequence of ``kind``."""
    if not isinstance(values, Sequence) or not all(isinstance(value, kind) for value in values):
        raise InvalidInstance(f"not a sequence of {kind.__name__}", path, f"give {kind.__name__} objects")
    return tuple(values)
