"""Read the files of a proof folder: any bytes give a value or one InvalidInstance that names the file; no pickle."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance

MAX_TEXT = 1 << 30
"""Largest text file that is read (1 GiB)."""
MAX_ARRAY = 1 << 28
"""Largest array file that is read (256 MiB)."""
MAX_DIGITS = 100
"""Maximum number of characters of an integer in JSON; every number of a proof has fewer."""
_NPY = re.compile(rb"\{'descr': '\|b1', 'fortran_order': False, 'shape': \((\d{1,9}(?:, \d{1,9}){1,2})\), \} *\n")

Bools = NDArray[np.bool_]


def read_bytes(path: Path, limit: int = MAX_TEXT) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises
    ------
    InvalidInstance
        If there is no such file, or it is too long or cannot be read.
    """
    try:
        if not path.is_file():
            raise InvalidInstance("there is no such file", "", "name a folder written by --proof", source=str(path))
        if (size := path.stat().st_size) > limit:
            raise InvalidInstance(f"expected at most {limit} bytes, got {size}", "", source=str(path))
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise InvalidInstance(f"cannot be read: {error}", "", source=str(path)) from None
    if len(content) > limit:
        raise InvalidInstance(f"expected at most {limit} bytes, got more", "", source=str(path))
    return content


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """Return the content of an ASCII file.

    Raises
    ------
    InvalidInstance
        If it cannot be read, or has other bytes.
    """
    try:
        return read_bytes(path, limit).decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidInstance(f"byte {error.start} is not ASCII", "", source=str(path)) from None


def read_json(path: Path) -> Any:
    """Return the JSON value in a file; repeated keys, fractions, NaN and Infinity are refused.

    Raises
    ------
    InvalidInstance
        If the file cannot be read as such.
    """

    def unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(value := dict(items)) < len(items):
            raise ValueError("a key is repeated in one object")
        return value

    def refuse(text: str) -> Any:
        raise ValueError(f"{text:.40} is not an integer")

    def integer(text: str) -> int:
        if len(text) > MAX_DIGITS:
            raise ValueError(f"expected integers of at most {MAX_DIGITS} digits, got one of {len(text)}")
        return int(text)

    try:
        text = read_bytes(path).decode("utf-8")
        return json.loads(text, object_pairs_hook=unique, parse_float=refuse, parse_int=integer, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidInstance(f"not JSON of a proof: {reason}", "", source=str(path)) from None


def read_array(path: Path) -> Bools:
    """Return the bool array of two or three dimensions in a .npy file, exactly as numpy writes it.

    Raises
    ------
    InvalidInstance
        For any other content.
    """
    content = read_bytes(path, MAX_ARRAY)
    begin = 10 + int.from_bytes(content[8:10], "little")
    header = _NPY.fullmatch(content[10:begin])
    if content[:8] != b"\x93NUMPY\x01\x00" or header is None:
        raise InvalidInstance("not a .npy file of bool with two or three dimensions", "", source=str(path))
    shape = tuple(int(length) for length in header[1].split(b", "))
    values = np.frombuffer(content, np.uint8, offset=begin)
    count = 1
    for length in shape:
        count *= length
    if len(values) != count:
        fact = f"expected {count} values for the shape {list(shape)}, got {len(values)}"
        raise InvalidInstance(fact, "", source=str(path))
    if values.max(initial=0) > 1:
        raise InvalidInstance("a value is neither 0 nor 1", "", source=str(path))
    return values.astype(bool).reshape(shape)
