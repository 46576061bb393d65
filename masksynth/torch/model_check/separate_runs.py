"""Compare a merged call with runs of single samples: finds what neither masks nor position ids explain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from masksynth.torch.model_check.checked_call import CheckedCall
from masksynth.torch.model_check.compare_outputs import row_distances, tolerance_of
from masksynth.torch.model_check.model_report import ModelFinding
from masksynth.torch.model_check.packed_arrays import describe_position
from masksynth.torch.model_check.separate_samples import (
    choose_samples,
    has_default_mask,
    positions_of_sample,
    take_sample,
)
from masksynth.torch.model_check.transformers_models import run_separately
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.training_batch import TrainingBatch

SAMPLES = 2
"""Number of samples that are run alone."""
NOT_BY_POSITION = (
    "the model depends on more than masks and position ids; use one sample per row: Collator(model=model, merge=False)"
)


class SeparateDifference(NamedTuple):
    """Difference between merged outputs and those of a sample run alone.

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

    def finding(self) -> ModelFinding:
        """Return the difference as a finding."""
        return ModelFinding("values", self.position, None, (), self.moved, 1, self.message, self.remedy)


def compare_separate_runs(checked: CheckedCall) -> SeparateDifference | int:
    """Return where outputs of a packed batch differ from those of a sample alone, or the number of samples compared.

    The samples are the one that ends last in the merged order, and the longest. Samples with their own visibility,
    which the model's own mask does not have, are left out.
    """
    batch, call = checked.batch, checked.call
    if isinstance(call, str) or not isinstance(batch, TrainingBatch):
        return 0
    compared = 0
    causal = not isinstance(checked.architecture, Architecture) or checked.architecture.causal
    for sample in choose_samples(batch.source, SAMPLES, np.random.default_rng(0)):
        positions = positions_of_sample(batch.source, sample)
        if not has_default_mask(batch.source.mask, positions, causal):
            continue
        sample_alone = take_sample(positions, call.inputs[call.sequence], checked.position_ids)
        with torch.no_grad():
            outputs = run_separately(call.model, call, sample_alone.tokens, sample_alone.position_ids)
        merged = call.outputs[torch.from_numpy(positions).to(call.outputs.device)]
        difference = row_distances(outputs, merged)
        token = int(np.argmax(difference))
        if not difference[token] <= tolerance_of(outputs.to(call.dtype)):
            entry = int(batch.source.sample_offset[sample]) + token
            where = describe_position(batch.source, int(positions[token]), entry)
            message = f"the output at {where} differs by {difference[token]:.3g} from that of the sample alone"
            refusal = checked.architecture if isinstance(checked.architecture, str) else ""
            remedy = refusal or NOT_BY_POSITION
            return SeparateDifference(int(positions[token]), float(difference[token]), message, remedy)
        compared += 1
    return compared
