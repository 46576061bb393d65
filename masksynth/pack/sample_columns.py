"""Token samples as columns: one flat array for each property of all samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from masksynth.mask.csr import concatenate_slices, indptr, repeat_ranges
from masksynth.mask.typing import BoolArray, Float64Array, Int64Array
from masksynth.pack.visibility import Segment

IGNORED = -100
"""The label of a token that is not trained."""
TOP = 2**31 - 1
TOKEN_FIELDS = ("weights", "advantages", "old_logprobs", "ref_logprobs")
"""Optional real numbers for each token, carried with the loss edge of its label."""
KEY_FIELDS = ("position_ids", "kinds")
"""Optional integers for each token that are part of its identity, with the token id and the index in the sample."""

FURTHER = "position_ids_"
"""Prefix of the key of an additional dimension of ``position_ids``: ``position_ids_1`` is the second list."""


@dataclass(frozen=True, eq=False)
class SampleTable:
    """S samples with U tokens in all, in CSR form: sample s has the tokens ``offset[s] <= u < offset[s + 1]``.

    Parameters
    ----------
    ids, groups : tuple of S
        Samples of one group merge; those of group None merge with one another.
    place : tuple of S str
        Where each sample was read (``file:line``), for messages.
    weight : (S,) float64
        Factor of the sample's loss.
    offset : (S + 1,) int64
        Row pointers into the arrays over tokens.
    tokens, labels : (U,) int64
        Token ids, and the label of each token: -100 where nothing is trained.
    first_label : (S,) int64
        The label that a causal sample gives to its first token. Nothing predicts it, so it is -100 in ``labels``.
    fields : mapping of str to (U,) float64
        Token fields; NaN where a sample has none.
    keys : mapping of str to (U,) int64
        Parts of a token's identity that some sample gives; `key_of` has the defaults of all others.
    segments : tuple of S
        Segments of each sample, None for a causal sample.
    """

    ids: tuple[Any, ...]
    groups: tuple[Any, ...]
    place: tuple[str, ...]
    weight: Float64Array
    offset: Int64Array
    tokens: Int64Array
    labels: Int64Array
    first_label: Int64Array
    fields: Mapping[str, Float64Array] = field(default_factory=dict)
    keys: Mapping[str, Int64Array] = field(default_factory=dict)
    segments: tuple[tuple[Segment, ...] | None, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


def select(table: SampleTable, which: ArrayLike) -> SampleTable:
    """Return the samples with the given indices, in that order.

    Parameters
    ----------
    table : SampleTable
    which : (s,) integers
    """
    chosen = np.asarray(which, np.int64)
    start, length = table.offset[chosen], np.diff(table.offset)[chosen]
    picked = chosen.tolist()
    return SampleTable(
        ids=tuple(table.ids[i] for i in picked),
        groups=tuple(table.groups[i] for i in picked),
        place=tuple(table.place[i] for i in picked),
        weight=table.weight[chosen],
        offset=indptr(length),
        tokens=concatenate_slices(table.tokens, start, length),
        labels=concatenate_slices(table.labels, start, length),
        first_label=table.first_label[chosen],
        fields={name: concatenate_slices(values, start, length) for name, values in table.fields.items()},
        keys={name: concatenate_slices(values, start, length) for name, values in table.keys.items()},
        segments=tuple(table.segments[i] for i in picked),
    )


def slice_samples(table: SampleTable, start: int, end: int) -> SampleTable:
    """Return the samples ``start <= s < end`` as views; nothing is copied."""
    flat = slice(int(table.offset[start]), int(table.offset[end]))
    return SampleTable(
        ids=table.ids[start:end],
        groups=table.groups[start:end],
        place=table.place[start:end],
        weight=table.weight[start:end],
        offset=table.offset[start : end + 1] - table.offset[start],
        tokens=table.tokens[flat],
        labels=table.labels[flat],
        first_label=table.first_label[start:end],
        fields={name: values[flat] for name, values in table.fields.items()},
        keys={name: values[flat] for name, values in table.keys.items()},
        segments=table.segments[start:end],
    )


def join(tables: Sequence[SampleTable]) -> SampleTable:
    """Return the samples of several tables, one after another.

    A field that a table lacks is NaN there; a key has its default (see `key_of`).
    """
    if len(tables) == 1:
        return tables[0]
    fields = sorted({name for table in tables for name in table.fields})
    keys = sorted({name for table in tables for name in table.keys})
    return SampleTable(
        ids=tuple(x for table in tables for x in table.ids),
        groups=tuple(x for table in tables for x in table.groups),
        place=tuple(x for table in tables for x in table.place),
        weight=np.concatenate([np.zeros(0), *(table.weight for table in tables)]),
        offset=indptr(np.concatenate([np.zeros(0, np.int64), *(np.diff(table.offset) for table in tables)])),
        tokens=np.concatenate([np.zeros(0, np.int64), *(table.tokens for table in tables)]),
        labels=np.concatenate([np.zeros(0, np.int64), *(table.labels for table in tables)]),
        first_label=np.concatenate([np.zeros(0, np.int64), *(table.first_label for table in tables)]),
        fields={n: np.concatenate([t.fields.get(n, np.full(len(t.tokens), np.nan)) for t in tables]) for n in fields},
        keys={name: np.concatenate([key_of(table, name) for table in tables]) for name in keys},
        segments=tuple(x for table in tables for x in table.segments),
    )


def restore_first_labels(table: SampleTable) -> Int64Array:
    """Return the labels of all tokens as they were given, those of first tokens included; ``(U,)``."""
    labels = table.labels.copy()
    samples = np.flatnonzero(table.first_label != IGNORED)
    labels[table.offset[samples]] = table.first_label[samples]
    return labels


def key_of(table: SampleTable, name: str) -> Int64Array:
    """Return one part of each token's identity, ``(U,)``: as given, or its default.

    The default of ``position_ids`` is the index in the sample, that of an additional dimension of them the first
    dimension, and that of any other key 0.
    """
    if name in table.keys:
        return table.keys[name]
    if name.startswith(FURTHER):
        return key_of(table, "position_ids")  # text has the same position id in each dimension
    if name == "position_ids":
        return repeat_ranges(np.zeros(len(table), np.int64), np.diff(table.offset))
    return np.zeros(len(table.tokens), np.int64)


def drop_samples(table: SampleTable, drop: BoolArray) -> SampleTable:
    """Return the table without the samples marked True; ``drop`` is ``(S,)``."""
    return select(table, np.flatnonzero(~drop)) if drop.any() else table
