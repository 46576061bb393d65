"""The call that is checked, the transformers model inside it, and the right masks of its layers."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from masksynth.errors import MasksynthError, Unsupported
from masksynth.mask import Mask
from masksynth.mask.algebra import select_table
from masksynth.mask.typing import Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.expected_masks import expected_mask, expected_position_ids
from masksynth.torch.model_check.layer_faults import RightLayers
from masksynth.torch.model_check.transformers_models import ModelCall
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.models.reach import Reach
from masksynth.torch.models.read_architecture import read_architecture
from masksynth.torch.training_batch import TrainingBatch
from masksynth.torch.window_rows import index_to_cut, token_index


@dataclass(frozen=True, eq=False)
class CheckedCall:
    """A batch and the call that is checked.

    Parameters
    ----------
    batch : Batch or TrainingBatch
    call : ModelCall or str
        The call of the one transformers model inside the callable; or why there is none.
    architecture : Architecture or str
        The model's record, or why it is not understood; empty if there is no model to read.
    mask : Mask
        The right masks of the layers, as a pattern.
    """

    batch: Batch | TrainingBatch
    call: ModelCall | str
    architecture: Architecture | str
    mask: Mask

    @property
    def layers(self) -> int | None:
        """Number of layers of the model by its record or its config; None if neither has it."""
        if isinstance(self.architecture, Architecture):
            return len(self.architecture.layers) or None
        if isinstance(self.call, str):
            return None
        count = getattr(text_config(self.call), "num_hidden_layers", None)
        return count if isinstance(count, int) and count > 0 else None

    @property
    def right(self) -> RightLayers:
        """The right mask of each layer."""
        count = self.mask.tables
        tables = [self.mask] if count == 1 else [select_table(self.mask, table) for table in range(count)]
        record = self.architecture if isinstance(self.architecture, Architecture) else None
        if isinstance(self.batch, TrainingBatch) and record is not None and record.layers:
            masks = tuple(tables[layer % len(tables)] for layer in range(len(record.layers)))
            index = _index_for_windows(self.batch.source, record.layers)
            return RightLayers(masks, self.batch.source.mask, index, layer_type_names(record, self.call), record.layers)
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
        return expected_position_ids(self.batch, self.architecture) + first

    @property
    def padding(self) -> Int64Array:
        """Positions of no sample, which pad the sequence."""
        if isinstance(self.batch, Batch):
            return np.zeros(0, np.int64)
        return np.setdiff1d(np.arange(self.batch.source.positions), self.batch.source.sample_position)


def check_call(batch: Batch | TrainingBatch, call: ModelCall | str) -> CheckedCall:
    """Return the checked call; for a packed batch the right masks are those of the model's own record."""
    if isinstance(batch, Batch):
        return CheckedCall(batch, call, "", batch.rows)
    architecture = read_record(None if isinstance(call, str) else call.model, batch)
    try:
        return CheckedCall(batch, call, architecture, expected_mask(batch, architecture))
    except Unsupported as error:
        return CheckedCall(batch, call, str(error), batch.source.mask)


def read_record(model: nn.Module | None, batch: TrainingBatch) -> Architecture | str:
    """Return the record of a model, or that of the batch if there is no model; or why there is none."""
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
    """Return the config of the part of a transformers model that reads text."""
    config: Any = call.model.config
    return config.get_text_config()


def layer_type_names(record: Architecture, call: ModelCall | str) -> tuple[str, ...]:
    """Return a name for each layer: its type in the model's config, or its reach."""
    named = () if isinstance(call, str) else getattr(text_config(call), "layer_types", None) or ()
    return tuple(named) if len(named) == len(record.layers) else tuple(str(reach) for reach in record.layers)


def _index_for_windows(source: PackedBatch, reaches: Collection[Reach]) -> Int64Array:
    """Return the index by which windows count, (N,); position ids if samples conflict and no window cuts a row."""
    try:
        return token_index(source)
    except Unsupported:
        index_to_cut(source, reaches)  # raises if some row has to be cut
        return source.position_ids
