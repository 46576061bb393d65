"""The samples of a packed folder, given back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.pack.dimensions import join_dimensions
from masksynth.pack.packed_folder import Entry, open_packed
from masksynth.pack.sample_columns import IGNORED


def unpack_samples(folder: str | Path) -> Iterator[dict[str, Any]]:
    """The samples of a packed folder, batch after batch, in the form that ``pack_samples`` reads.

    Token ids, labels, weights, groups and segments are those that were packed; a token field is known at trained labels only and null
    elsewhere, position ids and further keys of dead tokens are 0.
    """
    packed = open_packed(folder)
    for number, entry in enumerate(packed.manifest.batches):
        yield from samples_of(packed[number], entry)


def samples_of(batch: PackedBatch, entry: Entry) -> Iterator[dict[str, Any]]:
    """The samples of one batch, in the batch's order.

    Examples
    --------
    >>> from masksynth.pack.packing import pack_batches
    >>> [batch] = pack_batches([{"id": "a", "input_ids": [1, 2, 3], "labels": [-100, 2, -100], "weight": 0.5}])
    >>> list(samples_of(batch, Entry("", batch.positions, batch.samples)))
    [{'id': 'a', 'input_ids': [1, 2, 3], 'labels': [-100, 2, -100], 'weight': 0.5}]
    """
    cut = np.searchsorted(batch.loss_sample, np.arange(len(batch.samples) + 1))
    for number, name in enumerate(batch.samples):
        edges = slice(int(cut[number]), int(cut[number + 1]))
        live = batch.sample_position[batch.sample_offset[number] : batch.sample_offset[number + 1]]
        gone = slice(int(batch.dead_offset[number]), int(batch.dead_offset[number + 1]))
        size = len(live) + gone.stop - gone.start
        dead = np.zeros(size, bool)
        dead[batch.dead_index[gone]] = True
        sample: dict[str, Any] = {"id": name}
        if entry.groups is not None and entry.groups[number] is not None:
            sample["group"] = entry.groups[number]
        sample["input_ids"] = _filled(dead, batch.input_ids[live], batch.dead_token[gone])
        sample["labels"] = _at(size, batch.loss_index[edges], batch.loss_label[edges])
        sample["weight"] = float(batch.sample_weight[number])
        segments = None if entry.segments is None else entry.segments[number]
        if segments is not None:
            sample["segments"] = segments
        if not np.array_equal(batch.position_ids[live], np.flatnonzero(~dead)):
            sample["position_ids"] = _filled(dead, batch.position_ids[live], np.zeros(gone.stop - gone.start, np.int64))
        for key, values in batch.keys.items():
            sample[key] = _filled(dead, values[live], np.zeros(gone.stop - gone.start, np.int64))
        for field, reals in batch.fields.items():
            if not np.isnan(reals[edges]).all():
                given = dict(zip(batch.loss_index[edges].tolist(), reals[edges].tolist(), strict=True))
                sample[field] = [given.get(i) for i in range(size)]
        yield join_dimensions(sample)


def _filled(dead: BoolArray, live: Int64Array, others: Int64Array) -> list[int]:
    values = np.empty(len(dead), np.int64)
    values[~dead], values[dead] = live, others
    result: list[int] = values.tolist()
    return result


def _at(size: int, index: Int64Array, labels: Int64Array) -> list[int]:
    values = np.full(size, IGNORED, np.int64)
    values[index] = labels
    result: list[int] = values.tolist()
    return result
