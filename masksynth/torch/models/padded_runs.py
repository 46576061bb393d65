"""Read what padded rows of one sample each need: whether the model is causal, and that it ignores pads."""

from __future__ import annotations

from dataclasses import replace

import torch

from masksynth.errors import Unsupported
from masksynth.torch.models.architecture import Architecture, pads_overflow
from masksynth.torch.models.evaluation_mode import evaluating
from masksynth.torch.models.opaque_attention import ignores_pads, is_causal
from masksynth.torch.models.reach import Reach
from masksynth.torch.models.recorded_runs import ROUNDING, RecordedRuns
from masksynth.torch.models.tracing import TOKENS


def read_padded(runs: RecordedRuns) -> Architecture:
    """Return the record of a model that gets one sample per row.

    Raises
    ------
    Unsupported
        If the model gives a padded row other outputs than its sample alone, or cannot run.
    """
    record = runs.record
    if runs.on_meta or record.attention == "flex":  # flex would be compiled for these few tokens
        bidirectional = any(reach.kind == "bidirectional" for reach in _own_reaches(runs))
        return replace(record, kind="bidirectional" if bidirectional else "causal")
    overflows, tolerance = pads_overflow(record.attention, record.dtype), ROUNDING.get(record.dtype, 1e-1)
    try:
        with evaluating(runs.model), torch.no_grad():
            causal = is_causal(runs.model, runs.ids()[0])
            ignored = ignores_pads(runs.model, runs.ids()[0], not (causal and overflows), tolerance)
    except Exception as error:
        text = str(error).strip().split("\n")[0][:200]
        raise Unsupported(f"{record.model} fails on {TOKENS} plain tokens: {text}") from error
    if overflows and not causal and any(reach.limited for reach in _own_reaches(runs)):
        fact = f"eager attention of {record.model} in float64 gives NaN for pads that see no token in their window"
        raise Unsupported(f"{fact}; load the model with attn_implementation='sdpa'")
    if not ignored:
        fact = f"{record.model} gives a padded row other outputs than its sample alone"
        raise Unsupported(f"{fact}; train it on one sample per batch, without masksynth")
    return replace(record, kind="causal" if causal else "bidirectional")


def _own_reaches(runs: RecordedRuns) -> list[Reach]:
    """Return the reaches of the model's own masks, where they are understood."""
    return [call.mask for call in runs.run_plain().calls if isinstance(call.mask, Reach)]
