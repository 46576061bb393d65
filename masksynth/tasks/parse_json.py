"""Parse JSON text, with checks of size, encoding, nesting, repeated keys, NaN and overlong integers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import MAX_DIGITS, shown, step

MAX_BYTES = 1 << 30
"""Maximal size of an instance file (1 GiB)."""
MAX_NESTING = 48
"""Maximal nesting of brackets in an instance file."""
NO_STRUCTURE = bytes(set(range(256)) - set(b'"[]{}'))
"""All bytes except quotes and brackets."""


class _Repeated:
    """Placeholder for an object in which ``key`` is repeated."""

    def __init__(self, key: str) -> None:
        self.key = key


class _Constant:
    """Placeholder for NaN, Infinity or an overlong integer."""

    def __init__(self, fact: str, remedy: str) -> None:
        self.fact, self.remedy = fact, remedy


INSTANCE_BEGINS = 'an instance begins {"masksynth": 1, "name": ..., "tasks": [...]}'


def parse(data: bytes, begins: str = INSTANCE_BEGINS) -> Any:
    """Return the value of JSON text.

    Parameters
    ----------
    data : bytes
    begins : str
        How a document begins, for the message about an empty one.

    Raises
    ------
    InvalidInstance
        For repeated keys, NaN, deep nesting, and text that is too large, not UTF-8 or not JSON.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInstance(f"larger than {MAX_BYTES} bytes", remedy="split the family")
    if not data.strip():
        raise InvalidInstance("the file is empty", remedy=begins)
    if nesting(data) > MAX_NESTING:
        raise InvalidInstance(f"nested deeper than {MAX_NESTING} levels", remedy="flatten the document")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInstance(f"not UTF-8: byte {error.start}", remedy="save the file as UTF-8") from None
    try:
        return decode_text(text)
    except json.JSONDecodeError as error:
        raise InvalidInstance(
            f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}", remedy="check the text there"
        ) from None


def read_document(source: str | Path | IO[bytes] | IO[str]) -> tuple[bytes | str, str]:
    """Return the text of a document and the name of its file, for messages.

    Parameters
    ----------
    source : path or open file
        At most one byte more than ``MAX_BYTES`` is read.

    Raises
    ------
    InvalidInstance
        If it is neither.
    OSError
        If the file cannot be read.
    """
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            return file.read(MAX_BYTES + 1), str(source)
    if not hasattr(source, "read"):
        raise InvalidInstance(f"expected a path or an open file, got {type(source).__name__}", "")
    name = getattr(source, "name", "<stream>")
    return source.read(MAX_BYTES + 1), name if isinstance(name, str) else "<stream>"


def parse_document(data: bytes | str, begins: str = INSTANCE_BEGINS) -> Any:
    """Return the value of JSON text that a caller gives as bytes or str; parameters and errors are those of `parse`."""
    if not isinstance(data, bytes | str):
        raise InvalidInstance(f"expected JSON text as bytes or str, got {type(data).__name__}", "")
    return parse(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data, begins)


def decode_text(text: str) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    InvalidInstance
        Naming the JSON path of a repeated key, of NaN or Infinity, or of an integer of more than ``MAX_DIGITS`` digits.
    json.JSONDecodeError
        If the text is not JSON.
    RecursionError
        If it is nested deeper than Python allows.

    Examples
    --------
    >>> decode_text('{"a": [{"b": 1, "b": 2}]}')
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.a[0]: key 'b' is repeated in one object; keep one of them
    """
    value, placeholders = _decode(text)
    if placeholders:
        raise next(
            _describe(item, path) for path, item in _walk(value, "$") if isinstance(item, (_Repeated, _Constant))
        )
    return value


Placeholder = _Repeated | _Constant


def _decode(text: str) -> tuple[Any, list[Placeholder]]:
    """Return the value of a JSON text with placeholders for what is not allowed, and the list of placeholders."""
    placeholders: list[Placeholder] = []

    def register(placeholder: Placeholder) -> Placeholder:
        placeholders.append(placeholder)
        return placeholder

    def pairs(items: list[tuple[str, Any]]) -> Any:
        value = dict(items)
        return value if len(value) == len(items) else register(_find_repeated(items))

    def constant(name: str) -> Any:
        return register(_Constant(f"{name} is not a JSON number", "use a finite number"))

    def integer(digits: str) -> Any:
        fact = f"an integer of {len(digits)} digits, more than {MAX_DIGITS}"
        remedy = "use a smaller number or a string"
        return int(digits) if len(digits) <= MAX_DIGITS else register(_Constant(fact, remedy))

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant), placeholders
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than Python reads; reading each one by `integer` is slower
        placeholders.clear()
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_int=integer), placeholders


def _find_repeated(items: list[tuple[str, Any]]) -> _Repeated:
    last = {key: index for index, (key, _) in enumerate(items)}
    return _Repeated(next(key for index, (key, _) in enumerate(items) if last[key] != index))


def _describe(placeholder: Placeholder, path: str) -> InvalidInstance:
    if isinstance(placeholder, _Repeated):
        return InvalidInstance(f"key {shown(placeholder.key)} is repeated in one object", path, "keep one of them")
    return InvalidInstance(placeholder.fact, path, placeholder.remedy)


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of a value and all values inside it."""
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, path + step(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]")


def nesting(data: bytes) -> int:
    """Return the maximal nesting of brackets outside strings.

    Examples
    --------
    >>> nesting(b'{"a": ["]", [1]]}')
    3
    """
    if b"\\" in data:  # without escaped backslashes, the quotes after the others are escaped
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = np.frombuffer(data.translate(None, NO_STRUCTURE), np.uint8)
    in_string = np.logical_xor.accumulate(marks == ord('"'))  # true for an opening quote and what follows it
    step = np.zeros(256, np.int32)
    step[[*b"[{"]], step[[*b"]}"]] = 1, -1
    return int(step[marks[~in_string]].cumsum().max(initial=0))
