"""Text -> JSON value: size, encoding, nesting, repeated keys, NaN and overlong integers, each fault with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import MAX_DIGITS, shown, step

MAX_BYTES = 1 << 30
"""Largest instance file that is read (1 GiB)."""
MAX_NESTING = 48
"""Deepest nesting of brackets in an instance file."""
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON string, or an unfinished one at the end of a text; possessive, so that matching is linear."""


class _Repeated:
    """Stands for an object in which ``key`` was given twice."""

    def __init__(self, key: str) -> None:
        self.key = key


class _Constant:
    """Stands for NaN, Infinity or an overlong integer."""

    def __init__(self, fact: str, remedy: str) -> None:
        self.fact, self.remedy = fact, remedy


def parse(data: bytes) -> Any:
    """JSON text -> value, refusing repeated keys, NaN, deep nesting, oversized and undecodable text."""
    if len(data) > MAX_BYTES:
        raise InvalidInstance(f"larger than {MAX_BYTES} bytes", remedy="split the family")
    if not data.strip():
        raise InvalidInstance(
            "the file is empty", remedy='an instance begins {"masksynth": 1, "name": ..., "tasks": [...]}'
        )
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
    value, odd = _decoded(text)
    if odd:
        raise next(
            _fault(found, path) for path, found in _walk(value, "$") if isinstance(found, (_Repeated, _Constant))
        )
    return value


Odd = _Repeated | _Constant


def _decoded(text: str) -> tuple[Any, list[Odd]]:
    """The value of a JSON text, in which stand-ins mark what JSON does not allow or nobody should need, and the stand-ins."""
    odd: list[Odd] = []

    def marked(found: Odd) -> Odd:
        odd.append(found)
        return found

    def pairs(items: list[tuple[str, Any]]) -> Any:
        value = dict(items)
        return value if len(value) == len(items) else marked(_repeated(items))

    def constant(name: str) -> Any:
        return marked(_Constant(f"{name} is not a JSON number", "use a finite number"))

    def integer(digits: str) -> Any:
        fact = f"an integer of {len(digits)} digits, more than {MAX_DIGITS}"
        return int(digits) if len(digits) <= MAX_DIGITS else marked(_Constant(fact, "use a smaller number or a string"))

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant), odd
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than Python reads; reading each one by `integer` is slower
        odd.clear()
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_int=integer), odd


def _repeated(items: list[tuple[str, Any]]) -> _Repeated:
    last = {key: place for place, (key, _) in enumerate(items)}
    return _Repeated(next(key for place, (key, _) in enumerate(items) if last[key] != place))


def _fault(odd: Odd, path: str) -> InvalidInstance:
    if isinstance(odd, _Repeated):
        return InvalidInstance(f"key {shown(odd.key)} is repeated in one object", path, "keep one of them")
    return InvalidInstance(odd.fact, path, odd.remedy)


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, path + step(key))
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
    text = np.frombuffer(STRING.sub(b"", data), np.uint8)
    marks = text[(text == ord("[")) | (text == ord("{")) | (text == ord("]")) | (text == ord("}"))]
    steps = np.where((marks == ord("[")) | (marks == ord("{")), 1, -1)
    return int(steps.cumsum().max(initial=0))
