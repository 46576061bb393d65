"""Masks and position ids that a model's own record requires for a batch, and batches collated like a given one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.intervals import stack_tables
from masksynth.pack.batch import PackedBatch
from masksynth.torch.collator import Collator
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.training_batch import TrainingBatch
from masksynth.torch.window_rows import cut_mask, index_to_cut


def collate_same_way(batch: TrainingBatch, source: PackedBatch) -> TrainingBatch:
    """Return other samples collated like a batch: for its attention, its model and its windows; on its device.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> collate_same_way(Collator("eager")([example_batch()]), example_batch()).attention
    'eager'
    """
    windows = None if batch.architecture is not None else batch.tables or None
    mapping = windows if batch.mask_argument == "mapping" else None
    window = next(iter(windows.values())).window if windows and mapping is None else None
    collator = Collator(
        attention=batch.attention,
        dtype=batch.dtype,
        block_size=batch.block_size,
        attention_window=window,
        tables=mapping,
        position_keys=batch.position_names,
        architecture=batch.architecture,
    )
    return collator(source).to(batch.device)


def check_training_batch(batch: object) -> None:
    """Raise InvalidInstance if the object is not a TrainingBatch, or its samples are not merged."""
    if isinstance(batch, PackedBatch):
        raise InvalidInstance(
            "expected a TrainingBatch, got PackedBatch", "", "collate it: Collator(model=model)(batch)"
        )
    if not isinstance(batch, TrainingBatch):
        raise InvalidInstance(
            f"expected a TrainingBatch, got {type(batch).__name__}", "", "pass what a Collator returns"
        )
    if not batch.merged:
        raise InvalidInstance(
            "the batch has one sample per row (merge=False), and no merged position to check",
            "",
            "check a merged batch",
        )


def expected_position_ids(batch: TrainingBatch, architecture: Architecture | str) -> Tensor:
    """Return the position ids of a merged batch as its samples have them: ``[1, N]``, or ``[D, 1, N]``.

    Further dimensions are those with which the batch was made; else the batch's keys, if their number is what the model
    takes; else (text) they equal the first.
    """
    source, count = batch.source, 1
    if isinstance(architecture, Architecture):
        count = architecture.position_dimensions
    names = batch.position_names
    if not names and count > 1:
        others = [name for name in source.keys if name != "kinds"]
        names = tuple(others) if len(others) == count - 1 else ()
    dimensions = [source.position_ids, *(source.keys[name] for name in names)]
    if len(dimensions) == 1:
        dimensions *= count
    shape = (1, -1) if len(dimensions) == 1 else (len(dimensions), 1, -1)
    return torch.from_numpy(np.stack(dimensions)).reshape(shape).to(batch.device)


def expected_mask(batch: TrainingBatch, architecture: Architecture | str) -> Mask:
    """Return the right masks of the layers of a model on a batch, as a pattern: layer l has table l mod P.

    They follow the model's own record if there is one, since the batch may have been made without it.

    Raises
    ------
    Unsupported
        If it is not known which layer has which mask.
    """
    if isinstance(architecture, str):
        return batch.layer_mask
    if not any(reach.limited for reach in architecture.layers):
        return batch.source.mask
    mask, index = batch.source.mask, index_to_cut(batch.source, architecture.layers)
    cuts = {reach: mask if index is None else cut_mask(mask, index, reach) for reach in set(architecture.layers)}
    return stack_tables([cuts[reach] for reach in architecture.layers[: architecture.period]])
