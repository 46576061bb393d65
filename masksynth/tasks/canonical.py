"""Canonical JSON text: what makes two inputs, labels or elements equal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from math import isfinite
from typing import Any

from masksynth.errors import InvalidInstance

MAX_DEPTH = 32
"""Deepest nesting of an input, a label or an element (a plain token has depth 0)."""


def canonical(value: Any) -> str:
    """The canonical JSON text of a value: sorted keys, no spaces, ASCII.

    Two inputs, labels or elements are equal iff their canonical texts are, so 1, 1.0, true and "1" are four values.

    Examples
    --------
    >>> [canonical(value) for value in (1, 1.0, True, "1", ("mean", "w1"))]
    ['1', '1.0', 'true', '"1"', '["mean","w1"]']
    """
    if type(value) is str:
        return encode_basestring_ascii(value)
    if type(value) is int:
        return int.__repr__(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def frozen(value: Any, path: str = "$", depth: int = 0) -> Any:
    """A JSON value with its lists turned to tuples, checked to be JSON at all.

    Raises
    ------
    InvalidInstance
        If a number is not finite, a type is not JSON's, or the nesting exceeds ``MAX_DEPTH``.

    Examples
    --------
    >>> frozen(["mean", "w1", "w3"])
    ('mean', 'w1', 'w3')
    """
    if value is None or type(value) in (str, int, bool):
        return value
    if depth >= MAX_DEPTH:
        raise InvalidInstance(f"nested deeper than {MAX_DEPTH} levels", path, "flatten the value")
    if type(value) is float:
        if not isfinite(value):
            raise InvalidInstance(f"{value} is not a JSON number", path, "use a finite number or a string")
        return value
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value))
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return {key: frozen(item, f"{path}.{key}", depth + 1) for key, item in value.items()}
    raise InvalidInstance(f"{type(value).__name__} is not a JSON value", path, "use strings, numbers, booleans, null, lists or objects")
