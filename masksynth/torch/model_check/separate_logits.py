"""Compare the merged logits of a sample with those of the sample run alone."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask.algebra import restrict
from masksynth.mask.typing import Int64Array
from masksynth.torch.join_batches import fill, without_samples
from masksynth.torch.model_check.compare_outputs import output_rows, row_distances
from masksynth.torch.model_check.expected_masks import collate_same_way
from masksynth.torch.model_check.failure_masks import causal_mask
from masksynth.torch.model_check.packed_arrays import describe_position
from masksynth.torch.model_check.self_test_call import Reference, SelfTestCall
from masksynth.torch.model_check.separate_samples import (
    SeparateSample,
    has_default_mask,
    positions_of_sample,
    take_sample,
)
from masksynth.torch.model_check.transformers_models import (
    ModelCall,
    eager_instead_of_flex,
    is_transformers_model,
    run_separately,
    separate_inputs,
)
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.training_batch import TrainingBatch

REFUSALS = (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError)
"""Errors with which a callable may refuse a single sample."""


class LogitsComparison(NamedTuple):
    """Result of the comparison of one sample.

    Parameters
    ----------
    apart : float
        Largest difference between merged and separate logits.
    why_not : str
        Why there was no comparison with the model's own run; empty if there was.
    """

    apart: float
    why_not: str


def compare_sample(tested: SelfTestCall, sample: int) -> LogitsComparison:
    """Compare the merged logits of a sample with those of the sample alone.

    Raises
    ------
    WrongAnswer
        If they differ by more than rounding.
    """
    call, positions = tested.call, positions_of_sample(tested.source, sample)
    if tested.visible == "mask":
        positions = np.unique(positions)
    sequence = torch.from_numpy(tested.source.input_ids)[None].to(tested.batch.device)
    if isinstance(call, ModelCall) and tested.reference is None and _has_other_sequence(call, tested.batch):
        sequence = call.inputs[call.sequence]
    alone = take_sample(positions, sequence, tested.position_ids)
    if tested.reference is not None:
        expected = _run_reference(tested.reference, alone)
        return LogitsComparison(_compare_logits(tested, sample, alone, expected, tested.logits), "")
    default_mask = not isinstance(call, str) and _has_default_mask(tested, positions)
    apart = 0.0
    if default_mask:
        assert isinstance(call, ModelCall)
        expected = run_separately(call.model, call, alone.tokens, alone.position_ids)
        apart = _compare_logits(tested, sample, alone, expected, call.outputs)
        widened = tested.logits.dtype in (call.outputs.dtype, torch.float32)
        if widened and torch.equal(call.outputs.to(tested.logits.dtype), tested.logits):  # passed on unchanged
            return LogitsComparison(apart, "")
    expected_of_callable, why_not = _run_callable(tested, alone, default_mask)
    if expected_of_callable is None:
        return LogitsComparison(apart, why_not)
    return LogitsComparison(
        max(apart, _compare_logits(tested, sample, alone, expected_of_callable, tested.logits)), why_not
    )


def _has_other_sequence(call: ModelCall, batch: TrainingBatch) -> bool:
    """Return whether a wrapper embeds the batch's tokens or renumbers them before the model gets them."""
    ids = call.inputs[call.sequence]
    return call.sequence != "input_ids" or not torch.equal(ids[0], batch.input_ids.to(ids))


def _has_default_mask(tested: SelfTestCall, positions: Int64Array) -> bool:
    """Return whether the model's own mask of a sample is the one that the sample should have."""
    if tested.visible == "causal":
        return True
    causal = not isinstance(tested.architecture, Architecture) or tested.architecture.causal
    return has_default_mask(tested.source.mask, positions, causal)


def _run_reference(reference: nn.Module | Reference, alone: SeparateSample) -> Tensor:
    if is_transformers_model(reference):
        return run_separately(reference, None, alone.tokens, alone.position_ids)
    size, ids = len(alone.positions), alone.position_ids
    try:
        result = reference(alone.tokens[None], ids[None] if ids.dim() == 1 else ids[:, None])
    except Exception as error:  # the code is the user's
        fact = f"reference raised {type(error).__name__}: {' '.join(str(error).split())}"
        remedy = f"it is called as reference(input_ids, position_ids) with one sample, here of {size} tokens"
        raise InvalidInstance(fact, "", remedy) from error
    try:
        return output_rows(result, size)
    except InvalidInstance as error:
        raise InvalidInstance(error.fact.replace("the model", "reference", 1), "", error.remedy) from None


def _run_callable(tested: SelfTestCall, alone: SeparateSample, default_mask: bool) -> tuple[Tensor | None, str]:
    """Return the callable's outputs for a sample alone, and why they are not the model's own run; None if it fails.

    The callable is run without a mask if the model inside has the right one by default, otherwise under ours.
    """
    if default_mask:
        try:
            return _run_without_mask(tested, alone), ""
        except REFUSALS:
            why_not = "what the callable does after the model: it does not run a sample without a mask"
            return _run_under_our_mask(tested, alone), why_not
    try:
        outputs = _run_under_our_mask(tested, alone)
    except REFUSALS as error:
        size = len(alone.positions)
        why_not = (
            f"with a sample alone: the model fails on one of {size} tokens ({type(error).__name__}); pass reference="
        )
        return None, why_not
    if isinstance(tested.call, str):
        return outputs, f"with a model's own run: {tested.call}; pass reference="
    if tested.window is None and isinstance(tested.architecture, Architecture):
        return outputs, ""  # the model has no mask of its own that ours could hide
    why_not = "samples with their own visibility: the model's own masks do not have it; pass reference="
    return outputs, why_not


def _run_without_mask(tested: SelfTestCall, alone: SeparateSample) -> Tensor:
    assert isinstance(tested.call, ModelCall)
    tokens = torch.from_numpy(tested.source.input_ids[alone.positions]).to(tested.batch.device)
    inputs = {"attention_mask": None, "position_ids": None, "use_cache": False}
    inputs |= separate_inputs("input_ids", tokens, alone.position_ids)
    with eager_instead_of_flex(tested.call.model):
        return output_rows(tested.model(**inputs), len(alone.positions))


def _run_under_our_mask(tested: SelfTestCall, alone: SeparateSample) -> Tensor:
    """Run the callable on a sample alone as on the merged batch, under a mask that masksynth makes.

    For flex it is padded to N positions, each of which attends to itself: one compiled kernel serves both.
    """
    source, batch, tokens = tested.source, tested.batch, alone.positions
    size = len(tokens)
    sample = replace(
        without_samples(source),
        input_ids=source.input_ids[tokens],
        position_ids=source.position_ids[tokens],
        mask=causal_mask(size) if tested.visible == "causal" else restrict(source.mask, tokens),
        keys={name: values[tokens] for name, values in source.keys.items()},
    )
    padding = source.positions - size if batch.attention == "flex" else 0
    inputs = collate_same_way(batch, fill(sample, padding)).model_inputs
    return output_rows(tested.model(**inputs), size + padding)[:size]


def _compare_logits(
    tested: SelfTestCall, sample: int, alone: SeparateSample, expected: Tensor, merged: Tensor
) -> float:
    """Return the largest difference of a sample's logits; raise if it is more than rounding.

    Parameters
    ----------
    tested : SelfTestCall
    sample : int
    alone : SeparateSample
    expected : (n, V) Tensor
        Outputs of the sample alone.
    merged : (N, V) Tensor
        Outputs of the merged batch.
    """
    source = tested.source
    merged = merged[torch.from_numpy(alone.positions).to(merged.device)]
    if expected.shape != merged.shape:
        fact = f"outputs of the sample alone are {list(expected.shape)}, of the merged batch {list(merged.shape)}"
        raise InvalidInstance(fact, "", "pass a reference that returns the same outputs")
    difference = row_distances(expected.to(merged.device), merged)
    token = int(np.argmax(difference))
    precision = tested.precision(merged)
    if difference[token] <= tested.tolerance_in(expected, precision):
        return float(difference[token])
    if tested.tolerance_in(merged, precision) < tested.noise < float("inf"):
        raise InvalidInstance(f"two equal runs differ by {tested.noise:.3g}", "", "switch dropout off: model.eval()")
    entry = int(source.sample_offset[sample]) + token if tested.visible == "causal" else None
    where = describe_position(source, int(alone.positions[token]), entry)
    fact = f"the logits at {where} differ by {difference[token]:.3g} from those of the sample alone"
    raise WrongAnswer("logits", f"{fact} (largest logit {float(expected.abs().max()):.3g})")
