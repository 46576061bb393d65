"""Compare a merged call with the model's own run of some samples alone: what neither masks nor position ids explain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from masksynth.torch.models.architecture import Architecture
from masksynth.torch.model_check.checked_model import Subject
from masksynth.torch.model_check.comparison import distance, tolerance_of
from masksynth.torch.model_check.expected_dependence import words_of
from masksynth.torch.model_check.lone_samples import choose_samples, lone_sample, own_mask_is_right, positions_of_sample
from masksynth.torch.model_check.transformers_models import own_run
from masksynth.torch.training_batch import TrainingBatch

SAMPLES = 2
NOT_BY_POSITION = "the model depends on more than masks and position ids; give it one sample a row: Collator(model=model, merge=False)"


class LoneDifference(NamedTuple):
    """Where merged outputs are not those of a sample alone.

    Parameters
    ----------
    position : int
    moved : float
        The difference.
    message, remedy : str
    """

    position: int
    moved: float
    message: str
    remedy: str


def compare_lone_samples(subject: Subject) -> LoneDifference | int:
    """Return where the outputs of a packed batch are not those of a sample run alone.

    Where there is no such place, return how many samples were compared.

    The samples are the one that ends last in the merged order, and the longest. Samples with their own visibility,
    which the model's own mask does not know, are left out.
    """
    batch, call = subject.batch, subject.call
    if isinstance(call, str) or not isinstance(batch, TrainingBatch):
        return 0
    compared = 0
    causal = not isinstance(subject.architecture, Architecture) or subject.architecture.causal
    for sample in choose_samples(batch.source, SAMPLES, np.random.default_rng(0)):
        positions = positions_of_sample(batch.source, sample)
        if not own_mask_is_right(batch.source.mask, positions, causal):
            continue
        lone = lone_sample(positions, call.inputs[call.sequence], subject.position_ids)
        with torch.no_grad():
            alone = own_run(call.model, call, lone.tokens, lone.position_ids)
        apart = distance(alone, call.outputs[torch.from_numpy(positions).to(call.outputs.device)])
        at = int(np.argmax(apart))
        if not apart[at] <= tolerance_of(alone.to(call.dtype)):
            where = words_of(batch.source, int(positions[at]), int(batch.source.sample_offset[sample]) + at)
            message = f"the output at {where} differs by {apart[at]:.3g} from that of the sample alone"
            refusal = subject.architecture if isinstance(subject.architecture, str) else ""
            return LoneDifference(int(positions[at]), float(apart[at]), message, refusal or NOT_BY_POSITION)
        compared += 1
    return compared
