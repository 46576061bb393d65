"""The JSON of ``--tokens``: what is known of the positions of a mask, every part optional and strictly checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from masksynth.audit.layer_reach import CHUNK, FAR
from masksynth.audit.samples.window_rules import TableRule
from masksynth.errors import InvalidInstance
from masksynth.subject.subject import Labels, Subject
from masksynth.tasks import Instance
from masksynth.tasks.canonical import canonical, frozen, shown, step
from masksynth.tasks.instance_files import instance_of, load
from masksynth.tasks.model import MAX_POSITION
from masksynth.tasks.parse_json import MAX_BYTES, parse
from masksynth.verify.colour_refinement import ranks
from masksynth.verify.interval_sets import row_sets as runs_of
from masksynth.verify.ragged import prefix_sums as prefix
from masksynth.verify.ragged import repeat_ranges as ranges
from masksynth.verify.ragged import split_rows as chunks

SHOWN = 60
"""Characters of a value that are shown."""
KEYS = ("inputs", "positions", "kinds", "labels", "family", "padding", "tables")


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
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInstance(f"cannot be read: {error.strerror}", "", "name a JSON file", str(path)) from None
    if not text.strip():
        raise InvalidInstance("the file is empty", "", f"write an object with some of {', '.join(KEYS)}", str(path))
    return text


def _merged(subject: Subject, document: Any, folder: Path) -> Subject:
    if not isinstance(document, dict):
        raise InvalidInstance("is not an object", "$", f"write an object with some of {', '.join(KEYS)}")
    if unknown := [key for key in document if key not in KEYS]:
        raise InvalidInstance(
            f"unknown key {shown(unknown[0])}", "$" + step(unknown[0]), f"use some of {', '.join(KEYS)}"
        )
    found: dict[str, Any] = {}
    if "inputs" in document:
        found["inputs"] = tuple(
            frozen(value, f"$.inputs[{i}]") for i, value in enumerate(_list(document, "inputs", subject.size))
        )
    if "positions" in document:
        found["positions"] = _places(_list(document, "positions", subject.size))
    if "kinds" in document:
        found["kinds"] = _kinds(_list(document, "kinds", subject.size))
    if "family" in document:
        found["family"] = _family(document["family"], folder)
        if subject.layers is None:
            found["layers"] = found["family"].layers
    if "tables" in document:
        found["rules"] = _rules(document["tables"], subject.mask.tables)
    subject = replace(subject, **found)
    if "padding" in document:
        subject = replace(subject, padding=_padding(subject, document["padding"]))
    return replace(subject, labels=_labels(subject, document["labels"])) if "labels" in document else subject


def _list(document: Mapping[str, Any], key: str, size: int) -> list[Any]:
    values = document[key]
    if not isinstance(values, (list, tuple)):
        raise InvalidInstance(f"is {shown(values)}, not a list", f"$.{key}", "write one entry for each position")
    if len(values) != size:
        raise InvalidInstance(
            f"has {len(values)} entries, and the mask has {size} positions", f"$.{key}", "write one for each position"
        )
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


def _padding(subject: Subject, value: Any) -> Any:
    """Return which positions are padding: those listed, and those whose input is one of the ids."""
    remedy = 'write {"ids": [0]} for what padding embeds, or {"positions": [5, 6]}'
    if not isinstance(value, Mapping) or not value or set(value) - {"ids", "positions"}:
        raise InvalidInstance(f"expected an object with ids or positions, got {_text_of(value)}", "$.padding", remedy)
    for key, values in value.items():
        if not isinstance(values, (list, tuple)):
            raise InvalidInstance(f"expected a list, got {shown(values)}", f"$.padding.{key}", remedy)
    padding = np.zeros(subject.size, bool)
    for number, place in enumerate(value.get("positions", ())):
        if type(place) is not int or not 0 <= place < subject.size:
            fact = f"position {shown(place)} is not an integer from 0 to {subject.size - 1}"
            raise InvalidInstance(fact, f"$.padding.positions[{number}]", "count positions of the mask from 0")
        padding[place] = True
    ids = {canonical(frozen(one, f"$.padding.ids[{number}]")) for number, one in enumerate(value.get("ids", ()))}
    if ids and subject.inputs is None:
        raise InvalidInstance("the inputs are not known", "$.padding.ids", "give inputs, or positions of the padding")
    if ids:
        padding |= np.fromiter((canonical(one) in ids for one in subject.inputs or ()), bool, subject.size)
    return padding


def _text_of(value: Any) -> str:
    """Return a value of JSON as text, cut where it is long."""
    text = json.dumps(value, default=shown, skipkeys=True)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _rules(value: Any, tables: int) -> tuple[TableRule, ...]:
    """Return what each table shows of a sample: "full", or a window or chunks of some tokens."""
    remedy = 'write one entry for each table: "full", {"window": 4096} or {"chunk": 8192}'
    if not isinstance(value, (list, tuple)) or len(value) != tables:
        raise InvalidInstance(f"expected a list of {_entries(tables)}, got {_text_of(value)}", "$.tables", remedy)
    found = []
    for number, entry in enumerate(value):
        if isinstance(entry, str) and entry == "full":
            found.append(TableRule())
            continue
        kind, width = next(iter(entry.items())) if isinstance(entry, Mapping) and len(entry) == 1 else ("", 0)
        if kind not in ("window", "chunk") or type(width) is not int or not 1 <= width <= MAX_POSITION:
            raise InvalidInstance(f"expected a table's rule, got {_text_of(entry)}", f"$.tables[{number}]", remedy)
        found.append(TableRule(kind, width))
    return tuple(found)


def _family(value: Any, folder: Path) -> Instance:
    if isinstance(value, Instance):
        return value
    if isinstance(value, str):
        try:
            return load(folder / value)
        except OSError as error:
            raise InvalidInstance(
                f"{shown(value)} cannot be read: {error.strerror}", "$.family", "name an instance file"
            ) from None
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
    target, unsaid, why = _next_tokens(subject, rows)
    value = tuple(row[1] for row in rows)
    return Labels(position, value, np.ones(len(rows)), np.zeros(len(rows), np.int64), (), hides, target, unsaid, why)


Row = tuple[int, Any, tuple[Any, ...] | None]


def _label(value: Any, path: str, size: int) -> Row:
    if not isinstance(value, (list, tuple)) or len(value) not in (2, 3):
        raise InvalidInstance(
            "is not [position, label] or [position, label, hides]", path, "write a list of two or three"
        )
    position = value[0]
    if type(position) is not int or not 0 <= position < size:
        raise InvalidInstance(
            f"position {shown(position)} is not an integer from 0 to {size - 1}",
            f"{path}[0]",
            "count rows of the mask from 0",
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


def _next_tokens(subject: Subject, rows: list[Row]) -> tuple[Any, Any, str]:
    """Return for labels that do not say what they hide: the position of their next token, those that have none, and why.

    Position k holds the next token of q iff its input is the label, its position id is one more, and it attends to q. A label that stands
    where nothing goes on ends a text and hides nothing. If more than half of the others have a next token, labels are next tokens, and the
    rest are returned; else none is, and all of them are returned.
    """
    target = np.full(len(rows), -1, np.int64)
    unsaid = np.array([number for number, row in enumerate(rows) if row[2] is None], np.int64)
    if not len(unsaid):
        return target, None, ""
    if subject.inputs is None or subject.positions is None:
        return target, unsaid, "inputs and position ids are not known"
    continued, following = _continuations(subject, rows, unsaid)
    odd = unsaid[continued & (following < 0)]
    if len(odd) and 2 * len(odd) >= int(continued.sum()):
        return target, unsaid, "most labels are not the token that follows in a row's text"
    target[unsaid] = following
    return target, odd, "it is not a token that follows there, as most labels are"


def _continuations(subject: Subject, rows: list[Row], unsaid: Any) -> tuple[Any, Any]:
    """Return for each label in ``unsaid`` whether some position continues its row's text, and the first that holds the label, else -1.

    A row k that holds q continues its text if its position id is one more. Labels are sorted by position id of their row, label and row,
    so that those which an interval of keys of k answers are one range.
    """
    if subject.positions is None:
        return np.zeros(len(unsaid), bool), np.full(len(unsaid), -1, np.int64)
    known: dict[str, int] = {}
    texts = np.array([known.setdefault(canonical(value), len(known)) for value in subject.inputs or ()], np.int64)
    query = np.array([rows[number][0] for number in unsaid.tolist()], np.int64)
    label = np.array([known.setdefault(canonical(rows[number][1]), len(known)) for number in unsaid.tolist()], np.int64)
    width, place = subject.size + 1, subject.positions
    group = ranks(
        np.concatenate([place[query], place - 1])
    )  # place - 1: what the label's row has, if the position continues it
    by_text = ranks(group, np.concatenate([label, texts]))
    continued, found = np.zeros(len(unsaid), bool), np.full(len(unsaid), FAR, np.int64)
    for table in range(subject.mask.tables):
        keys = runs_of(subject.mask, table)
        reader = np.repeat(np.arange(subject.size), np.diff(keys.offset))
        for code, texted in ((group, False), (by_text, True)):
            mine, theirs = code[: len(unsaid)] * width + query, code[len(unsaid) :][reader] * width
            order = np.argsort(mine, kind="stable")
            low = np.searchsorted(mine[order], theirs + keys.start)
            high = np.searchsorted(mine[order], theirs + keys.end)
            if not texted:
                steps = np.bincount(low, minlength=len(mine) + 1) - np.bincount(high, minlength=len(mine) + 1)
                continued[order] |= steps.cumsum()[:-1] > 0
                continue
            for first, last in chunks(prefix(high - low), CHUNK, len(low)):
                count = (high - low)[first:last]
                np.minimum.at(found, order[ranges(low[first:last], count)], np.repeat(reader[first:last], count))
    return continued, np.where(found == FAR, -1, found)
