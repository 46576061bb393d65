"""Canonical JSON text, by which inputs, labels and elements are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from json.encoder import encode_basestring_ascii
from math import isfinite
from typing import Any

from masksynth.errors import InvalidInstance

MAX_DEPTH = 32
"""Maximal nesting of an input, a label or an element (a plain token has depth 0)."""
MAX_DIGITS = 4300
"""Maximal number of digits of an integer, the default limit of Python."""
SHOWN = 60
"""Maximal number of characters of a value or a key in a message."""
_TOO_LONG = 10**MAX_DIGITS
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_LINES = json.JSONEncoder(separators=("\n", ":"), allow_nan=False)
_SCALARS = {str, int, float, bool, type(None)}


def shown(value: Any) -> str:
    """Return a value as text for messages: printable, on one line, truncated if it is long.

    Examples
    --------
    >>> shown(True), len(shown("x" * 10**6)), shown(10**5000)
    ('True', 60, 'an integer of more than 4300 digits')
    """
    if type(value) is int and too_long(value):
        return f"an integer of more than {MAX_DIGITS} digits"
    if type(value) is str:
        text = repr(value[:SHOWN])
    else:
        text = repr(value) if value is None or type(value) in (bool, int, float) else f"of type {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def too_long(value: int) -> bool:
    """Return whether an integer has more than ``MAX_DIGITS`` digits."""
    return not -_TOO_LONG < value < _TOO_LONG


def step(key: str) -> str:
    """Return one step of a JSON path into an object: ``.key``, or ``["any key"]``, truncated if it is long.

    Examples
    --------
    >>> step("nodes"), step("two words")
    ('.nodes', '["two words"]')
    """
    return f".{key}" if len(key) <= SHOWN and key.isidentifier() else f"[{quoted(key)}]"


def quoted(name: str) -> str:
    """Return a name as JSON text, truncated if it is long."""
    return encode_basestring_ascii(name if len(name) <= SHOWN else f"{name[: SHOWN - 3]}...")


def canonical(value: Any) -> str:
    """Return the canonical JSON text of a value: sorted keys, no spaces, ASCII.

    Two inputs, labels or elements are equal iff their canonical texts are, so 1, 1.0, true and "1" are four different
    values.

    Examples
    --------
    >>> [canonical(value) for value in (1, 1.0, True, "1", ("mean", "w1"))]
    ['1', '1.0', 'true', '"1"', '["mean","w1"]']
    """
    if type(value) is str:
        return encode_basestring_ascii(value)
    if type(value) is int:
        return int.__repr__(value)
    return _ENCODER.encode(value)


def canonical_texts(values: Sequence[Any]) -> list[str]:
    """Return ``canonical(value)`` of each value; many are encoded at once, which is faster.

    Examples
    --------
    >>> canonical_texts([1, "1", ("mean", "w1", (2.0,))])
    ['1', '"1"', '["mean","w1",[2.0]]']
    """
    return encode_each(values, _ENCODER, ",")


def encode_each(values: Sequence[Any], encoder: json.JSONEncoder, separator: str) -> list[str]:
    """Return ``encoder.encode(value)`` of each value; scalars are encoded by one call, and so are the items of lists.

    Parameters
    ----------
    values : sequence of JSON values
    encoder : JSONEncoder
    separator : str
        What it writes between the items of a list.
    """
    is_list = [type(value) in (list, tuple) for value in values]
    if any(is_list):
        items = [
            item for value, nested in zip(values, is_list, strict=True) for item in (value if nested else (value,))
        ]
        texts = iter(encode_each(items, encoder, separator))
        return [
            f"[{separator.join(islice(texts, len(value)))}]" if nested else next(texts)
            for value, nested in zip(values, is_list, strict=True)
        ]
    if not {*map(type, values)} <= _SCALARS:  # objects
        return [encoder.encode(value) for value in values]
    return _LINES.encode(values)[1:-1].split("\n") if values else []  # the text of a scalar contains no line break


def frozen(value: Any, path: str = "$", depth: int = 0) -> Any:
    """Return a JSON value with lists as tuples and numpy scalars as Python numbers.

    Parameters
    ----------
    value : JSON value
    path : str
        Its JSON path, for messages.
    depth : int
        Nesting so far.

    Raises
    ------
    InvalidInstance
        If a number is not finite or too long, a type is not a JSON type, or the nesting exceeds ``MAX_DEPTH``.

    Examples
    --------
    >>> frozen(["mean", "w1", "w3"])
    ('mean', 'w1', 'w3')
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind not in (int, float, list, tuple, dict):
        import numpy as np  # here: texts of messages need no numpy

        value = value.item() if isinstance(value, np.generic) else value
    if type(value) is int:
        if too_long(value):
            raise InvalidInstance(shown(value), path, "use a smaller number or a string")
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
        return {key: frozen(item, path + step(key), depth + 1) for key, item in value.items()}
    raise InvalidInstance(
        f"{type(value).__name__} is not a JSON value", path, "use strings, numbers, booleans, null, lists or objects"
    )


def printable(text: str) -> str:
    r"""Return text on one line, with escapes for control characters and others that a terminal cannot show.

    Examples
    --------
    >>> printable("a\nb\u202e")
    'a\\nb\\u202e'
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
