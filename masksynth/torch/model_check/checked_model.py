"""What is checked: the callable, the transformers model within, and what is right for its layers."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from masksynth.errors import MasksynthError, Unsupported
from masksynth.mask import Mask
from masksynth.pack.batch import PackedBatch
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.models.read_architecture import read_architecture
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.collating import layer_masks, true_position_ids
from masksynth.torch.model_check.layer_faults import RightLayers
from masksynth.torch.model_check.transformers_models import ModelCall
from masksynth.torch.training_batch import TrainingBatch
from masksynth.torch.models.reach import Reach
from masksynth.torch.window_rows import index_to_cut, token_index

Int64Array = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Subject:
    """A batch and the call that is checked.

    Parameters
    ----------
    batch : Batch or TrainingBatch
    call : ModelCall or str
        Of the one transformers model within; or why there is none.
    architecture : Architecture or str
        The model's record, or why it is not understood; empty where there is no model to read.
    mask : Mask
        What the layers should attend by, as a pattern.
    """

    batch: Batch | TrainingBatch
    call: ModelCall | str
    architecture: Architecture | str
    mask: Mask

    @property
    def layers(self) -> int | None:
        """How many layers the model has, as its record or its configuration says; None where neither does."""
        if isinstance(self.architecture, Architecture):
            return len(self.architecture.layers) or None
        if isinstance(self.call, str):
            return None
        count = getattr(text_config(self.call), "num_hidden_layers", None)
        return count if isinstance(count, int) and count > 0 else None

    @property
    def right(self) -> RightLayers:
        """What each layer should attend by, table by table."""
        tables = split_tables(self.mask)
        record = self.architecture if isinstance(self.architecture, Architecture) else None
        if isinstance(self.batch, TrainingBatch) and record is not None and record.layers:
            masks = tuple(tables[layer % len(tables)] for layer in range(len(record.layers)))
            index = _index_of_faults(self.batch.source, record.layers)
            return RightLayers(masks, self.batch.source.mask, index, layer_types(record, self.call), record.layers)
        count = self.layers if self.layers is not None and len(tables) > 1 else len(tables)
        full = max(tables, key=lambda table: table.pairs)
        masks = tuple(tables[layer % len(tables)] for layer in range(count))
        return RightLayers(masks, full, self.batch.position_ids.cpu().numpy())

    @property
    def position_ids(self) -> Tensor:
        """The batch's position ids in the shape that the model takes."""
        if isinstance(self.batch, Batch):
            return self.batch.position_ids[None]
        first = self.architecture.first_position if isinstance(self.architecture, Architecture) else 0
        return true_position_ids(self.batch, self.architecture) + first

    @property
    def padding(self) -> Int64Array:
        """Positions of no sample, which fill the sequence up."""
        if isinstance(self.batch, Batch):
            return np.zeros(0, np.int64)
        return np.setdiff1d(np.arange(self.batch.source.positions), self.batch.source.sample_position)


def subject_of(batch: Batch | TrainingBatch, call: ModelCall | str) -> Subject:
    """Return what is checked; for a packed batch the model's own record says what its layers should attend by."""
    if isinstance(batch, Batch):
        return Subject(batch, call, "", batch.rows)
    architecture = read_or_refuse(None if isinstance(call, str) else call.model, batch)
    try:
        return Subject(batch, call, architecture, layer_masks(batch, architecture))
    except Unsupported as error:
        return Subject(batch, call, str(error), batch.source.mask)


def read_or_refuse(model: nn.Module | None, batch: TrainingBatch) -> Architecture | str:
    """Return the record of a model, or of the batch where there is no model; or why there is none."""
    return (batch.architecture or "") if model is None else read_model(model)


def read_model(model: nn.Module) -> Architecture | str:
    """Return the record of a transformers model, or why it is refused."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*one draw of dropout", UserWarning)  # checks run in evaluation mode
            return read_architecture(model)
    except MasksynthError as error:
        return str(error)


def text_config(call: ModelCall) -> Any:
    """Return the configuration of the part of a transformers model that reads text."""
    config: Any = call.model.config
    return config.get_text_config()


def layer_types(record: Architecture, call: ModelCall | str) -> tuple[str, ...]:
    """Return what each layer is called: its type in the model's configuration, or what it sees."""
    named = () if isinstance(call, str) else getattr(text_config(call), "layer_types", None) or ()
    return tuple(named) if len(named) == len(record.layers) else tuple(str(reach) for reach in record.layers)


def split_tables(mask: Mask) -> list[Mask]:
    """Return the tables of a pattern, each as a mask.

    Examples
    --------
    >>> [table.pairs for table in split_tables(Mask.from_dense(np.stack([np.eye(2, dtype=bool), np.ones((2, 2), bool)])))]
    [2, 4]
    """
    if mask.tables == 1:
        return [mask]
    parts = [slice(int(offset[0]), int(offset[-1])) for offset in mask.row_offset]
    offsets = mask.row_offset - mask.row_offset[:, :1]
    return [
        Mask(offset[None], mask.key_start[part], mask.key_end[part])
        for offset, part in zip(offsets, parts, strict=True)
    ]


def _index_of_faults(source: PackedBatch, reaches: Collection[Reach]) -> Int64Array:
    """Return the index by which windows count; position ids where no window cuts and samples disagree about the index."""
    try:
        return token_index(source)
    except Unsupported:
        index_to_cut(source, reaches)  # refuses, if some row has to be cut
        return source.position_ids
