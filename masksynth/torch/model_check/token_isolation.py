"""Check that outputs move only with the tokens that the mask lets them depend on, by changes and by derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from masksynth.errors import WrongAnswer
from masksynth.mask.typing import BoolArray, Float64Array
from masksynth.pack.batch import PackedBatch
from masksynth.torch.model_check.black_box import BlackBox
from masksynth.torch.model_check.compare_outputs import row_distances, tolerance_of
from masksynth.torch.model_check.mask_flow import reachable_inputs, reachable_outputs
from masksynth.torch.model_check.packed_arrays import describe_position
from masksynth.torch.model_check.self_test_call import SelfTestCall
from masksynth.torch.model_check.separate_samples import positions_of_sample


def choose_changes(
    source: PackedBatch, samples: list[int], probes: int, visible: str, random: np.random.Generator
) -> list[BoolArray]:
    """Return sets of positions to change, (N,) bool each: single ones, and all but a sample or its first tokens."""
    position = np.arange(source.positions)
    changes = [position == p for p in random.permutation(source.positions)[:probes]]
    for sample in samples:
        tokens = positions_of_sample(source, sample)
        kept = tokens[: random.integers(1, len(tokens) + 1)] if visible == "causal" else tokens
        changes.append(~np.isin(position, kept))
    return [changed for changed in changes if changed.any()]


def check_isolation(tested: SelfTestCall, changed: BoolArray) -> tuple[float, bool]:
    """Return (largest forbidden movement, whether any output moved) when a set of tokens is changed.

    Raises
    ------
    WrongAnswer
        If an output moves by more than rounding that the mask does not let depend on the change.
    """
    source = tested.source
    may_move = reachable_outputs(source.mask, changed, None)
    index = torch.from_numpy(np.flatnonzero(changed)).to(tested.batch.device)
    moved = row_distances(tested.run(input_ids=tested.change_tokens(index)), tested.logits)
    forbidden = np.where(may_move, 0.0, moved)
    if forbidden.max() > 0 and forbidden.max() > 4 * tested.noise and not _is_rounding(tested, forbidden, changed):
        position = int(np.argmax(forbidden))
        if changed.sum() == 1:
            what = f"the token at {describe_position(source, int(np.argmax(changed)))} was"
        else:
            what = f"{int(changed.sum())} tokens to which it must not attend were"
        where = describe_position(source, position)
        raise WrongAnswer("leak", f"the logits at {where} moved by {forbidden[position]:.3g} when {what} changed")
    return float(forbidden.max()), bool(moved.max() > 0)


def _is_rounding(tested: SelfTestCall, forbidden: Float64Array, changed: BoolArray) -> bool:
    """Return whether outputs that had to stay moved by rounding only.

    Mixtures of experts compute tokens in groups, which other tokens change. The movement is then within the tolerance,
    and the derivative of those outputs by the changed tokens is exactly 0.
    """
    if forbidden.max() > tolerance_of(tested.logits, tested.relative_tolerance):
        return False
    box = BlackBox(tested.model, tested.batch.model_inputs, tested.source.positions)
    derivative = box.gradients_of_groups([np.flatnonzero(forbidden)], np.random.default_rng(0))
    return not isinstance(derivative, str) and not derivative[0, changed].any()


def check_derivatives(tested: SelfTestCall, samples: Sequence[int], random: np.random.Generator) -> list[str]:
    """Check that each sample's outputs have no derivative by tokens outside it.

    Returns
    -------
    list of str
        Why the derivative was not taken; empty if it was.

    Raises
    ------
    WrongAnswer
        Naming the sample and the token outside it.
    """
    source = tested.source
    positions = [np.unique(positions_of_sample(source, sample)) for sample in samples]
    box = BlackBox(tested.model, tested.batch.model_inputs, source.positions)
    derivatives = box.gradients_of_groups(positions, random)
    if isinstance(derivatives, str):
        return [f"derivative: {derivatives}"]
    for sample, tokens, derivative in zip(samples, positions, derivatives, strict=True):
        inside = np.isin(np.arange(source.positions), tokens)
        if tested.visible == "mask":
            inside = reachable_inputs(source.mask, inside, None)
        outside = np.where(inside, 0.0, derivative)
        if outside.max() > 0:
            key = int(np.argmax(outside))
            fact = (
                f"the logits of sample {source.samples[sample]!r} have a derivative of {outside[key]:.3g} by the token"
            )
            raise WrongAnswer("leak", f"{fact} at {describe_position(source, key)}, which is outside the sample")
    return []
