"""Name the layers of a transformers model that mix positions without a mask.

Linear attention, convolutions, state spaces.
"""

from __future__ import annotations

from math import inf

import numpy as np
import torch

from masksynth.torch.model_check.checked_model import Subject, read_model
from masksynth.torch.model_check.comparison import distance, tolerance_of
from masksynth.torch.model_check.forced_masks import force_transformers_model
from masksynth.torch.model_check.other_calls import Cause
from masksynth.torch.model_check.transformers_models import ModelCall

FALLBACK = "use Collator(model=model, merge=False), which gives one sample a row"


def unmasked_layers(subject: Subject) -> Cause | None:
    """Return which layers make outputs depend on other positions with no mask on the way.

    None if attention alone mixes positions. A model that reads as unmixed may still move by rounding: the sums of
    experts depend on which tokens are grouped, and on the number of threads.
    """
    if isinstance(subject.call, str) or not (moved := movement_without_attention(subject.call)):
        return None
    if isinstance(refusal := read_model(subject.call.model), str):
        words, remedy = refusal.rsplit("; ", 1) if "; " in refusal else (refusal, FALLBACK)
        return Cause(words, remedy)
    if moved <= tolerance_of(subject.call.outputs):
        return None
    return Cause(f"a layer of {type(subject.call.model).__name__} mixes positions without a mask", FALLBACK)


def movement_without_attention(call: ModelCall) -> float:
    """Return by how much outputs move with another position's input when every attention sees only the position itself.

    Infinite where no attention takes a mask.
    """
    size = len(call.outputs)
    alone = [torch.eye(size, dtype=torch.bool, device=call.outputs.device)]
    base = force_transformers_model(call)(alone)
    if isinstance(base, str):
        return inf
    sequence = call.inputs[call.sequence].clone()
    middle = size // 2
    values = sequence[0].unique(dim=0)
    others = values[(values != sequence[0, middle]).reshape(len(values), -1).any(-1)]
    if not len(others):
        return 0.0
    sequence[0, middle] = others[0]
    moved = force_transformers_model(call._replace(inputs={**call.inputs, call.sequence: sequence}))(alone)
    if isinstance(moved, str):
        return inf
    rest = np.arange(size) != middle
    return float(distance(moved.outputs, base.outputs)[rest].max(initial=0.0))
