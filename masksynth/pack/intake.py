"""Samples as they are given, checked and made into columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.pack.dimensions import split_dimensions
from masksynth.pack.samples import IGNORED, KEY_FIELDS, TOKEN_FIELDS, TOP, Ints, SampleTable, offsets, spread
from masksynth.pack.visibility import segments_of

BLOCK = 1024
"""Most samples of a table."""


def checked(table: SampleTable) -> SampleTable:
    """The table, after checking what no single sample's syntax shows.

    Raises
    ------
    InvalidInstance
        Naming the first sample with a negative or huge id, a label that is neither -100 nor an id, a label at place 0, a weight that is
        not finite, a token field that is infinite or missing at a label.
    """
    first = table.offset[:-1][np.diff(table.offset) > 0]
    causal = np.repeat(np.array([s is None for s in table.segments], bool), np.diff(table.offset))
    trained = table.labels != IGNORED
    for name, values, bad, why, remedy in (
        ("input_ids", table.tokens, (table.tokens < 0) | (table.tokens > TOP), f"is not from 0 to {TOP}", "give token ids"),
        (
            "labels",
            table.labels,
            trained & ((table.labels < 0) | (table.labels > TOP)),
            f"is neither {IGNORED} nor from 0 to {TOP}",
            f"use {IGNORED} where nothing is trained",
        ),
        *((name, values, (values < 0) | (values > TOP), f"is not from 0 to {TOP}", "give integers") for name, values in table.keys.items()),
        *((name, values, np.isinf(values), "is not finite", "give finite numbers") for name, values in table.fields.items()),
    ):
        if bad.any():
            _refuse(table, int(np.argmax(bad)), name, f"{values[int(np.argmax(bad))]} {why}", remedy)
    start = first[trained[first] & causal[first]]
    if len(start):
        fact = f"the first label is {table.labels[start[0]]}, and no token stands before it"
        _refuse(table, int(start[0]), "labels", fact, f"labels[i] is predicted by the token at i - 1: labels[0] is {IGNORED}")
    for name, values in table.fields.items():
        has = np.repeat(np.add.reduceat(np.append(~np.isnan(values), False), table.offset[:-1]) > 0, np.diff(table.offset))
        hole = trained & np.isnan(values) & has
        if hole.any():
            _refuse(table, int(np.argmax(hole)), name, "is null at a trained label", "give a number wherever labels is not -100")
    odd = ~np.isfinite(table.weight)
    if odd.any():
        place = int(np.argmax(odd))
        raise InvalidInstance(f"weight {table.weight[place]} is not finite", "$.weight", "use a finite number", table.place[place])
    own = table.fields.get("weights")
    if own is not None:
        with np.errstate(over="ignore"):
            large = trained & np.isinf(own * np.repeat(table.weight, np.diff(table.offset)))
        if large.any():
            _refuse(table, int(np.argmax(large)), "weights", "times the sample's weight is not finite", "use smaller numbers")
    return table


def _refuse(table: SampleTable, token: int, name: str, fact: str, remedy: str) -> None:
    sample = int(np.searchsorted(table.offset, token, "right")) - 1
    raise InvalidInstance(fact, f"$.{name}[{token - int(table.offset[sample])}]", remedy, table.place[sample])


def tables_of(
    samples: Iterable[Mapping[str, Any]],
    token_fields: Sequence[str] = TOKEN_FIELDS,
    key_fields: Sequence[str] = KEY_FIELDS,
    source: str = "samples",
) -> Iterator[SampleTable]:
    """Samples given as mappings, as checked tables of up to 1,024 samples.

    Parameters
    ----------
    samples : iterable of mappings
        ``id``, ``input_ids``, ``labels`` (lists or arrays of one length); optional ``group``, ``weight``, ``segments``, token fields, keys.
    token_fields, key_fields : sequence of str
        Which optional per-token lists to carry.
    source : str
        Named in errors, with the sample's number.

    Raises
    ------
    InvalidInstance
        Naming the sample.

    Examples
    --------
    >>> [table] = tables_of([{"id": "a", "input_ids": [5, 6], "labels": [-100, 6]}, {"id": "b", "input_ids": [], "labels": []}])
    >>> from masksynth.pack.samples import key_of
    >>> table.ids, table.offset.tolist(), table.labels.tolist(), key_of(table, "position_ids").tolist()
    (('a', 'b'), [0, 2, 2], [-100, 6], [0, 1])
    """
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for number, sample in enumerate(samples, 1):
        rows.append((f"{source}:{number}", sample))
        if len(rows) == BLOCK:
            yield table_of(rows, token_fields, key_fields)
            rows = []
    if rows:
        yield table_of(rows, token_fields, key_fields)


def table_of(rows: Sequence[tuple[str, Mapping[str, Any]]], token_fields: Sequence[str], key_fields: Sequence[str]) -> SampleTable:
    """One checked table of (place, sample) pairs."""
    rows, key_fields = split_dimensions(rows, key_fields)
    for place, sample in rows:
        _check_sample(place, sample)
    ints = {name: [_column(place, sample, name, np.int64) for place, sample in rows] for name in ("input_ids", "labels")}
    lengths = [len(values) for values in ints["input_ids"]]
    for (place, _), labels, length in zip(rows, ints["labels"], lengths, strict=True):
        same_length(place, "labels", len(labels), length)

    def optional(names: Sequence[str], dtype: type) -> dict[str, list[NDArray[Any] | None]]:
        found = {}
        for name in names:
            columns = [None if sample.get(name) is None else _column(place, sample, name, dtype) for place, sample in rows]
            for (place, _), column, length in zip(rows, columns, lengths, strict=True):
                same_length(place, name, length if column is None else len(column), length)
            if any(column is not None for column in columns):
                found[name] = columns
        return found

    return assemble(
        ids=[sample["id"] for _, sample in rows],
        groups=[sample.get("group") for _, sample in rows],
        place=[place for place, _ in rows],
        weight=[1.0 if sample.get("weight") is None else float(sample["weight"]) for _, sample in rows],
        lengths=lengths,
        tokens=np.concatenate([np.zeros(0, np.int64), *ints["input_ids"]]),
        labels=np.concatenate([np.zeros(0, np.int64), *ints["labels"]]),
        fields=optional(token_fields, np.float64),
        keys=optional(key_fields, np.int64),
        segments=[sample.get("segments") for _, sample in rows],
    )


def assemble(
    ids: Sequence[Any],
    groups: Sequence[Any],
    place: Sequence[str],
    weight: Sequence[float],
    lengths: Sequence[int],
    tokens: Ints,
    labels: Ints,
    fields: Mapping[str, Sequence[NDArray[Any] | None]],
    keys: Mapping[str, Sequence[NDArray[Any] | None]],
    segments: Sequence[Any],
) -> SampleTable:
    """A checked table from its columns; where a sample has no ``position_ids`` they count from 0, or follow its segments."""
    parts = tuple(None if s is None else segments_of(s, n, at) for s, n, at in zip(segments, lengths, place, strict=True))
    offset = offsets(lengths)
    position = spread(np.zeros(len(lengths), np.int64), lengths) if "position_ids" in keys or any(parts) else np.zeros(0, np.int64)
    for sample, cut in enumerate(parts):
        if cut:
            position[offset[sample] : offset[sample + 1]] = spread([s.position for s in cut], [s.length for s in cut])
    filled = {name: _filled(columns, lengths, np.zeros(len(tokens), np.int64), offset) for name, columns in keys.items()}
    if "position_ids" in keys or any(parts):
        filled["position_ids"] = _filled(keys.get("position_ids", [None] * len(lengths)), lengths, position, offset)
    nothing = np.full(len(tokens), np.nan)
    table = SampleTable(
        ids=tuple(ids),
        groups=tuple(groups),
        place=tuple(place),
        weight=np.asarray(weight, np.float64),
        offset=offset,
        tokens=tokens,
        labels=labels,
        fields={name: _filled(columns, lengths, nothing, offset) for name, columns in fields.items()},
        keys=filled,
        segments=parts,
    )
    return checked(table)


def _filled(columns: Sequence[NDArray[Any] | None], lengths: Sequence[int], default: NDArray[Any], offset: Ints) -> NDArray[Any]:
    if all(column is None for column in columns):
        return default
    parts = (default[offset[i] : offset[i + 1]] if column is None else column for i, column in enumerate(columns))
    return np.concatenate([default[:0], *parts])


def same_length(place: str, name: str, length: int, expected: int) -> None:
    """Refuse a per-token list that is not as long as ``input_ids``."""
    if length != expected:
        fact = f"{length} entries, but input_ids has {expected}"
        raise InvalidInstance(fact, f"$.{name}", "give one entry for each token", place)


def _check_sample(place: str, sample: Any) -> None:
    if not isinstance(sample, Mapping):
        raise InvalidInstance(f"a sample is an object, not {type(sample).__name__}", "$", 'give {"id", "input_ids", "labels"}', place)
    for name in ("id", "input_ids", "labels"):
        if sample.get(name) is None:
            raise InvalidInstance(f"{name} is missing", "$", f'give every sample "{name}"', place)
    for name, kinds in (("id", (str, int)), ("group", (str, int, type(None))), ("weight", (int, float, np.number, type(None)))):
        value = sample.get(name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            words = "a number" if name == "weight" else "a string or an integer"
            raise InvalidInstance(f"{type(value).__name__} is not {words}", f"$.{name}", f"give {words}", place)
        try:
            float(value) if name == "weight" and value is not None else str(value).encode()
        except (OverflowError, UnicodeEncodeError):
            fact = "the weight is beyond the range of numbers" if name == "weight" else f"{value!a} is not valid text"
            raise InvalidInstance(fact, f"$.{name}", "give another", place) from None


def _column(place: str, sample: Mapping[str, Any], name: str, dtype: type) -> NDArray[Any]:
    """One per-token list as an array; booleans and fractions are no integers."""
    try:
        given = np.asarray([np.nan if x is None else x for x in sample[name]] if dtype is np.float64 else sample[name])
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last from a tensor that needs its gradient
        given = np.array("?")
    wanted = "iu" if dtype is np.int64 else "iuf"
    if given.size and (given.ndim != 1 or given.dtype.kind not in wanted):
        words = "integers below 2^63" if dtype is np.int64 else "numbers"
        raise InvalidInstance(f"is not a flat list of {words}", f"$.{name}", f"give {words}", place)
    if given.dtype == np.uint64 and given.size and given.max() > np.iinfo(np.int64).max:
        raise InvalidInstance(f"{given.max()} is not from 0 to {TOP}", f"$.{name}", "give token ids", place)
    return np.ascontiguousarray(given.reshape(-1), dtype)
