"""Check samples and convert them to tables of columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import Int64Array
from masksynth.pack.check_table import check_table
from masksynth.pack.dimensions import further_dimensions, naming_given_lists, split_dimensions
from masksynth.pack.sample_columns import KEY_FIELDS, TOKEN_FIELDS, SampleTable
from masksynth.pack.sample_values import SCALARS, are_plain, check_length, check_scalars, read_lists
from masksynth.pack.text_lines import BLOCK
from masksynth.pack.token_masks import (
    MASKS,
    Lists,
    Rows,
    drop_pads,
    fill_column,
    ignore_first_labels,
    real_tokens,
    resolve_labels,
)
from masksynth.pack.visibility import Segment, segments_of


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of S samples as they were read, before masks are applied and values are checked.

    Parameters
    ----------
    ids, groups, segments : sequence of S values
        None for a sample without.
    place : sequence of str
        Where each sample was read: ``file:line``.
    weight : sequence of S float
    lengths : sequence of S int
        Number of entries of each sample's ``input_ids``.
    tokens : (U,) int64
        Their entries, sample after sample.
    lists : mapping of str to sequence of S arrays or None
        The other per-token lists by name, each as long as its sample's ``input_ids``.
    prefix : str
        Start of the id of a sample without one; the number of its line, row or item follows.
    """

    ids: Sequence[Any]
    groups: Sequence[Any]
    place: Sequence[str]
    weight: Sequence[float]
    lengths: Sequence[int]
    tokens: Int64Array
    lists: Mapping[str, Lists]
    segments: Sequence[Any]
    prefix: str = "#"


def tables_of(
    samples: Iterable[Mapping[str, Any]],
    token_fields: Sequence[str] = TOKEN_FIELDS,
    key_fields: Sequence[str] = KEY_FIELDS,
    source: str = "samples",
) -> Iterator[SampleTable]:
    """Yield the samples of an iterable of mappings as checked tables of up to 1,024 samples.

    Parameters
    ----------
    samples : iterable of mappings
        ``input_ids`` and ``labels`` or a mask of the trained tokens (lists or arrays of one length); optional ``id``,
        ``group``, ``weight``, ``segments``, ``attention_mask``, token fields, keys. A tuple is where a sample was read,
        and the sample.
    token_fields, key_fields : sequence of str
        Names of the optional per-token lists to carry.
    source : str
        Named in messages, with the sample's number from 1.

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
        rows.append(cast(Any, sample) if isinstance(sample, tuple) else (f"{source}:{number}", sample))
        if len(rows) == BLOCK:
            yield table_of(rows, token_fields, key_fields)
            rows = []
    if rows:
        yield table_of(rows, token_fields, key_fields)


def table_of(
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    token_fields: Sequence[str],
    key_fields: Sequence[str],
    prefix: str = "#",
) -> SampleTable:
    """Return one checked table of samples.

    Parameters
    ----------
    rows : sequence of (str, mapping)
        Where each sample was read, and the sample.
    token_fields, key_fields : sequence of str
    prefix : str
        Start of the ids of samples without one.
    """
    if are_plain([sample for _, sample in rows]):
        return _table_of_lists(rows, token_fields, key_fields, prefix)
    flat, key_fields = split_dimensions(rows, key_fields)
    for place, sample in flat:
        check_scalars(place, sample)
        if sample.get("input_ids") is None:
            is_chat = any(name in sample for name in ("messages", "prompt"))
            remedy = "chats need --tokenizer" if is_chat else 'give every sample "input_ids"'
            raise InvalidInstance("input_ids is missing", "$", remedy, place)
    with naming_given_lists(rows):
        return _table_of_lists(flat, token_fields, key_fields, prefix)


def _table_of_lists(
    rows: Sequence[tuple[str, Mapping[str, Any]]], token_fields: Sequence[str], key_fields: Sequence[str], prefix: str
) -> SampleTable:
    """Return the table of samples whose scalars are checked, and whose per-token lists are flat or refused."""
    places = [place for place, _ in rows]
    present = set().union(*(sample for _, sample in rows))
    tokens = read_lists(places, "input_ids", [sample["input_ids"] for _, sample in rows], np.int64)
    lengths = [0 if ids is None else len(ids) for ids in tokens]
    lists: dict[str, Lists] = {}
    for name in list_names(token_fields, key_fields):
        values = [sample.get(name) for _, sample in rows] if name in present else []
        if all(value is None for value in values):
            continue
        if name in token_fields:
            values = [repeat_number(value, length) for value, length in zip(values, lengths, strict=True)]
        columns = read_lists(places, name, values, np.float64 if name in token_fields else np.int64)
        for place, column, length in zip(places, columns, lengths, strict=True):
            if column is not None:
                check_length(place, name, len(column), length)
        lists[name] = columns
    given = Columns(
        ids=[_plain(sample.get("id")) for _, sample in rows],
        groups=[_plain(sample.get("group")) for _, sample in rows],
        place=places,
        weight=[1.0 if sample.get("weight") is None else float(sample["weight"]) for _, sample in rows],
        lengths=lengths,
        tokens=np.concatenate([np.zeros(0, np.int64), *tokens]),
        lists=lists,
        segments=[sample.get("segments") for _, sample in rows],
        prefix=prefix,
    )
    return assemble(given, token_fields, key_fields)


def list_names(token_fields: Sequence[str], key_fields: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all per-token lists except ``input_ids``; refuse additional fields that repeat a name."""
    names = ("labels", *MASKS, *token_fields, *key_fields)
    for name in (*token_fields, *key_fields):
        if name in (*SCALARS, "input_ids") or names.count(name) > 1:
            raise InvalidInstance(f"{name!r} cannot be an additional per-token field", "", "the name is reserved")
    return names


def assemble(columns: Columns, token_fields: Sequence[str], key_fields: Sequence[str]) -> SampleTable:
    """Return the checked table of some samples: pads dropped, masks converted to labels, defaults filled in.

    The position ids of a sample without any count from 0 at its first real token, or follow its segments. A sample
    without an ``id`` gets the prefix and the number of the line, row or item in which it was read: ``#7``.

    Parameters
    ----------
    columns : Columns
    token_fields, key_fields : sequence of str
    """
    segments = tuple(
        None if given is None else segments_of(given, tokens, place)
        for given, tokens, place in zip(columns.segments, columns.lengths, columns.place, strict=True)
    )
    causal = [each is None for each in segments]
    rows = Rows(columns.place, indptr(columns.lengths), np.zeros(len(segments), np.int64))
    tokens, lists = columns.tokens, columns.lists
    if (kept := real_tokens(lists, causal, rows)) is not None:
        tokens, lists, rows = drop_pads(tokens, lists, rows, *kept)
    labels = resolve_labels(tokens, lists, causal, rows)
    labels, first_label = ignore_first_labels(labels, causal, rows.offset)
    nan = np.full(len(tokens), np.nan)
    table = SampleTable(
        ids=tuple(
            columns.prefix + place.rpartition(":")[2] if given is None else given
            for given, place in zip(columns.ids, columns.place, strict=True)
        ),
        groups=tuple(columns.groups),
        place=tuple(columns.place),
        weight=np.asarray(columns.weight, np.float64),
        offset=rows.offset,
        tokens=tokens,
        labels=labels,
        first_label=first_label,
        fields={name: fill_column(lists[name], nan, rows.offset) for name in token_fields if name in lists},
        keys=_fill_keys(lists, key_fields, segments, rows),
        segments=segments,
    )
    return check_table(table, rows)


def repeat_number(value: Any, length: int) -> Any:
    """Return a token field that is one number for the whole sample as a list; anything else as it is.

    Examples
    --------
    >>> repeat_number(0.5, 3), repeat_number(None, 3)
    ([0.5, 0.5, 0.5], None)
    """
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return [value] * length if is_number else value


def _plain(value: Any) -> Any:
    """Return a numpy scalar as a Python one."""
    return value.item() if isinstance(value, np.generic) else value


def _fill_keys(
    lists: Mapping[str, Lists],
    names: Sequence[str],
    segments: Sequence[tuple[Segment, ...] | None],
    rows: Rows,
) -> dict[str, Int64Array]:
    """Return the keys that some sample gives, with ``position_ids`` if some sample has segments.

    An additional dimension of ``position_ids`` that a sample does not give equals the first.
    """
    total = int(rows.offset[-1])
    keys = {name: fill_column(lists[name], np.zeros(total, np.int64), rows.offset) for name in names if name in lists}
    further = further_dimensions(keys)
    if "position_ids" in keys or further or any(segments):
        length = np.diff(rows.offset)
        position = repeat_ranges(np.zeros(len(length), np.int64), length)
        for sample, cut in enumerate(segments):
            if cut:
                tokens = slice(int(rows.offset[sample]), int(rows.offset[sample + 1]))
                position[tokens] = repeat_ranges([s.position for s in cut], [s.length for s in cut])
        keys["position_ids"] = fill_column(lists.get("position_ids", [None] * len(length)), position, rows.offset)
        for name in further:
            keys[name] = fill_column(lists[name], keys["position_ids"], rows.offset)
    return keys
