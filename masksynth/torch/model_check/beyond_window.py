"""Compare samples that are longer than the model's window, and check that they distinguish it from other windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from masksynth.errors import WrongAnswer
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.torch.model_check.changed_windows import changed_windows
from masksynth.torch.model_check.checked_call import read_record
from masksynth.torch.model_check.compare_outputs import row_distances, tolerance_of
from masksynth.torch.model_check.compare_values import CLOSER
from masksynth.torch.model_check.expected_masks import collate_same_way
from masksynth.torch.model_check.self_test_call import SelfTestCall, call_model
from masksynth.torch.model_check.separate_logits import compare_sample
from masksynth.torch.model_check.separate_samples import (
    BEYOND,
    batch_with_long_samples,
    longest_limit,
    positions_of_sample,
    take_sample,
)
from masksynth.torch.model_check.transformers_models import run_separately
from masksynth.torch.models.architecture import Architecture

NO_WINDOW = "windows dropped"


class LongSample(NamedTuple):
    """Result of the comparison of a sample that is longer than the window.

    Parameters
    ----------
    tokens : int
        Length of the compared sample; 0 if none was compared.
    window : int
        The window that it exceeds, in tokens.
    why_not : str
        Why none was compared; empty if one was.
    undecided : tuple of str
        Other windows that the sample does not distinguish, and why.
    """

    tokens: int
    window: int
    why_not: str = ""
    undecided: tuple[str, ...] = ()


def compare_long_sample(tested: SelfTestCall) -> LongSample:
    """Compare a sample that exceeds the window: one of the batch, a generated one, or one with a shorter window."""
    source, window = tested.source, tested.window
    assert window is not None
    lengths = np.diff(source.sample_offset)
    longest = int(np.argmax(lengths))
    if lengths[longest] > window:
        _, why_not = compare_sample(tested, longest)
        if why_not:
            return LongSample(0, window, why_not)
        return LongSample(int(lengths[longest]), window, "", tuple(compare_other_windows(tested, longest)))
    if why_not := _explain_none_made(tested, window + BEYOND):
        missing = f"samples longer than the window of {window} tokens: the batch has none, and {why_not}"
        return _compare_with_shorter_window(tested, longest) or LongSample(0, window, missing)
    batch = collate_same_way(tested.batch, batch_with_long_samples(source, window))
    longer = call_model(tested.model, batch, "causal", tested.relative_tolerance, tested.reference)
    try:
        _, why_not = compare_sample(longer, 1)
        undecided = [] if why_not else compare_other_windows(longer, 1)
    except WrongAnswer as error:
        fact = f"on a sample of {window + BEYOND} tokens, longer than the model's window of {window}: {error.fact}"
        raise WrongAnswer(error.requirement, fact) from None
    return LongSample(0, window, why_not) if why_not else LongSample(window + BEYOND, window, "", tuple(undecided))


def _compare_with_shorter_window(tested: SelfTestCall, sample: int) -> LongSample | None:
    """Compare a sample in the model with shorter windows, which it exceeds; None if the model cannot be run so.

    The batch is collated again for the changed model if it was made for the model, and left as it is if no window was
    given.
    """
    length = len(positions_of_sample(tested.source, sample))
    window, batch = length - BEYOND + 1, tested.batch
    given_window = batch.architecture is None and any(reach.limited for reach in batch.tables.values())
    if isinstance(tested.call, str) or tested.reference is not None or window < 1 or given_window:
        return None
    with changed_windows(tested.call.model, lambda size: min(size, window)):
        record = read_record(tested.call.model, batch)
        if not isinstance(record, Architecture) or longest_limit(record.layers) != window:
            return None
        changed_batch = replace(batch, architecture=record if batch.architecture is not None else None)
        collated = collate_same_way(changed_batch, tested.source)
        changed = call_model(tested.model, collated, tested.visible, tested.relative_tolerance, None)
        try:
            _, why_not = compare_sample(changed, sample)
            undecided = [] if why_not else compare_other_windows(changed, sample)
        except WrongAnswer as error:
            fact = f"with the model's window made {window} tokens, which a sample of {length} exceeds: {error.fact}"
            raise WrongAnswer(error.requirement, fact) from None
    return None if why_not else LongSample(length, window, "", tuple(undecided))


def _explain_none_made(tested: SelfTestCall, size: int) -> str:
    """Return why no batch of samples of ``size`` tokens is generated; empty if it can be."""
    causal = isinstance(tested.architecture, Architecture) and tested.architecture.causal
    if tested.visible != "causal" or not causal:
        return "none is made of samples that are not causal"
    if tested.batch.attention != "flex" and size + BEYOND > MAX_DENSE:
        return f"dense masks are refused above {MAX_DENSE} positions"
    if tested.batch.attention == "flex" and tested.batch.device.type == "cpu":
        return "compiled kernels on a CPU run one length only"
    if isinstance(tested.call, str):
        return ""
    limit = getattr(tested.call.model.config, "max_position_embeddings", None)
    return f"the model has {limit} positions" if isinstance(limit, int) and size > limit else ""


def compare_other_windows(tested: SelfTestCall, sample: int) -> list[str]:
    """Return which other windows the logits of a sample do not distinguish from the model's own, up to rounding.

    The sample, which is longer than the window, is run alone by the model with each of these windows.

    Raises
    ------
    WrongAnswer
        If the merged logits are those under another window.
    """
    call = tested.call
    if isinstance(call, str) or tested.reference is not None or tested.visible != "causal":
        return []
    positions = positions_of_sample(tested.source, sample)
    alone = take_sample(positions, call.inputs[call.sequence], tested.position_ids)
    merged = call.outputs[torch.from_numpy(positions).to(call.outputs.device)]
    right = run_separately(call.model, call, alone.tokens, alone.position_ids)
    to_right = float(row_distances(right, merged).max())
    changes: dict[str, Callable[[int], int]] = {
        NO_WINDOW: lambda size: max(size, len(positions)),
        "windows one token longer": lambda size: size + 1,
        "windows one token shorter": lambda size: max(1, size - 1),
    }
    undecided = []
    for words, change in changes.items():
        with changed_windows(call.model, change):
            if words == NO_WINDOW:
                record = read_record(call.model, tested.batch)
                limit = longest_limit(record.layers) if isinstance(record, Architecture) else 0
                if (len(positions) if limit is None else limit) < len(positions):
                    return []  # the class keeps its window elsewhere
            other = run_separately(call.model, call, alone.tokens, alone.position_ids)
        effect, to_other = float(row_distances(other, right).max()), float(row_distances(other, merged).max())
        if to_other * CLOSER < to_right:
            fact = f"the logits of sample {tested.source.samples[sample]!r} are those of the model with its {words}"
            difference = f"they differ by {to_other:.3g} from those, by {to_right:.3g} from the sample alone"
            raise WrongAnswer("logits", f"{fact}: {difference}")
        if effect <= tolerance_of(right.to(call.dtype), tested.relative_tolerance) and to_other <= CLOSER * to_right:
            undecided.append(f"{words}: the sample's logits differ by {effect:.3g} only, which may be rounding")
    return undecided
