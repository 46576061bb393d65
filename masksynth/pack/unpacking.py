"""Recover the samples of a packed folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from masksynth.mask.csr import repeat_ranges
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.pack.dimensions import join_dimensions
from masksynth.pack.packed_folder import Entry, open_packed
from masksynth.pack.sample_columns import IGNORED


def unpack_samples(folder: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the samples of a packed folder, batch after batch, in the form that ``pack_samples`` reads.

    Token ids, labels, weights, groups and segments are those that were packed. A token field is stored at trained
    labels only and is null elsewhere; position ids and additional keys of dead tokens are 0.
    """
    packed = open_packed(folder)
    for number, entry in enumerate(packed.manifest.batches):
        yield from samples_of(packed[number], entry)


def samples_of(batch: PackedBatch, entry: Entry) -> Iterator[dict[str, Any]]:
    """Yield the samples of one batch, in the batch's order.

    Parameters
    ----------
    batch : PackedBatch
    entry : Entry
        Its entry in the manifest, which has the groups and segments.

    Examples
    --------
    >>> from masksynth.pack.packing import pack_batches
    >>> [batch] = pack_batches([{"id": "a", "input_ids": [1, 2, 3], "labels": [-100, 2, -100], "weight": 0.5}])
    >>> list(samples_of(batch, Entry("", batch.positions, batch.samples)))
    [{'id': 'a', 'input_ids': [1, 2, 3], 'labels': [-100, 2, -100], 'weight': 0.5}]
    """
    first_edge = np.searchsorted(batch.loss_sample, np.arange(len(batch.samples) + 1))
    for number, name in enumerate(batch.samples):
        edges = slice(int(first_edge[number]), int(first_edge[number + 1]))
        live = batch.sample_position[batch.sample_offset[number] : batch.sample_offset[number + 1]]
        dead_part = slice(int(batch.dead_offset[number]), int(batch.dead_offset[number + 1]))
        dead_tokens = batch.dead_token[dead_part]
        zeros = np.zeros_like(dead_tokens)
        dead = np.zeros(len(live) + len(dead_tokens), bool)
        dead[batch.dead_index[dead_part]] = True
        sample: dict[str, Any] = {"id": name}
        if entry.groups is not None and entry.groups[number] is not None:
            sample["group"] = entry.groups[number]
        sample["input_ids"] = _interleave(dead, batch.input_ids[live], dead_tokens)
        sample["labels"] = _labels(len(dead), batch.loss_index[edges], batch.loss_label[edges])
        sample["weight"] = float(batch.sample_weight[number])
        segments = None if entry.segments is None else entry.segments[number]
        if segments is not None:
            sample["segments"] = segments
        if not np.array_equal(batch.position_ids[live], _default_positions(len(dead), segments)[~dead]):
            sample["position_ids"] = _interleave(dead, batch.position_ids[live], zeros)
        for key, values in batch.keys.items():
            sample[key] = _interleave(dead, values[live], zeros)
        for field, reals in batch.fields.items():
            if not np.isnan(reals[edges]).all():
                by_index = dict(zip(batch.loss_index[edges].tolist(), reals[edges].tolist(), strict=True))
                sample[field] = [by_index.get(i) for i in range(len(dead))]
        yield join_dimensions(sample)


def _default_positions(length: int, segments: Any) -> Int64Array:
    """Return the position ids that a sample of ``length`` tokens has if it gives none."""
    if segments is None:
        return np.arange(length)
    return repeat_ranges([part["position"] for part in segments], [part["length"] for part in segments])


def _interleave(dead: BoolArray, live_values: Int64Array, dead_values: Int64Array) -> list[int]:
    """Return one value for each token of a sample: those of its live and of its dead tokens, in the sample's order."""
    values = np.empty(len(dead), np.int64)
    values[~dead], values[dead] = live_values, dead_values
    result: list[int] = values.tolist()
    return result


def _labels(size: int, index: Int64Array, labels: Int64Array) -> list[int]:
    """Return the labels of a sample of ``size`` tokens, -100 where none is trained."""
    values = np.full(size, IGNORED, np.int64)
    values[index] = labels
    result: list[int] = values.tolist()
    return result
