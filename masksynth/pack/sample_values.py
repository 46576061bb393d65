"""Check and convert the values of one sample: its scalars and its per-token lists."""

from __future__ import annotations

from array import array as integer_array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from masksynth.booleans import BOOLEANS, holds_booleans
from masksynth.errors import InvalidInstance
from masksynth.mask.csr import indptr
from masksynth.mask.typing import AnyArray, Int64Array
from masksynth.pack.sample_columns import TOP
from masksynth.pack.token_masks import MASKS
from masksynth.tasks.canonical import shown

SCALARS = ("id", "group", "weight", "segments")
"""Fields of a sample that are not per-token lists."""

WEIGHTS = {float, type(None)}
"""Types of weights that need no further check."""


def check_length(place: str, name: str, length: int, expected: int) -> None:
    """Refuse a per-token list that is not as long as ``input_ids``."""
    if length != expected:
        fact = f"{length} entries, but input_ids has {expected}"
        raise InvalidInstance(fact, f"$.{name}", "give one entry for each token", place)


def are_plain(samples: Sequence[Any]) -> bool:
    """Return whether `check_scalars` passes because all samples are dicts with input ids and the usual scalars.

    This takes a third of the time. Position ids, which may have dimensions, are not usual.

    Examples
    --------
    >>> are_plain([{"id": "a", "input_ids": [1]}, {"input_ids": []}]), are_plain([{"id": 0.5, "input_ids": [1]}])
    (True, False)
    """
    if set(map(type, samples)) != {dict}:
        return False
    if any(sample.get("input_ids") is None or "position_ids" in sample for sample in samples):
        return False
    names = [sample.get(name) for sample in samples for name in ("id", "group")]
    if not {*map(type, names)} <= {str, int, type(None)} or not {type(s.get("weight")) for s in samples} <= WEIGHTS:
        return False
    in_range = all(-(2**63) <= name < 2**63 for name in names if type(name) is int)
    return in_range and "".join(name for name in names if type(name) is str).isascii()


def check_scalars(place: str, sample: Any) -> None:
    """Refuse a sample that is not an object, and an ``id``, ``group`` or ``weight`` of another type or out of range."""
    if type(sample) is not dict and not isinstance(sample, Mapping):  # the first is far faster to find out
        fact = f"a sample is an object, not {type(sample).__name__}"
        raise InvalidInstance(fact, "$", 'give {"input_ids", "labels"}', place)
    for name in ("id", "group"):
        _check_name(place, name, sample.get(name))
    weight = sample.get("weight")
    if weight is None or type(weight) is float:
        return
    if not isinstance(weight, (int, float, np.integer, np.floating)) or isinstance(weight, bool):
        raise InvalidInstance(f"{type(weight).__name__} is not a number", "$.weight", "give a number", place)
    try:
        float(weight)
    except OverflowError:
        raise InvalidInstance("the weight is beyond the range of numbers", "$.weight", "give another", place) from None


def _check_name(place: str, name: str, value: Any) -> None:
    """Refuse an ``id`` or ``group`` that is not text, a 64-bit integer or null."""
    if value is None or (type(value) is str and value.isascii()):
        return
    if not isinstance(value, (str, int, np.integer)) or isinstance(value, bool):
        fact = f"{type(value).__name__} is not a string or an integer"
        raise InvalidInstance(fact, f"$.{name}", "give a string or an integer", place)
    if isinstance(value, (int, np.integer)) and not -(2**63) <= value < 2**63:
        fact = f"{shown(int(value))} is not an integer of 64 bits"
        raise InvalidInstance(fact, f"$.{name}", "give it as a string", place)
    try:
        str(value).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise InvalidInstance(f"{value!a} is not valid text", f"$.{name}", "give another", place) from None


def read_lists(places: Sequence[str], name: str, lists: Sequence[Any], dtype: type) -> list[AnyArray | None]:
    """Return one per-token list of each sample as `read_list` does, None for a sample without.

    Lists of integers are converted together, which takes half of the time; arrays of the type are taken as they are.

    Examples
    --------
    >>> [None if each is None else each.tolist() for each in read_lists(["a:1", "a:2"], "x", [[5, 6], None], np.int64)]
    [[5, 6], None]
    """
    given = [values for values in lists if values is not None]
    types = set(map(type, given))
    if dtype is np.int64 and types == {list} and name not in MASKS and (joined := _join_integers(given)) is not None:
        ends = accumulate([0 if values is None else len(values) for values in lists])
        return [None if v is None else joined[end - len(v) : end] for v, end in zip(lists, ends, strict=True)]
    if types == {np.ndarray} and all(values.dtype == dtype and values.ndim == 1 for values in given):
        return list(lists)
    return [
        None if values is None else read_list(place, name, values, dtype)
        for place, values in zip(places, lists, strict=True)
    ]


def _join_integers(lists: Sequence[list[Any]]) -> Int64Array | None:
    """Return the numbers of some lists, one list after another, or None if one is not an integer of 64 bits."""
    numbers = integer_array("q")
    try:
        for values in lists:
            numbers.fromlist(values)
    except (TypeError, OverflowError):
        return None
    joined = np.frombuffer(numbers, np.int64)
    binary = np.flatnonzero(joined.view(np.uint64) < 2)  # a boolean became 0 or 1
    if len(binary):
        offset = indptr([len(values) for values in lists])
        owner = np.searchsorted(offset, binary, "right") - 1
        entries = zip(owner.tolist(), (binary - offset[owner]).tolist(), strict=True)
        if any(type(lists[sample][index]) in BOOLEANS for sample, index in entries):
            return None
    return joined


def read_list(place: str, name: str, values: Any, dtype: type) -> AnyArray:
    """Return one per-token list as a flat array of ``dtype``: int64, or float64 with NaN for null.

    Parameters
    ----------
    place : str
        Where the sample was read, for messages.
    name : str
        Name of the list.
    values : list, array or tensor
    dtype : type
        ``np.int64`` or ``np.float64``.

    Raises
    ------
    InvalidInstance
        If it is not a flat list of such numbers. Fractions are not integers and booleans are not numbers; a mask may
        consist of booleans.

    Examples
    --------
    >>> read_list("a:1", "attention_mask", [True, False], np.int64).tolist()
    [1, 0]
    >>> read_list("a:1", "weights", [True, 5], np.float64)
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: a:1: $.weights: is not a flat list of numbers: entry 0 is True; give numbers
    """
    words = "integers below 2^63" if dtype is np.int64 else "numbers"
    words = "integers 0 and 1, or of booleans" if name in MASKS else words
    array = _array(values, dtype, name in MASKS)
    if array is None:
        fact = f"is not a flat list of {words}{_wrong_entry(values, dtype, name in MASKS)}"
        remedy = "give 0 and 1, or booleans throughout" if name in MASKS else f"give {words}"
        raise InvalidInstance(fact, f"$.{name}", remedy, place)
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        fact = f"{array.max()} is not from 0 to {TOP}"
        raise InvalidInstance(fact, f"$.{name}[{int(array.argmax())}]", "give token ids", place)
    return np.ascontiguousarray(array, dtype)


def _array(values: Any, dtype: type, mask: bool) -> AnyArray | None:
    """Return a list as a flat array of numbers, None if it is not one."""
    listed = _is_list(values)
    try:
        array = _reals(values) if listed and dtype is np.float64 else np.asarray(values)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor that requires grad
        return None
    kinds = ("iu" if dtype is np.int64 else "iuf") + ("b" if mask else "")
    if array.ndim != 1 or (array.size and array.dtype.kind not in kinds):
        return None
    # a boolean among integers became 0 or 1, the two numbers of which x >> 1 is 0
    if listed and array.dtype.kind in "iu" and (array >> 1 == 0).any() and holds_booleans(values):
        return None
    return array


def _is_list(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, (str, bytes, bytearray))


def _reals(values: Sequence[Any]) -> AnyArray:
    """Return numbers as float64, null as NaN; integers may be of any size below the range of floats."""
    types = set(map(type, values))
    if types & BOOLEANS or not all(issubclass(each, (int, float, np.number, type(None))) for each in types):
        raise TypeError("expected numbers")
    given = [np.nan if value is None else value for value in values] if type(None) in types else values
    return np.array(given, np.float64)


def _wrong_entry(values: Any, dtype: type, mask: bool) -> str:
    """Return a description of the first entry that is not a number of ``dtype``, "" if no single entry is wrong."""
    if not _is_list(values):
        if isinstance(values, np.ndarray):
            return f": it has type {values.dtype} and shape {list(values.shape)}"
        return "" if hasattr(values, "__array__") else f": it is {shown(values)}"
    reals = (float, np.floating, type(None))
    kinds: tuple[type, ...] = (int, np.integer, *(reals if dtype is np.float64 else ()))
    limit = 2**63 if dtype is np.int64 else 2**1024
    for index, value in enumerate(values):
        if mask and type(value) in BOOLEANS:
            wrong = type(values[0]) not in BOOLEANS
        else:
            wrong = type(value) in BOOLEANS or not isinstance(value, kinds)
            wrong = wrong or (isinstance(value, int) and abs(value) >= limit)
        if wrong:
            return f": entry {index} is {shown(value)}"
    return ""
