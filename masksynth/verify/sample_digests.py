"""Digests of everything that a packed folder stores of a sample, and the first difference between two samples."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import BoolArray
from masksynth.verify.read_packed import IGNORED

FURTHER = "position_ids_"
"""Prefix of the keys that are the second and further dimensions of position ids; for text they equal the first."""
UNNAMED = re.compile(r"#[0-9]+")
"""Ids given to samples without one, by line number; in another order another sample has the id."""
Content = tuple[bytes]
"""A digest of the tokens and labels, by which a sample without an id is looked up; a tuple, so never equal to an id."""


def parts_of(table: Any, sample: int, live: BoolArray) -> Iterator[tuple[str, str, Any]]:
    """Yield everything that a folder stores of a sample, as (requirement, name, value), arrays or JSON values.

    Token fields count at trained labels only, keys at live tokens only. A field of NaN and a key of 0 count as absent,
    and so does a further dimension of position ids that equals the first.
    """
    part = slice(int(table.offset[sample]), int(table.offset[sample + 1]))
    labels = table.labels[part]
    trained = labels != IGNORED
    yield "identity", "input_ids", table.tokens[part]
    ids = table.keys.get("position_ids")
    positions = np.arange(part.stop - part.start) if ids is None else ids[part]
    yield "identity", "position_ids", np.where(live, positions, 0)
    for name in sorted(table.keys.keys() - {"position_ids"}):
        default = np.where(live, positions, 0) if name.startswith(FURTHER) else np.zeros(len(live), np.int64)
        values = np.where(live, table.keys[name][part], 0)
        if not np.array_equal(values, default):
            yield "identity", name, values
    yield "loss edges", "labels", labels
    yield "loss edges", "weight", np.array([table.weight[sample]]) + 0.0  # -0.0 is 0.0
    for name in sorted(table.fields):
        reals = np.where(trained, table.fields[name][part], np.nan) + 0.0
        if not np.isnan(reals).all():
            yield "loss edges", name, np.where(np.isnan(reals), np.nan, reals)  # one NaN for all
    segments = table.segments[sample] if table.segments else None
    yield "rows", "segments", None if segments is None else [tuple(segment) for segment in segments]
    yield "groups", "group", table.groups[sample]


def is_unnamed(name: str | int) -> bool:
    """Return whether this id was given to a sample that had none."""
    return isinstance(name, str) and UNNAMED.fullmatch(name) is not None


def content_of(table: Any, sample: int) -> Content:
    """Return the digest of tokens and labels by which a sample without an id is looked up."""
    part = slice(int(table.offset[sample]), int(table.offset[sample + 1]))
    state = hashlib.blake2b(table.tokens[part].tobytes(), digest_size=16)
    state.update(table.labels[part].tobytes())
    return (state.digest(),)


def digest(table: Any, sample: int, live: BoolArray) -> bytes:
    """Return a digest, 16 bytes, of everything that a folder stores of a sample."""
    state = hashlib.blake2b(digest_size=16)
    for _, name, value in parts_of(table, sample, live):
        is_array = isinstance(value, np.ndarray)
        content = value.tobytes() if is_array else msgspec.json.encode([type(value).__name__, value])
        state.update(f"{name}:{len(content)}\n".encode())
        state.update(content)
    return state.digest()


def difference(packed: Any, index: int, table: Any, sample: int, live: BoolArray) -> tuple[str, int | None, str]:
    """Return requirement, token and fact of the first difference between a stored and a given sample."""
    length = int(table.offset[sample + 1] - table.offset[sample])
    if len(live) != length:
        return "identity", None, f"has {length} tokens, the folder {len(live)}"
    given = {name: (requirement, value) for requirement, name, value in parts_of(table, sample, live)}
    stored = {name: (requirement, value) for requirement, name, value in parts_of(packed, index, live)}
    for name in [*given, *(stored.keys() - given.keys())]:
        requirement, value = given.get(name, (stored.get(name, ("", None))[0], None))
        stored_value = stored.get(name, ("", None))[1]
        if value is None or stored_value is None or not isinstance(value, np.ndarray):
            if type(value) is not type(stored_value) or value != stored_value:
                return requirement, None, f"{name} of the sample and of the folder differ"
        elif value.tobytes() != stored_value.tobytes():
            token = int(np.argmax(~np.isclose(value, stored_value, rtol=0, atol=0, equal_nan=True)))
            where = "" if len(value) != length or name == "weight" else f" of token {token}"
            fact = f"{name}{where} is {value[token]}, the folder has {stored_value[token]}"
            return requirement, None if name == "weight" else token, fact
    raise InvalidInstance("the folder was changed while it was read", "", "run the check again")
