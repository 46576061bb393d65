"""The JSON of ``--tokens``: what is known of the positions of a mask, every part optional and strictly checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from masksynth.audit.reach import Sets, seen_directly
from masksynth.audit.subject import Labels, Subject
from masksynth.errors import InvalidInstance
from masksynth.tasks import Instance
from masksynth.tasks.canonical import canonical, frozen, shown, step
from masksynth.tasks.files import instance_of, load
from masksynth.tasks.model import MAX_POSITION
from masksynth.tasks.text import MAX_BYTES, parse

KEYS = ("inputs", "positions", "kinds", "labels", "family")


def with_tokens(subject: Subject, tokens: str | Path | Mapping[str, Any]) -> Subject:
    """The subject with what the JSON says.

    Raises
    ------
    InvalidInstance
        Naming the file, the JSON path and the remedy.
    """
    source = "" if isinstance(tokens, Mapping) else str(tokens)
    folder = Path() if isinstance(tokens, Mapping) else Path(tokens).parent
    try:
        document = dict(tokens) if isinstance(tokens, Mapping) else parse(_text(Path(tokens)))
        return _merged(subject, document, folder)
    except InvalidInstance as error:
        raise error if error.source else error.within(source=source) from None


def _text(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInstance(f"cannot be read: {error.strerror}", "", "name a JSON file", str(path)) from None


def _merged(subject: Subject, document: Any, folder: Path) -> Subject:
    if not isinstance(document, dict):
        raise InvalidInstance("is not an object", "$", f"write an object with some of {', '.join(KEYS)}")
    if unknown := [key for key in document if key not in KEYS]:
        raise InvalidInstance(f"unknown key {shown(unknown[0])}", "$" + step(unknown[0]), f"use some of {', '.join(KEYS)}")
    found: dict[str, Any] = {}
    if "inputs" in document:
        found["inputs"] = tuple(frozen(value, f"$.inputs[{i}]") for i, value in enumerate(_list(document, "inputs", subject.size)))
    if "positions" in document:
        found["positions"] = _places(_list(document, "positions", subject.size))
    if "kinds" in document:
        found["kinds"] = _kinds(_list(document, "kinds", subject.size))
    if "family" in document:
        found["family"] = _family(document["family"], folder)
        if subject.layers is None:
            found["layers"] = found["family"].layers
    subject = replace(subject, **found)
    return replace(subject, labels=_labels(subject, document["labels"])) if "labels" in document else subject


def _list(document: Mapping[str, Any], key: str, size: int) -> list[Any]:
    values = document[key]
    if not isinstance(values, (list, tuple)):
        raise InvalidInstance(f"is {shown(values)}, not a list", f"$.{key}", "write one entry for each position")
    if len(values) != size:
        raise InvalidInstance(f"has {len(values)} entries, and the mask has {size} positions", f"$.{key}", "write one for each position")
    return list(values)


def _places(values: list[Any]) -> Any:
    for place, value in enumerate(values):
        if type(value) is not int or not 0 <= value <= MAX_POSITION:
            fact = f"position {shown(value)} is not an integer from 0 to {MAX_POSITION}"
            raise InvalidInstance(fact, f"$.positions[{place}]", "give the position id")
    return np.array(values, np.int64)


def _kinds(values: list[Any]) -> tuple[str, ...]:
    for place, value in enumerate(values):
        if type(value) is not str:
            raise InvalidInstance(f"kind {shown(value)} is not a string", f"$.kinds[{place}]", "put it in quotes")
    return tuple(values)


def _family(value: Any, folder: Path) -> Instance:
    if isinstance(value, Instance):
        return value
    if isinstance(value, str):
        try:
            return load(folder / value)
        except OSError as error:
            raise InvalidInstance(f"{shown(value)} cannot be read: {error.strerror}", "$.family", "name an instance file") from None
    if not isinstance(value, dict):
        raise InvalidInstance(f"is {shown(value)}", "$.family", "write an instance, or the path of its file")
    try:
        return instance_of(value)
    except InvalidInstance as error:
        raise error.within("$.family") from None


def _labels(subject: Subject, values: Any) -> Labels:
    if not isinstance(values, (list, tuple)):
        raise InvalidInstance(f"is {shown(values)}, not a list", "$.labels", "write [[position, label, hides], ...]")
    rows = [_label(value, f"$.labels[{place}]", subject.size) for place, value in enumerate(values)]
    position = np.array([row[0] for row in rows], np.int64)
    hides = tuple(row[2] or () for row in rows)
    target, odd = _next_tokens(subject, rows)
    value = tuple(row[1] for row in rows)
    return Labels(position, value, np.ones(len(rows)), np.zeros(len(rows), np.int64), (), hides, target, odd)


Row = tuple[int, Any, tuple[Any, ...] | None]


def _label(value: Any, path: str, size: int) -> Row:
    if not isinstance(value, (list, tuple)) or len(value) not in (2, 3):
        raise InvalidInstance("is not [position, label] or [position, label, hides]", path, "write a list of two or three")
    position = value[0]
    if type(position) is not int or not 0 <= position < size:
        raise InvalidInstance(
            f"position {shown(position)} is not an integer from 0 to {size - 1}", f"{path}[0]", "count rows of the mask from 0"
        )
    label = frozen(value[1], f"{path}[1]")
    if len(value) == 2 or value[2] is None:
        return position, label, None
    if not isinstance(value[2], (list, tuple)):
        raise InvalidInstance(f"hides is {shown(value[2])}, not a list", f"{path}[2]", "list elements, or write null")
    hides = tuple(frozen(element, f"{path}[2][{place}]") for place, element in enumerate(value[2]))
    for place, element in enumerate(hides):
        at = place_of(element)
        if at is not None and not 0 <= at < size:
            raise InvalidInstance(f"there is no position {at}", f"{path}[2][{place}].at", f"count from 0 to {size - 1}")
        if at is None and subject_needs_inputs(element):
            raise InvalidInstance("at is not an integer", f"{path}[2][{place}].at", "give the number of a position")
    return position, label, hides


def place_of(element: Any) -> int | None:
    """The number k of the element ``{"at": k}``, None for any other.

    Examples
    --------
    >>> place_of({"at": 3}), place_of("at")
    (3, None)
    """
    if isinstance(element, Mapping) and set(element) == {"at"} and type(element["at"]) is int:
        return int(element["at"])
    return None


def subject_needs_inputs(element: Any) -> bool:
    """Whether an element is written like ``{"at": k}`` without an integer."""
    return isinstance(element, Mapping) and set(element) == {"at"}


def _next_tokens(subject: Subject, rows: list[Row]) -> tuple[Any, int | None]:
    """For labels that do not say what they hide: the position of the next token of the same text, where all of them have one or end a text.

    Position k holds the next token of q iff its input is the label, its position id is one more, and it attends to q. If some label has
    keys one further on and none of them is it, the labels are no next tokens, and nothing is taken to be hidden; where most
    labels are next tokens, the first that is none is given too.
    """
    target = np.full(len(rows), -1, np.int64)
    unsaid = [number for number, row in enumerate(rows) if row[2] is None]
    if subject.inputs is None or subject.positions is None or not unsaid:
        return target, None
    texts = list(map(canonical, subject.inputs))
    places = subject.positions.tolist()
    after: dict[int, list[int]] = {}
    for place, number in enumerate(places):
        after.setdefault(number, []).append(place)
    pairs = [(number, key) for number in unsaid for key in after.get(places[rows[number][0]] + 1, ())]
    owner, follower = np.array(pairs, np.int64).reshape(-1, 2).T
    query = np.array([rows[number][0] for number in owner.tolist()], np.int64)
    single = Sets(np.arange(len(query) + 1), query)
    continues = seen_directly(subject.mask, follower, np.arange(len(query)), single) >= 0
    owner, follower = owner[continues], follower[continues]
    same = np.array([texts[key] == canonical(rows[number][1]) for number, key in zip(owner.tolist(), follower.tolist(), strict=True)], bool)
    odd = np.setdiff1d(owner, owner[same])
    if len(odd):
        return target, int(odd[0]) if 2 * len(odd) < len(np.unique(owner)) else None
    target[owner[same][::-1]] = follower[same][::-1]
    return target, None
