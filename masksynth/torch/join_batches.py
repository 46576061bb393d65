"""Packed batches as arrays: several as one, filled up, without their samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.pack.batch import ARRAYS, PackedBatch
from masksynth.pack.dimensions import further_dimensions


def join(batches: Sequence[PackedBatch]) -> PackedBatch:
    """The batches end to end as one batch; none sees another.

    Raises
    ------
    InvalidInstance
        If there is none, or their token fields or keys differ in name.
    """
    if not batches:
        raise InvalidInstance("there is no batch to collate", "", "give at least one")
    if len(batches) == 1:
        return batches[0]
    batches = _with_all_dimensions(batches)
    for kind in ("fields", "keys"):
        names = [sorted(getattr(batch, kind)) for batch in batches]
        if any(other != names[0] for other in names):
            raise InvalidInstance(
                f"batches with {kind} {names[0]} and {next(n for n in names if n != names[0])} do not join",
                "",
                "batch_size=1",
            )
    shift = np.cumsum([0, *(batch.positions for batch in batches)])
    by = {
        "loss_position": shift,
        "sample_position": shift,
        "loss_sample": np.cumsum([0, *(len(batch.samples) for batch in batches)]),
    }
    arrays: dict[str, Any] = {}
    for name in ARRAYS:
        parts = [getattr(batch, name) for batch in batches]
        arrays[name] = (
            _offsets(parts)
            if name.endswith("_offset")
            else _shifted(parts, by.get(name, np.zeros(len(parts), np.int64)))
        )
    return PackedBatch(
        samples=tuple(name for batch in batches for name in batch.samples),
        mask=_joined_mask([batch.mask for batch in batches], shift),
        fields={name: np.concatenate([batch.fields[name] for batch in batches]) for name in batches[0].fields},
        keys={name: np.concatenate([batch.keys[name] for batch in batches]) for name in batches[0].keys},
        **arrays,
    )


def _with_all_dimensions(batches: Sequence[PackedBatch]) -> Sequence[PackedBatch]:
    """Return the batches, each with every further dimension of position ids; where none is stored it equals the first."""
    names = further_dimensions({name for batch in batches for name in batch.keys})
    if not names:
        return batches
    return [replace(batch, keys={**dict.fromkeys(names, batch.position_ids), **batch.keys}) for batch in batches]


def filled(batch: PackedBatch, spare: int) -> PackedBatch:
    """The batch with ``spare`` further positions, each of which sees only itself.

    Examples
    --------
    >>> filled(example_batch(), 2).input_ids, filled(example_batch(), 2).mask.intervals(4)
    (array([5, 6, 7, 0, 0]), ((4, 5),))
    """
    if not spare:
        return batch
    nothing, own = np.zeros(spare, np.int64), np.arange(batch.positions, batch.positions + spare, dtype=np.int32)
    offset = np.append(batch.mask.row_offset[0], batch.mask.row_offset[0, -1] + np.arange(1, spare + 1))
    return replace(
        batch,
        input_ids=np.append(batch.input_ids, nothing),
        position_ids=np.append(batch.position_ids, nothing),
        mask=Mask(offset[None], np.append(batch.mask.key_start, own), np.append(batch.mask.key_end, own + 1)),
        keys={name: np.append(values, nothing) for name, values in batch.keys.items()},
    )


def without_samples(batch: PackedBatch) -> PackedBatch:
    """The positions of a batch and their mask, with no sample and no loss edge.

    Examples
    --------
    >>> without_samples(example_batch())
    PackedBatch(0 samples, 3 positions, 0 loss edges)
    """
    of_samples = [name for name in ARRAYS if name not in ("input_ids", "position_ids")]
    nothing: dict[str, Any] = {name: getattr(batch, name)[: name.endswith("_offset")] for name in of_samples}
    return replace(batch, samples=(), fields={name: values[:0] for name, values in batch.fields.items()}, **nothing)


def example_batch() -> PackedBatch:
    """Two samples, 5 6 8 and 5 7 9, that share their first token: three positions, four loss edges."""
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


def _joined_mask(masks: Sequence[Mask], shift: NDArray[np.int64]) -> Mask:
    bounds = [_shifted([getattr(mask, name) for mask in masks], shift) for name in ("key_start", "key_end")]
    return Mask(_offsets([mask.row_offset[0] for mask in masks])[None], *(bound.astype(np.int32) for bound in bounds))


def _shifted(parts: Sequence[NDArray[Any]], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([part + by for part, by in zip(parts, shift, strict=False)])


def _offsets(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Offset arrays one after the other: each begins where the one before ended."""
    return np.concatenate([[0], *(np.diff(part) for part in parts)]).cumsum().astype(np.int64)
