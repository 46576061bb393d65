"""Read the JSON of ``--tokens``: what is known of the positions of a mask; each key is optional."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import BoolArray
from masksynth.subject.next_tokens import find_next_tokens
from masksynth.subject.subject import Labels, Subject
from masksynth.subject.table_rule import TableRule
from masksynth.tasks import Instance
from masksynth.tasks.canonical import canonical, frozen, shown, step
from masksynth.tasks.instance_files import instance_of, load
from masksynth.tasks.parse_json import MAX_BYTES, parse
from masksynth.tasks.task import MAX_POSITION

SHOWN = 60
"""Characters of a value that are shown in an error."""
PositionId = Annotated[int, Meta(ge=0, le=MAX_POSITION)]
Index = Annotated[int, Meta(ge=0)]
Width = Annotated[int, Meta(ge=1, le=MAX_POSITION)]


class LabelEntry(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """``[position, label]`` or ``[position, label, hides]``."""

    position: Index
    label: Any
    hides: list[Any] | None = None


class Padding(msgspec.Struct, forbid_unknown_fields=True):
    """Inputs that are padding, or positions of the mask that are."""

    ids: list[Any] | None = None
    positions: list[Index] | None = None


class Window(msgspec.Struct, forbid_unknown_fields=True):
    """A table that shows a window of tokens."""

    window: Width


class Chunk(msgspec.Struct, forbid_unknown_fields=True):
    """A table that shows chunks of tokens."""

    chunk: Width


TYPES: dict[str, Any] = {
    "inputs": list[Any],
    "positions": list[PositionId],
    "kinds": list[str],
    "labels": list[LabelEntry],
    "family": Any,
    "padding": Padding,
    "tables": list[Any],
}
"""Type of each key."""
REMEDIES = {
    "inputs": "write one entry for each position",
    "positions": f"write a position id from 0 to {MAX_POSITION} for each position",
    "kinds": "write a string for each position",
    "labels": "write [[position, label, hides], ...]; hides is a list or may be left out",
    "family": "write an instance, or the path of its file",
    "padding": 'write {"ids": [0]} for the inputs of padding, or {"positions": [5, 6]}',
    "tables": 'write one entry for each table: "full", {"window": 4096} or {"chunk": 8192}',
}
KEYS = tuple(TYPES)


def with_tokens(subject: Subject, tokens: str | Path | Mapping[str, Any]) -> Subject:
    """Return the subject with the information in the JSON.

    Parameters
    ----------
    subject : Subject
    tokens : path or mapping
        The file, or its content.

    Raises
    ------
    InvalidInstance
        Naming the file, the JSON path and the remedy.
    """
    if isinstance(tokens, Mapping):
        return _add_document(subject, dict(tokens), Path())
    file = Path(tokens)
    try:
        return _add_document(subject, parse(_read_text(file)), file.parent)
    except InvalidInstance as error:
        raise error if error.source else error.within(source=str(file)) from None


def _read_text(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)  # one byte beyond the limit, so that parse() refuses what exceeds it
    except OSError as error:
        raise InvalidInstance(f"cannot be read: {error.strerror}", "", "name a JSON file", str(path)) from None
    if not text.strip():
        raise InvalidInstance("the file is empty", "", f"write an object with some of {', '.join(KEYS)}", str(path))
    return text


def _add_document(subject: Subject, document: Any, folder: Path) -> Subject:
    if not isinstance(document, dict):
        fact = f"expected an object, got {_text_of(document)}"
        raise InvalidInstance(fact, "$", f"write an object with some of {', '.join(KEYS)}")
    if unknown := [key for key in document if key not in KEYS]:
        fact = f"unknown key {shown(unknown[0])}"
        raise InvalidInstance(fact, "$" + step(unknown[0]), f"use some of {', '.join(KEYS)}")
    for key, add in ADDERS.items():
        if key in document:
            subject = add(subject, _convert(document[key], key), folder)
    return subject


def _convert(value: Any, key: str) -> Any:
    """Return the value of a key, converted to its type.

    Raises
    ------
    InvalidInstance
        "expected X, got Y" with the JSON path of Y.
    """
    try:
        return msgspec.convert(value, TYPES[key])
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        path = path.rstrip("`")
        wrong = value
        for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
            wrong = wrong[name or int(index)]
        expected = re.sub(r", got.*", "", text).replace("`", "")
        fact = f"{expected[:1].lower()}{expected[1:]}, got {_text_of(wrong)}"
        raise InvalidInstance(fact, f"$.{key}{path}", REMEDIES[key]) from None


def _text_of(value: Any) -> str:
    """Return a JSON value as text, cut at ``SHOWN`` characters."""
    text = json.dumps(value, default=shown, skipkeys=True)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _check_length(values: list[Any], key: str, expected: int) -> None:
    if len(values) != expected:
        fact = f"expected {expected} entries, one for each position of the mask, got {len(values)}"
        raise InvalidInstance(fact, f"$.{key}", REMEDIES[key])


def _check_index(position: int, size: int, path: str) -> None:
    if position >= size:
        raise InvalidInstance(f"expected 0 <= position < {size}, got {position}", path, "count positions from 0")


def _add_inputs(subject: Subject, values: list[Any], _: Path) -> Subject:
    _check_length(values, "inputs", subject.size)
    return replace(subject, inputs=tuple(frozen(value, f"$.inputs[{i}]") for i, value in enumerate(values)))


def _add_positions(subject: Subject, values: list[int], _: Path) -> Subject:
    _check_length(values, "positions", subject.size)
    return replace(subject, positions=np.array(values, np.int64))


def _add_kinds(subject: Subject, values: list[str], _: Path) -> Subject:
    _check_length(values, "kinds", subject.size)
    return replace(subject, kinds=tuple(values))


def _add_family(subject: Subject, value: Any, folder: Path) -> Subject:
    family = _read_family(value, folder)
    return replace(subject, family=family, layers=family.layers if subject.layers is None else subject.layers)


def _read_family(value: Any, folder: Path) -> Instance:
    """Return an instance as it is, from a path relative to ``folder``, or from its JSON."""
    if isinstance(value, Instance):
        return value
    if isinstance(value, str):
        try:
            return load(folder / value)
        except OSError as error:
            fact = f"{shown(value)} cannot be read: {error.strerror}"
            raise InvalidInstance(fact, "$.family", "name an instance file") from None
    if not isinstance(value, dict):
        raise InvalidInstance(f"expected an object or a path, got {_text_of(value)}", "$.family", REMEDIES["family"])
    try:
        return instance_of(value)
    except InvalidInstance as error:
        raise error.within("$.family") from None


def _add_tables(subject: Subject, entries: list[Any], _: Path) -> Subject:
    """Set which earlier tokens of a sample each table shows: all, a window or chunks."""
    count = subject.mask.tables
    if len(entries) != count:
        fact = f"expected a list of {'1 entry' if count == 1 else f'{count} entries'}, got {_text_of(entries)}"
        raise InvalidInstance(fact, "$.tables", REMEDIES["tables"])
    return replace(subject, rules=tuple(_table_rule(entry, number) for number, entry in enumerate(entries)))


def _table_rule(entry: Any, number: int) -> TableRule:
    if isinstance(entry, str) and entry == "full":
        return TableRule()
    kind: type[Window] | type[Chunk] = Chunk if isinstance(entry, Mapping) and "chunk" in entry else Window
    try:
        rule = msgspec.convert(entry if isinstance(entry, Mapping) else None, kind)
    except msgspec.ValidationError:
        fact = f"expected the rule of a table, got {_text_of(entry)}"
        raise InvalidInstance(fact, f"$.tables[{number}]", REMEDIES["tables"]) from None
    return TableRule("window", rule.window) if isinstance(rule, Window) else TableRule("chunk", rule.chunk)


def _add_padding(subject: Subject, value: Padding, _: Path) -> Subject:
    """Mark the padding: the positions that are listed, and those whose input is one of the ids."""
    if value.ids is None is value.positions:
        raise InvalidInstance("expected ids or positions, got {}", "$.padding", REMEDIES["padding"])
    padding = np.zeros(subject.size, bool)
    for number, position in enumerate(value.positions or ()):
        _check_index(position, subject.size, f"$.padding.positions[{number}]")
        padding[position] = True
    ids = {canonical(frozen(entry, f"$.padding.ids[{number}]")) for number, entry in enumerate(value.ids or ())}
    if ids and subject.inputs is None:
        raise InvalidInstance("the inputs are not known", "$.padding.ids", "give inputs, or positions of the padding")
    if ids:
        padding |= np.fromiter((canonical(entry) in ids for entry in subject.inputs or ()), bool, subject.size)
    return replace(subject, padding=padding)


def _add_labels(subject: Subject, entries: list[LabelEntry], _: Path) -> Subject:
    count = len(entries)
    for number, entry in enumerate(entries):
        _check_index(entry.position, subject.size, f"$.labels[{number}][0]")
    position = np.array([entry.position for entry in entries], np.int64)
    value = tuple(frozen(entry.label, f"$.labels[{number}][1]") for number, entry in enumerate(entries))
    hides = tuple(_hidden(entry.hides or [], f"$.labels[{n}][2]", subject.size) for n, entry in enumerate(entries))
    silent: BoolArray = np.array([entry.hides is None for entry in entries], bool)
    next_tokens = find_next_tokens(subject, position, value, silent)
    labels = Labels(position, value, np.ones(count), np.zeros(count, np.int64), (), hides, *next_tokens)
    return replace(subject, labels=labels)


def _hidden(elements: list[Any], path: str, size: int) -> tuple[Any, ...]:
    """Return the hidden elements of a label, frozen; the position k of each ``{"at": k}`` is checked."""
    hidden = tuple(frozen(element, f"{path}[{number}]") for number, element in enumerate(elements))
    for number, element in enumerate(hidden):
        if isinstance(element, Mapping) and set(element) == {"at"}:
            position = position_of(element)
            if position is None or not 0 <= position < size:
                fact = f"expected 0 <= position < {size}, got {_text_of(element['at'])}"
                raise InvalidInstance(fact, f"{path}[{number}].at", "give the number of a position, counted from 0")
    return hidden


def position_of(element: Any) -> int | None:
    """Return k for the element ``{"at": k}``, None for any other.

    Examples
    --------
    >>> position_of({"at": 3}), position_of("at")
    (3, None)
    """
    if isinstance(element, Mapping) and set(element) == {"at"} and type(element["at"]) is int:
        return int(element["at"])
    return None


ADDERS: dict[str, Callable[[Subject, Any, Path], Subject]] = {
    "inputs": _add_inputs,
    "positions": _add_positions,
    "kinds": _add_kinds,
    "family": _add_family,
    "tables": _add_tables,
    "padding": _add_padding,
    "labels": _add_labels,
}
"""What adds the value of each key to a subject; inputs and positions before those that need them."""
