"""Samples as they are given, checked and made into columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from masksynth.booleans import BOOLEANS, holds_booleans
from masksynth.errors import InvalidInstance
from masksynth.mask.csr import concatenate_slices, indptr, repeat_ranges
from masksynth.mask.typing import AnyArray, Int64Array
from masksynth.pack.dimensions import further_dimensions, split_dimensions
from masksynth.pack.sample_columns import IGNORED, KEY_FIELDS, TOKEN_FIELDS, TOP, SampleTable, restore_first_labels
from masksynth.pack.token_masks import MASKS, Lists, Rows, fill_column, real_tokens, resolve_labels
from masksynth.pack.visibility import Segment, segments_of
from masksynth.tasks.canonical import shown

BLOCK = 1024
"""Most samples of a table."""
SCALARS = ("id", "group", "weight", "segments")
"""Fields of a sample that are not per-token lists."""


@dataclass(frozen=True, eq=False)
class Columns:
    """S samples as they were read, before masks are applied and values are checked.

    Parameters
    ----------
    ids, groups, segments : sequence of S values
        None where a sample has none.
    place : sequence of str
        Where each sample was read: ``file:line``.
    weight : sequence of S float
    lengths : sequence of S int
        Entries of each sample's ``input_ids``.
    tokens : (U,) int64
    lists : mapping of str to sequence of S arrays or None
        The other per-token lists by name, each as long as its sample's ``input_ids``.
    """

    ids: Sequence[Any]
    groups: Sequence[Any]
    place: Sequence[str]
    weight: Sequence[float]
    lengths: Sequence[int]
    tokens: Int64Array
    lists: Mapping[str, Lists]
    segments: Sequence[Any]


def check_table(table: SampleTable, rows: Rows) -> SampleTable:
    """Return the table; raise for what no single sample's syntax shows.

    Raises
    ------
    InvalidInstance
        Naming the first sample with a negative or huge id, a label that is neither -100 nor an id, a weight that is not
        finite, a token field that is infinite or missing at a label.
    """
    trained = table.labels != IGNORED
    labels = restore_first_labels(table)
    outside = (labels != IGNORED) & ((labels < 0) | (labels > TOP))
    for name, values, bad, why, remedy in (
        (
            "input_ids",
            table.tokens,
            (table.tokens < 0) | (table.tokens > TOP),
            f"is not from 0 to {TOP}",
            "give token ids",
        ),
        (
            "labels",
            labels,
            outside,
            f"is neither {IGNORED} nor from 0 to {TOP}",
            f"use {IGNORED} where nothing is trained",
        ),
        *(
            (name, values, (values < 0) | (values > TOP), f"is not from 0 to {TOP}", "give integers")
            for name, values in table.keys.items()
        ),
        *(
            (name, values, np.isinf(values), "is not finite", "give finite numbers")
            for name, values in table.fields.items()
        ),
    ):
        if bad.any():
            rows.refuse(int(np.argmax(bad)), name, f"{values[int(np.argmax(bad))]} {why}", remedy)
    for name, values in table.fields.items():
        has = np.repeat(
            np.add.reduceat(np.append(~np.isnan(values), False), table.offset[:-1]) > 0, np.diff(table.offset)
        )
        hole = trained & np.isnan(values) & has
        if hole.any():
            rows.refuse(
                int(np.argmax(hole)), name, "is null at a trained label", "give a number wherever labels is not -100"
            )
    odd = ~np.isfinite(table.weight)
    if odd.any():
        place = int(np.argmax(odd))
        raise InvalidInstance(
            f"weight {table.weight[place]} is not finite", "$.weight", "use a finite number", table.place[place]
        )
    own = table.fields.get("weights")
    if own is not None:
        with np.errstate(over="ignore"):
            large = trained & np.isinf(own * np.repeat(table.weight, np.diff(table.offset)))
        if large.any():
            rows.refuse(
                int(np.argmax(large)), "weights", "times the sample's weight is not finite", "use smaller numbers"
            )
    return table


def tables_of(
    samples: Iterable[Mapping[str, Any]],
    token_fields: Sequence[str] = TOKEN_FIELDS,
    key_fields: Sequence[str] = KEY_FIELDS,
    source: str = "samples",
) -> Iterator[SampleTable]:
    """Yield samples given as mappings, as checked tables of up to 1,024 samples.

    Parameters
    ----------
    samples : iterable of mappings
        ``input_ids`` and ``labels`` or a mask of the trained tokens (lists or arrays of one length); optional ``id``,
        ``group``, ``weight``, ``segments``, ``attention_mask``, token fields, keys.
    token_fields, key_fields : sequence of str
        Names of the optional per-token lists to carry.
    source : str
        Named in errors, with the sample's number from 1.

    Raises
    ------
    InvalidInstance
        Naming the sample.

    Examples
    --------
    >>> [table] = tables_of([{"id": "a", "input_ids": [5, 6], "labels": [-100, 6]}, {"input_ids": [], "labels": []}])
    >>> from masksynth.pack.sample_columns import key_of
    >>> table.ids, table.offset.tolist(), table.labels.tolist(), key_of(table, "position_ids").tolist()
    (('a', '#2'), [0, 2, 2], [-100, 6], [0, 1])
    """
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for number, sample in enumerate(samples, 1):
        rows.append((f"{source}:{number}", sample))
        if len(rows) == BLOCK:
            yield table_of(rows, token_fields, key_fields)
            rows = []
    if rows:
        yield table_of(rows, token_fields, key_fields)


def table_of(
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    token_fields: Sequence[str],
    key_fields: Sequence[str],
) -> SampleTable:
    """Return one checked table of (place, sample) pairs."""
    rows, key_fields = split_dimensions(rows, key_fields)
    for place, sample in rows:
        check_scalars(place, sample)
        if sample.get("input_ids") is None:
            raise InvalidInstance("input_ids is missing", "$", 'give every sample "input_ids"', place)
    tokens = [read_list(place, "input_ids", sample["input_ids"], np.int64) for place, sample in rows]
    lists: dict[str, Lists] = {}
    for name in list_names(token_fields, key_fields):
        dtype = np.float64 if name in token_fields else np.int64
        values = [sample.get(name) for _, sample in rows]
        if all(value is None for value in values):
            continue
        columns = [
            None if value is None else read_list(place, name, value, dtype)
            for (place, _), value in zip(rows, values, strict=True)
        ]
        for (place, _), column, ids in zip(rows, columns, tokens, strict=True):
            if column is not None:
                check_length(place, name, len(column), len(ids))
        lists[name] = columns
    given = Columns(
        ids=[_plain(sample.get("id")) for _, sample in rows],
        groups=[_plain(sample.get("group")) for _, sample in rows],
        place=[place for place, _ in rows],
        weight=[1.0 if sample.get("weight") is None else float(sample["weight"]) for _, sample in rows],
        lengths=[len(ids) for ids in tokens],
        tokens=np.concatenate([np.zeros(0, np.int64), *tokens]),
        lists=lists,
        segments=[sample.get("segments") for _, sample in rows],
    )
    return assemble(given, token_fields, key_fields)


def list_names(token_fields: Sequence[str], key_fields: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the per-token lists beside ``input_ids``; refuse further fields that repeat a name."""
    names = ("labels", *MASKS, *token_fields, *key_fields)
    for name in (*token_fields, *key_fields):
        if name in (*SCALARS, "input_ids") or names.count(name) > 1:
            raise InvalidInstance(f"{name!r} cannot be a further per-token field", "", "it has a meaning of its own")
    return names


def assemble(columns: Columns, token_fields: Sequence[str], key_fields: Sequence[str]) -> SampleTable:
    """Return the checked table of some samples: pads dropped, masks turned into labels, defaults filled in.

    Where a sample has no ``position_ids`` they count from 0 at its first real token, or follow its segments. A sample
    without an ``id`` is named after the line, row or item in which it was read: ``#7``.
    """
    parts = tuple(
        None if given is None else segments_of(given, tokens, place)
        for given, tokens, place in zip(columns.segments, columns.lengths, columns.place, strict=True)
    )
    causal = [part is None for part in parts]
    rows = Rows(columns.place, indptr(columns.lengths), np.zeros(len(parts), np.int64))
    tokens, lists = columns.tokens, columns.lists
    if (kept := real_tokens(lists, causal, rows)) is not None:
        tokens, lists, rows = drop_pads(tokens, lists, rows, *kept)
    labels = resolve_labels(tokens, lists, causal, rows)
    labels, first_label = ignore_first_labels(labels, causal, rows.offset)
    nothing = np.full(len(tokens), np.nan)
    table = SampleTable(
        ids=tuple(map(_name, columns.ids, columns.place)),
        groups=tuple(columns.groups),
        place=tuple(columns.place),
        weight=np.asarray(columns.weight, np.float64),
        offset=rows.offset,
        tokens=tokens,
        labels=labels,
        first_label=first_label,
        fields={name: fill_column(lists[name], nothing, rows.offset) for name in token_fields if name in lists},
        keys=_keys(lists, key_fields, parts, rows),
        segments=parts,
    )
    return check_table(table, rows)


def _plain(value: Any) -> Any:
    """Return a scalar of numpy as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _name(given: Any, place: str) -> Any:
    return f"#{place.rpartition(':')[2]}" if given is None else given


def drop_pads(
    tokens: Int64Array,
    lists: Mapping[str, Lists],
    rows: Rows,
    lead: Int64Array,
    kept: Int64Array,
) -> tuple[Int64Array, Mapping[str, Lists], Rows]:
    """Return tokens, lists and rows with the entries ``lead[s] <= i < lead[s] + kept[s]`` of each sample s only."""
    real = [slice(start, start + count) for start, count in zip(lead.tolist(), kept.tolist(), strict=True)]
    cut = {
        name: [None if column is None else column[part] for column, part in zip(columns, real, strict=True)]
        for name, columns in lists.items()
    }
    return concatenate_slices(tokens, rows.offset[:-1] + lead, kept), cut, Rows(rows.place, indptr(kept), lead)


def ignore_first_labels(
    labels: Int64Array, causal: Sequence[bool], offset: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Return the labels with -100 at the first token of each causal sample, and the label that each had there.

    No token stands before the first one, so nothing predicts its label; Hugging Face's losses leave it out as well.

    Examples
    --------
    >>> [part.tolist() for part in ignore_first_labels(np.array([5, 6, 7]), [True], np.array([0, 3]))]
    [[-100, 6, 7], [5]]
    """
    first_label = np.full(len(causal), IGNORED, np.int64)
    chosen = np.flatnonzero(np.array(causal, bool) & (np.diff(offset) > 0))
    first_label[chosen] = labels[offset[chosen]]
    if (first_label != IGNORED).any():
        labels = labels.copy()
        labels[offset[chosen]] = IGNORED
    return labels, first_label


def _keys(
    lists: Mapping[str, Lists],
    names: Sequence[str],
    parts: Sequence[tuple[Segment, ...] | None],
    rows: Rows,
) -> dict[str, Int64Array]:
    """Return the keys that some sample gives; ``position_ids`` also where some sample has segments.

    Where a sample gives no further dimension of ``position_ids``, it equals the first.
    """
    total = int(rows.offset[-1])
    keys = {name: fill_column(lists[name], np.zeros(total, np.int64), rows.offset) for name in names if name in lists}
    further = further_dimensions(keys)
    if "position_ids" in keys or further or any(parts):
        length = np.diff(rows.offset)
        position = repeat_ranges(np.zeros(len(length), np.int64), length)
        for sample, cut in enumerate(parts):
            if cut:
                own = slice(int(rows.offset[sample]), int(rows.offset[sample + 1]))
                position[own] = repeat_ranges([s.position for s in cut], [s.length for s in cut])
        keys["position_ids"] = fill_column(lists.get("position_ids", [None] * len(length)), position, rows.offset)
        for name in further:
            keys[name] = fill_column(lists[name], keys["position_ids"], rows.offset)
    return keys


def check_length(place: str, name: str, length: int, expected: int) -> None:
    """Refuse a per-token list that is not as long as ``input_ids``."""
    if length != expected:
        fact = f"{length} entries, but input_ids has {expected}"
        raise InvalidInstance(fact, f"$.{name}", "give one entry for each token", place)


def check_scalars(place: str, sample: Any) -> None:
    """Refuse a sample that is not an object, and an ``id``, ``group`` or ``weight`` of another type or out of range."""
    if not isinstance(sample, Mapping):
        fact = f"a sample is an object, not {type(sample).__name__}"
        raise InvalidInstance(fact, "$", 'give {"input_ids", "labels"}', place)
    for name in ("id", "group"):
        value = sample.get(name)
        if not isinstance(value, (str, int, np.integer, type(None))) or isinstance(value, bool):
            raise InvalidInstance(
                f"{type(value).__name__} is not a string or an integer",
                f"$.{name}",
                "give a string or an integer",
                place,
            )
        if isinstance(value, (int, np.integer)) and not -(2**63) <= value < 2**63:
            fact = f"{shown(int(value))} is not an integer of 64 bits"
            raise InvalidInstance(fact, f"$.{name}", "give it as a string", place)
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise InvalidInstance(f"{value!a} is not valid text", f"$.{name}", "give another", place) from None
    weight = sample.get("weight")
    if not isinstance(weight, (int, float, np.integer, np.floating, type(None))) or isinstance(weight, bool):
        raise InvalidInstance(f"{type(weight).__name__} is not a number", "$.weight", "give a number", place)
    try:
        float(0 if weight is None else weight)
    except OverflowError:
        raise InvalidInstance("the weight is beyond the range of numbers", "$.weight", "give another", place) from None


def read_list(place: str, name: str, values: Any, dtype: type) -> AnyArray:
    """Return one per-token list as a flat array of ``dtype``: int64, or float64 with NaN for null.

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
        fact = f"is not a flat list of {words}{_odd_entry(values, dtype, name in MASKS)}"
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
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last from a tensor that needs its gradient
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


def _odd_entry(values: Any, dtype: type, mask: bool) -> str:
    """Return the first entry that is not a number of ``dtype``, in words; empty if no single entry is at fault."""
    if not _is_list(values):
        if isinstance(values, np.ndarray):
            return f": it has type {values.dtype} and shape {list(values.shape)}"
        return "" if hasattr(values, "__array__") else f": it is {shown(values)}"
    reals = (float, np.floating, type(None))
    kinds: tuple[type, ...] = (int, np.integer, *(reals if dtype is np.float64 else ()))
    limit = 2**63 if dtype is np.int64 else 2**1024
    for index, value in enumerate(values):
        if mask and type(value) in BOOLEANS:
            odd = type(values[0]) not in BOOLEANS
        else:
            odd = type(value) in BOOLEANS or not isinstance(value, kinds)
            odd = odd or (isinstance(value, int) and abs(value) >= limit)
        if odd:
            return f": entry {index} is {shown(value)}"
    return ""
