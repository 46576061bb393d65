"""Name the layers of a transformers model that mix positions without a mask: linear attention, convolutions, ..."""

from __future__ import annotations

from math import inf

import numpy as np
import torch

from masksynth.torch.model_check.changed_arguments import Cause
from masksynth.torch.model_check.checked_call import CheckedCall, read_model
from masksynth.torch.model_check.compare_outputs import row_distances, tolerance_of
from masksynth.torch.model_check.forced_masks import force_transformers_model
from masksynth.torch.model_check.transformers_models import ModelCall
from masksynth.torch.models.architecture import FALLBACK


def find_unmasked_layers(checked: CheckedCall) -> Cause | None:
    """Return which layers make outputs depend on other positions without a mask; None if only attention mixes them.

    Outputs may still move by rounding: the sums of experts depend on which tokens are grouped, and on the number of
    threads.
    """
    if isinstance(checked.call, str) or not (moved := measure_without_attention(checked.call)):
        return None
    if isinstance(refusal := read_model(checked.call.model), str):
        words, remedy = refusal.rsplit("; ", 1) if "; " in refusal else (refusal, FALLBACK)
        return Cause(words, remedy)
    if moved <= tolerance_of(checked.call.outputs):
        return None
    return Cause(f"a layer of {type(checked.call.model).__name__} mixes positions without a mask", FALLBACK)


def measure_without_attention(call: ModelCall) -> float:
    """Return by how much outputs move with another position's input when every position attends to itself only.

    The movement is infinite if no attention takes a mask.
    """
    size = len(call.outputs)
    identity = [torch.eye(size, dtype=torch.bool, device=call.outputs.device)]
    base = force_transformers_model(call)(identity)
    if isinstance(base, str):
        return inf
    sequence = call.inputs[call.sequence].clone()
    middle = size // 2
    values = sequence[0].unique(dim=0)
    others = values[(values != sequence[0, middle]).reshape(len(values), -1).any(-1)]
    if not len(others):
        return 0.0
    sequence[0, middle] = others[0]
    moved = force_transformers_model(call._replace(inputs={**call.inputs, call.sequence: sequence}))(identity)
    if isinstance(moved, str):
        return inf
    rest = np.arange(size) != middle
    return float(row_distances(moved.outputs, base.outputs)[rest].max(initial=0.0))
