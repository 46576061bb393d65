"""Make batches as a given batch was made, and the position ids and masks that a model's own record asks for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.pack.batch import PackedBatch
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.collator import Collator
from masksynth.torch.training_batch import TrainingBatch
from masksynth.torch.window_rows import cut_mask, index_to_cut


def collate_alike(batch: TrainingBatch, source: PackedBatch) -> TrainingBatch:
    """Return other samples collated as a batch was: for its attention, its model, its windows; on its device.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> collate_alike(Collator("eager")([example_batch()]), example_batch()).attention
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


def check_merged(batch: object) -> None:
    """Raise InvalidInstance for what is no batch, or one sample a row, in which nothing is merged that could be wrong."""
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
            "the batch has one sample a row (merge=False), and no merged position to check", "", "check a merged batch"
        )


def true_position_ids(batch: TrainingBatch, architecture: Architecture | str) -> Tensor:
    """Return the position ids of a merged batch as its samples have them.

    They are ``[1, N]``, or ``[D, 1, N]`` if the model takes D dimensions.

    Further dimensions are those with which the batch was made; else the batch's keys, if it has as many as the model
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


def layer_masks(batch: TrainingBatch, architecture: Architecture | str) -> Mask:
    """Return the masks that the layers of a model must have on a batch, as a pattern: layer l has table l mod P.

    They are those of the model's own record where there is one, since the batch may have been made without it.

    Raises
    ------
    Unsupported
        If nothing says which layer has which mask.
    """
    if isinstance(architecture, str):
        return batch.layer_mask
    if not any(reach.limited for reach in architecture.layers):
        return batch.source.mask
    mask, index = batch.source.mask, index_to_cut(batch.source, architecture.layers)
    cuts = {reach: mask if index is None else cut_mask(mask, index, reach) for reach in set(architecture.layers)}
    return stack_tables([cuts[reach] for reach in architecture.layers[: architecture.period]])


def stack_tables(masks: list[Mask]) -> Mask:
    """Return masks of one table each as one pattern.

    Examples
    --------
    >>> stack_tables([Mask.from_intervals([[((0, 1),)]]), Mask.from_intervals([[((0, 1),)]])]).tables
    2
    """
    if len(masks) == 1:
        return masks[0]
    begin = np.cumsum([0, *(len(mask.key_start) for mask in masks)])  # where each table's intervals begin
    offset = np.stack([mask.row_offset[0] + shift for mask, shift in zip(masks, begin[:-1], strict=True)])
    return Mask(
        offset, np.concatenate([mask.key_start for mask in masks]), np.concatenate([mask.key_end for mask in masks])
    )
