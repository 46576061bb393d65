"""The call that ``self_test`` tests, with the model inside it and what was measured of it once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from masksynth.pack.batch import PackedBatch
from masksynth.torch.model_check.checked_call import read_record
from masksynth.torch.model_check.compare_outputs import Model, output_rows, row_distances, tolerance_of
from masksynth.torch.model_check.expected_masks import expected_position_ids
from masksynth.torch.model_check.separate_samples import longest_limit
from masksynth.torch.model_check.transformers_models import (
    ModelCall,
    check_tokens,
    is_transformers_model,
    record_calls,
    select_call,
)
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.training_batch import TrainingBatch

Reference = Callable[[Tensor, Tensor], Any]


@dataclass(frozen=True, eq=False)
class SelfTestCall:
    """A batch, the model that is called with it, and the reference.

    Parameters
    ----------
    model : callable
    batch : TrainingBatch
    visible : {"causal", "mask"}
    relative_tolerance : float or None
        Largest difference of logits, relative to the largest logit; by default that of the dtype.
    reference : transformers model, callable or None
    logits : (N, V) Tensor
        Logits that the callable returns.
    call : ModelCall or str
        The call of the transformers model inside, or why there is none.
    architecture : Architecture or str
        Its record, or why it is not understood; empty if there is no model to read.
    """

    model: Model
    batch: TrainingBatch
    visible: str
    relative_tolerance: float | None
    reference: nn.Module | Reference | None
    logits: Tensor
    call: ModelCall | str
    architecture: Architecture | str

    @property
    def source(self) -> PackedBatch:
        """The batch as arrays."""
        return self.batch.source

    @property
    def window(self) -> int | None:
        """The longest window or chunk of the model, in tokens; None if it has none or is not known."""
        return longest_limit(self.architecture.layers) if isinstance(self.architecture, Architecture) else None

    @property
    def position_ids(self) -> Tensor:
        """The position ids that the samples have, ``[1, N]`` or ``[D, 1, N]``."""
        return expected_position_ids(self.batch, self.architecture)

    @cached_property
    def noise(self) -> float:
        """Largest difference of the outputs of two equal runs."""
        return float(row_distances(self.run(), self.logits).max())

    def run(self, **changed: Any) -> Tensor:
        """Return the outputs of the callable, (N, V), with some of the batch's inputs changed."""
        return output_rows(self.model(**{**self.batch.model_inputs, **changed}), self.source.positions)

    def tolerance_in(self, outputs: Tensor, precision: torch.dtype) -> float:
        """Return the largest difference of outputs that should be equal, if they were computed in this dtype."""
        return tolerance_of(outputs.to(precision), self.relative_tolerance)

    def precision(self, outputs: Tensor) -> torch.dtype:
        """Return the dtype in which outputs were computed: half precision may be widened to float32, as trainers do."""
        if isinstance(self.call, str) or outputs.dtype != torch.float32:
            return outputs.dtype
        return self.call.dtype

    def change_tokens(self, positions: Tensor) -> Tensor:
        """Return the token ids ``[1, N]`` with those at some positions replaced by other ones."""
        other: Tensor = self.batch.model_inputs["input_ids"].clone()
        other[0, positions] = _other_tokens(self.batch.input_ids, self.logits.shape[-1])[positions]
        return other


def call_model(
    model: Model,
    batch: TrainingBatch,
    visible: str,
    relative_tolerance: float | None,
    reference: nn.Module | Reference | None,
) -> SelfTestCall:
    """Call the model with the batch, and return the call with the record of the transformers model inside."""
    size = batch.source.positions
    result, calls = record_calls(lambda: model(**batch.model_inputs), size)
    call = check_tokens(select_call(calls), batch.input_ids)
    inner = reference if is_transformers_model(reference) else None if isinstance(call, str) else call.model
    logits, record = output_rows(result, size), read_record(inner, batch)
    return SelfTestCall(model, batch, visible, relative_tolerance, reference, logits, call, record)


def _other_tokens(tokens: Tensor, classes: int) -> Tensor:
    """Return a different token for each, one of the batch's own tokens if it has two."""
    used, slot = torch.unique(tokens, return_inverse=True)
    return used[(slot + 1) % len(used)] if len(used) > 1 else (tokens + 1) % classes
