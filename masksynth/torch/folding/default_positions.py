"""Read which position ids a model gives by itself to padded rows, and whether it separates packed rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.torch.folding.token_rows import count_positions
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.models.evaluation_mode import evaluating
from masksynth.torch.models.recorded_runs import ROUNDING, RecordedRuns
from masksynth.torch.models.tracing import TOKENS, trace

Rule = Callable[[Int64Array, BoolArray], Int64Array]
"""(token ids, real tokens), both (B, T) -> the position ids of the model's own run, (B, T)."""
PADS, HOLE = 3, 6
"""Pads on the left of a probe, and the column of its hole."""


def read_rule(runs: RecordedRuns, record: Architecture) -> Rule | None:
    """Return the rule by which a model numbers the tokens of padded rows without position ids; None if none fits.

    The model runs rows with pads on the left and a hole, once without position ids and once with those of each rule:
    the column, the number of real tokens before, or that of tokens other than the padding id.

    Parameters
    ----------
    runs : RecordedRuns
        Of the backbone.
    record : Architecture
    """
    pad, first = getattr(runs.model.config, "pad_token_id", None), record.first_position

    def column(ids: Int64Array, real: BoolArray) -> Int64Array:
        return np.broadcast_to(np.arange(ids.shape[1]) + first, ids.shape)

    def count(ids: Int64Array, real: BoolArray) -> Int64Array:
        return count_positions(real) + first

    def other_than_pad(ids: Int64Array, real: BoolArray) -> Int64Array:
        return np.where(ids != pad, np.cumsum(ids != pad, 1) + (pad or 0), pad or 0)

    probes = _probes(runs, pad)
    for rule in (column, count, *([other_than_pad] if isinstance(pad, int) else [])):
        if all(_agrees(runs, record, ids, mask, rule) for ids, mask in probes):
            return rule
    return None


def _probes(runs: RecordedRuns, pad: Any) -> list[tuple[Tensor, Tensor]]:
    """Return rows with masked tokens, which are plain tokens or, where the model has one, the padding id."""
    ids, mask = runs.ids(), runs.ones()
    mask[0, :PADS] = mask[0, HOLE] = 0
    probes = [(ids, mask)]
    if isinstance(pad, int) and 0 <= pad < runs.vocabulary_size:
        probes.append((ids.masked_fill(mask == 0, pad), mask))
    return probes


def _agrees(runs: RecordedRuns, record: Architecture, ids: Tensor, mask: Tensor, rule: Rule) -> bool:
    """Return whether real tokens have the same states with a rule's position ids as without any."""
    real = mask[0].bool()
    positions = torch.from_numpy(np.array(rule(ids.cpu().numpy(), mask.cpu().numpy() != 0))).to(ids.device)
    inputs = {"input_ids": ids, "attention_mask": mask}
    own, given = (_states(runs, {**inputs, **more}) for more in ({}, {"position_ids": positions}))
    tolerance = ROUNDING.get(record.dtype, 1e-1)
    return all(
        relative_difference(a[..., real, :], b[..., real, :]) <= tolerance for a, b in zip(own, given, strict=True)
    )


def _states(runs: RecordedRuns, inputs: dict[str, Tensor]) -> list[Tensor]:
    """Return tensors ``[..., n, d]`` that show the position ids: queries, keys and values, else the outputs."""
    run = trace(runs.model, {**inputs, "use_cache": False})
    if run.calls:
        return [state for call in run.calls for state in call.states]
    with evaluating(runs.model), torch.no_grad():
        return [last_hidden(runs.model(**inputs, use_cache=False))]


def last_hidden(output: Any) -> Tensor:
    """Return the hidden states in a backbone's output."""
    if isinstance(output, Tensor):
        return output
    hidden: Tensor | None = getattr(output, "last_hidden_state", None)
    first: Tensor = output[0] if hidden is None else hidden
    return first


def relative_difference(a: Tensor, b: Tensor) -> float:
    """Return ``|a - b| / |b|`` in the Euclidean norm.

    Examples
    --------
    >>> relative_difference(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 0.0]))
    1.3333333333333333
    """
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


def separates_packed(model: Any, ids: Tensor, cached: bool, tolerance: float) -> bool:
    """Return whether a model keeps rows apart that are packed into one without a mask, by position ids that restart.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    ids : (b, n) int64
        b equal packed rows.
    cached : bool
        Whether the model makes a cache.
    tolerance : float
        Largest relative difference from the second row's own run.
    """
    half = TOKENS // 2
    positions = torch.cat([torch.arange(half), torch.arange(ids.shape[1] - half)]).expand(ids.shape).to(ids.device)
    tail = {"input_ids": ids[:1, half:], "position_ids": positions[:1, half:]}
    with evaluating(model), torch.no_grad():
        together = last_hidden(model(input_ids=ids, position_ids=positions, use_cache=cached))[:1, half:]
        alone = last_hidden(model(**tail, use_cache=False))
    return relative_difference(together, alone) <= tolerance
