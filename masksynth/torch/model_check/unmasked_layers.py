"""Name the layers of a transformers model that mix positions without a mask.

Linear attention, convolutions, state spaces.
"""

from __future__ import annotations

import numpy as np
import torch

from masksynth.torch.model_check.comparison import distance
from masksynth.torch.model_check.forced_masks import force_transformers_model
from masksynth.torch.model_check.subject import Subject, read_model
from masksynth.torch.model_check.transformers_models import ModelCall
from masksynth.torch.stack import Cause

FALLBACK = "use Collator(model=model, merge=False), which gives one sample a row"


def unmasked_layers(subject: Subject) -> Cause | None:
    """Return which layers make outputs depend on other positions with no mask on the way.

    None if attention alone mixes positions.
    """
    if isinstance(subject.call, str) or not mixes_without_attention(subject.call):
        return None
    if isinstance(refusal := read_model(subject.call.model), str):
        words, remedy = refusal.rsplit("; ", 1) if "; " in refusal else (refusal, FALLBACK)
        return Cause(words, remedy)
    return Cause(f"a layer of {type(subject.call.model).__name__} mixes positions without a mask", FALLBACK)


def mixes_without_attention(call: ModelCall) -> bool:
    """Return whether outputs move with other positions' inputs when every attention sees only the position itself.

    Where no attention takes a mask, it is true.
    """
    size = len(call.outputs)
    alone = [torch.eye(size, dtype=torch.bool, device=call.outputs.device)]
    base = force_transformers_model(call)(alone)
    if isinstance(base, str):
        return True
    sequence = call.inputs[call.sequence].clone()
    middle = size // 2
    values = sequence[0].unique(dim=0)
    others = values[(values != sequence[0, middle]).reshape(len(values), -1).any(-1)]
    if not len(others):
        return False
    sequence[0, middle] = others[0]
    moved = force_transformers_model(call._replace(inputs={**call.inputs, call.sequence: sequence}))(alone)
    if isinstance(moved, str):
        return True
    rest = np.arange(size) != middle
    return bool(distance(moved.outputs, base.outputs)[rest].max(initial=0.0) > 0)
