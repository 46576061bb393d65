"""Parse lines of samples by simdjson: per-token lists become arrays, and no token becomes a Python object.

What the parser cannot decide as the careful reader in `masksynth.pack.read_files` would, it leaves to that reader.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import simdjson

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import AnyArray
from masksynth.pack.check_samples import Columns, assemble, list_names
from masksynth.pack.sample_columns import SampleTable
from masksynth.pack.sample_values import SCALARS, read_list
from masksynth.pack.token_masks import MASKS, Lists
from masksynth.tasks.parse_json import decode_text

ESCAPED_BRACKET = b"\\u005"
"""Start of an opening bracket (and of others) that is written as an escape."""
MAX_PARTS = 1000
"""Maximum number of different lists of keys that are remembered."""
NAMES, NUMBERS = {str, int, type(None)}, {int, float, type(None)}
TYPES: Mapping[str, set[type]] = {"id": NAMES, "group": NAMES, "weight": NUMBERS}


class ParsedLine(NamedTuple):
    """The fields of one sample: scalars as Python values, per-token lists as arrays."""

    scalars: Mapping[str, Any]
    lists: Mapping[str, AnyArray]


class _Keys(NamedTuple):
    """The keys of an object: those of per-token lists and the others, and the number of opening brackets in them."""

    lists: tuple[str, ...]
    others: tuple[str, ...]
    brackets: int


class LineParser:
    """Parse one line after another; per-token lists of other names than the given ones are ignored.

    Parameters
    ----------
    token_fields, key_fields : sequence of str
        Names of the optional per-token lists: real numbers, and integers.

    Examples
    --------
    >>> parser = LineParser(["advantages"], [])
    >>> row = parser.parse(b'{"id": "a", "input_ids": [5, 6], "labels": [-100, 6], "advantages": [null, 1]}')
    >>> row.scalars, row.lists["labels"].tolist(), row.lists["advantages"].tolist()
    ({'id': 'a'}, [-100, 6], [nan, 1.0])
    >>> parser.parse(b'{"id": "a", "input_ids": [5], "labels": [-100], "id": "b"}') is None
    True
    """

    def __init__(self, token_fields: Sequence[str], key_fields: Sequence[str]) -> None:
        self.token_fields, self.key_fields = token_fields, key_fields
        self.names = list_names(token_fields, key_fields)
        self.types: dict[str, type] = {name: np.float64 if name in token_fields else np.int64 for name in self.names}
        self.types["input_ids"] = np.int64
        self.parser = simdjson.Parser()
        self.parts: dict[tuple[str, ...], _Keys] = {}

    def parse(self, line: bytes) -> ParsedLine | None:
        """Return the fields of a line, None if the careful reader has to read it."""
        try:
            return self._read(self.parser.parse(line), line)
        except (InvalidInstance, ValueError, TypeError, KeyError, RuntimeError):
            self.parser = simdjson.Parser()  # the exception may still refer to values of the old one
            return None

    def _read(self, document: Any, line: bytes) -> ParsedLine:
        if not isinstance(document, simdjson.Object) or line.startswith(codecs.BOM_UTF8):
            raise ValueError("not an object, or a byte order mark, which simdjson skips")
        keys = tuple(document)
        parts = self.parts.get(keys) or self._part_keys(keys)
        lists = {name: self._numbers(name, value) for name in parts.lists if (value := document[name]) is not None}
        brackets = parts.brackets + len(lists)
        scalars: dict[str, Any] = {}
        for name in parts.others:
            item: Any = document[name]
            if type(item) is str:
                brackets += "[" in item and item.count("[")
            elif isinstance(item, (simdjson.Array, simdjson.Object)):
                text: bytes = cast(Any, item).mini  # as in the line, without white space
                brackets += text.count(b"[")
                # a value that is ignored is read only if it may repeat a key
                item = decode_text(text.decode()) if name in SCALARS or b"{" in text else None
            scalars[name] = item
        # as_buffer flattens nested lists, so any further bracket is one too many
        if not _has_brackets(line, brackets) or (b"\\" in line and ESCAPED_BRACKET in line):
            raise ValueError("a nested list")
        if len(set(map(len, lists.values()))) != 1 or "input_ids" not in lists:
            raise ValueError("lists of several lengths, or no tokens")
        _check_scalars(scalars)
        return ParsedLine(scalars, lists)

    def _part_keys(self, keys: tuple[str, ...]) -> _Keys:
        """Return the keys of an object by what they name, and remember them: most lines have the same."""
        if len(set(keys)) < len(keys):
            raise ValueError("a repeated key")
        lists = tuple(key for key in keys if key in self.types)
        others = tuple(key for key in keys if key not in self.types)
        if len(self.parts) >= MAX_PARTS:
            self.parts.clear()
        self.parts[keys] = _Keys(lists, others, sum(key.count("[") for key in keys))
        return self.parts[keys]

    def _numbers(self, name: str, value: Any) -> AnyArray:
        """Return a list of numbers as an array."""
        if not isinstance(value, simdjson.Array):
            raise TypeError("not a list")
        real = self.types[name] is np.float64
        try:
            buffer: Any = value.as_buffer(of_type="d" if real else "i")
        except TypeError:
            if not (real or name in MASKS):
                raise
            return read_list("", name, value.as_list(), self.types[name])  # nulls, booleans
        return np.frombuffer(buffer, self.types[name]) if buffer.size else np.zeros(0, self.types[name])

    def table(self, rows: Sequence[ParsedLine], place: Sequence[str], prefix: str) -> SampleTable:
        """Return the checked table of parsed lines.

        Parameters
        ----------
        rows : sequence of ParsedLine
        place : sequence of str
            Where each was read.
        prefix : str
            Start of the ids of samples without one.
        """
        lists: dict[str, Lists] = {}
        for name in self.names:
            column = [row.lists.get(name) for row in rows]
            if any(values is not None for values in column):
                lists[name] = column
        tokens = [row.lists["input_ids"] for row in rows]
        weights = [row.scalars.get("weight") for row in rows]
        columns = Columns(
            ids=[row.scalars.get("id") for row in rows],
            groups=[row.scalars.get("group") for row in rows],
            place=place,
            weight=[1.0 if weight is None else float(weight) for weight in weights],
            lengths=list(map(len, tokens)),
            tokens=np.concatenate([np.zeros(0, np.int64), *tokens]),
            lists=lists,
            segments=[row.scalars.get("segments") for row in rows],
            prefix=prefix,
        )
        return assemble(columns, self.token_fields, self.key_fields)


def _has_brackets(line: bytes, count: int) -> bool:
    """Return whether a line contains exactly this many opening brackets; faster than counting where there are few."""
    place = -1
    for _ in range(count):
        place = line.find(b"[", place + 1)
        if place < 0:
            return False
    return line.find(b"[", place + 1) < 0


def _check_scalars(scalars: Mapping[str, Any]) -> None:
    """Leave to the careful reader a value of another type, and an integer above 64 bits."""
    for name, types in TYPES.items():
        value = scalars.get(name)
        if type(value) not in types or (type(value) is int and value >= 2**63):
            raise ValueError(f"{name} of another type")
