"""Concatenate packed batches, pad them, take their samples away; all on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.csr import indptr
from masksynth.mask.typing import AnyArray, Int64Array
from masksynth.pack.batch import ARRAYS, PackedBatch
from masksynth.pack.dimensions import further_dimensions


def join_batches(batches: Sequence[PackedBatch]) -> PackedBatch:
    """Concatenate batches into one, in which none attends to another.

    Raises
    ------
    InvalidInstance
        If there is no batch, an item is not a PackedBatch, or their token fields or keys differ in name.
    """
    if not isinstance(batches, Sequence):
        check_packed_batch(batches)
    for batch in batches:
        check_packed_batch(batch)
    if not batches:
        raise InvalidInstance("expected at least one batch to collate, got none", "")
    if len(batches) == 1:
        return batches[0]
    batches = _with_all_dimensions(batches)
    for kind in ("fields", "keys"):
        names = [sorted(getattr(batch, kind)) for batch in batches]
        different = next((other for other in names if other != names[0]), None)
        if different is not None:
            fact = f"batches with {kind} {names[0]} and {different} cannot be concatenated"
            raise InvalidInstance(fact, "", "use batch_size=1")
    first_position = indptr([batch.positions for batch in batches])
    first_sample = indptr([len(batch.samples) for batch in batches])
    shifts = {"loss_position": first_position, "sample_position": first_position, "loss_sample": first_sample}
    arrays: dict[str, Any] = {}
    for name in ARRAYS:
        parts = [getattr(batch, name) for batch in batches]
        if name.endswith("_offset"):
            arrays[name] = _concatenate_indptr(parts)
        else:
            arrays[name] = _concatenate_shifted(parts, shifts.get(name, np.zeros(len(parts), np.int64)))
    return PackedBatch(
        samples=tuple(name for batch in batches for name in batch.samples),
        mask=_concatenate_masks([batch.mask for batch in batches], first_position),
        fields={name: np.concatenate([batch.fields[name] for batch in batches]) for name in batches[0].fields},
        keys={name: np.concatenate([batch.keys[name] for batch in batches]) for name in batches[0].keys},
        **arrays,
    )


def check_packed_batch(batch: object) -> None:
    """Raise InvalidInstance if the object is not a PackedBatch."""
    if not isinstance(batch, PackedBatch):
        fact = f"expected a PackedBatch, got {type(batch).__name__}"
        raise InvalidInstance(fact, "", "pass items of a PackedDataset, which a Collator makes a batch of")


def _with_all_dimensions(batches: Sequence[PackedBatch]) -> Sequence[PackedBatch]:
    """Return the batches with all additional dimensions of position ids; a missing one equals the first."""
    names = further_dimensions({name for batch in batches for name in batch.keys})
    if not names:
        return batches
    return [replace(batch, keys={**dict.fromkeys(names, batch.position_ids), **batch.keys}) for batch in batches]


def fill(batch: PackedBatch, count: int) -> PackedBatch:
    """Return the batch with ``count`` further positions, each of which attends to itself only.

    Examples
    --------
    >>> fill(example_batch(), 2).input_ids, fill(example_batch(), 2).mask.intervals(4)
    (array([5, 6, 7, 0, 0]), ((4, 5),))
    """
    if not count:
        return batch
    zeros = np.zeros(count, np.int64)
    added = np.arange(batch.positions, batch.positions + count, dtype=np.int32)
    offset = np.append(batch.mask.row_offset[0], batch.mask.row_offset[0, -1] + np.arange(1, count + 1))
    return replace(
        batch,
        input_ids=np.append(batch.input_ids, zeros),
        position_ids=np.append(batch.position_ids, zeros),
        mask=Mask(offset[None], np.append(batch.mask.key_start, added), np.append(batch.mask.key_end, added + 1)),
        keys={name: np.append(values, zeros) for name, values in batch.keys.items()},
    )


def without_samples(batch: PackedBatch) -> PackedBatch:
    """Return the positions of a batch and their mask, without samples and loss edges.

    Examples
    --------
    >>> without_samples(example_batch())
    PackedBatch(0 samples, 3 positions, 0 loss edges)
    """
    sample_arrays = [name for name in ARRAYS if name not in ("input_ids", "position_ids")]
    # offsets of no rows are [0], other arrays are empty
    emptied: dict[str, Any] = {name: getattr(batch, name)[: name.endswith("_offset")] for name in sample_arrays}
    return replace(batch, samples=(), fields={name: values[:0] for name, values in batch.fields.items()}, **emptied)


def example_batch() -> PackedBatch:
    """Return two samples, 5 6 8 and 5 7 9, that share their first token: three positions, four loss edges."""
    return PackedBatch(
        samples=("a", "b"),
        input_ids=np.array([5, 6, 7]),
        position_ids=np.array([0, 1, 1]),
        mask=Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3))]]),
        loss_position=np.array([0, 1, 0, 2]),
        loss_label=np.array([6, 8, 7, 9]),
        loss_sample=np.array([0, 0, 1, 1]),
        loss_weight=np.ones(4),
        sample_offset=np.array([0, 2, 4]),
        sample_position=np.array([0, 1, 0, 2]),
        sample_weight=np.ones(2),
        loss_index=np.array([1, 2, 1, 2]),
        dead_offset=np.array([0, 1, 2]),
        dead_index=np.array([2, 2]),
        dead_token=np.array([8, 9]),
    )


def _concatenate_masks(masks: Sequence[Mask], shift: Int64Array) -> Mask:
    bounds = [_concatenate_shifted([getattr(mask, name) for mask in masks], shift) for name in ("key_start", "key_end")]
    offset = _concatenate_indptr([mask.row_offset[0] for mask in masks])
    return Mask(offset[None], *(bound.astype(np.int32) for bound in bounds))


def _concatenate_shifted(parts: Sequence[AnyArray], shift: Int64Array) -> AnyArray:
    """Return the parts one after another, ``shift[i]`` added to part i."""
    return np.concatenate([part + by for part, by in zip(parts, shift, strict=False)])


def _concatenate_indptr(parts: Sequence[Int64Array]) -> Int64Array:
    """Return row pointers of the rows of all parts, one part after another."""
    return indptr(np.concatenate([np.diff(part) for part in parts]))
