"""Compare a model's outputs with those of runs under the right masks, and under those that a stack may pass instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.mask import Mask
from masksynth.torch.mask_tensors import dense_mask
from masksynth.torch.model_check.checked_call import CheckedCall
from masksynth.torch.model_check.compare_outputs import row_distances, tolerance_of
from masksynth.torch.model_check.forced_masks import Force, ForcedRun, force_torch_model, force_transformers_model
from masksynth.torch.model_check.input_dependence import Dependence
from masksynth.torch.model_check.layer_faults import (
    LayerFault,
    RightLayers,
    distinct_masks,
    faults_of_equal_flow,
    faults_of_other_flow,
    sampled_layers,
)
from masksynth.torch.model_check.transformers_models import OTHER_TOKENS

KINDS = {
    "window dropped": "windows dropped",
    "window one more": "windows one token longer",
    "window one less": "windows one token shorter",
    "tables swapped": "tables swapped",
    "one table": "one table in every layer",
    "wrong table": "another table in one layer",
}
"""Name of a fault -> description of its kind."""
CLOSER = 4.0
"""Outputs are attributed to one run rather than to another if they are this many times closer to it."""


@dataclass(frozen=True)
class ValueComparison:
    """Result of the comparison of a model's outputs with those under the right masks.

    Parameters
    ----------
    differs : float
        The largest difference of outputs.
    position : int or None
        Where they differ most; None if only by rounding.
    fault : LayerFault or None
        The known failure under which the model's outputs are obtained.
    told_apart, not_told_apart : tuple of str
        Failures whose outputs differ from the model's; failures that this batch does not distinguish from the right
        masks, and why.
    why_not : str
        Why nothing was compared; empty if something was.
    """

    differs: float = 0.0
    position: int | None = None
    fault: LayerFault | None = None
    told_apart: tuple[str, ...] = ()
    not_told_apart: tuple[str, ...] = ()
    why_not: str = ""


def compare_call(observed: Dependence, checked: CheckedCall) -> ValueComparison:
    """Compare the outputs of a call with those under the right masks, forced upon the model inside it.

    The transformers model inside the callable is run, otherwise the callable itself if it calls torch's attention.
    """
    call = checked.call
    if call == OTHER_TOKENS:
        return ValueComparison(why_not=OTHER_TOKENS)
    outputs = observed.base if isinstance(call, str) else call.outputs
    precision = outputs.dtype if isinstance(call, str) else call.dtype
    tolerance = tolerance_of(outputs[outputs.isfinite().all(-1)].to(precision)) + observed.least
    right = checked.right
    position_ids = checked.batch.position_ids.cpu().numpy()

    def compare(force: Force) -> ValueComparison:
        others = faults_of_other_flow(right, position_ids, checked.padding)
        return compare_values(outputs, force, right, others, tolerance, observed.layers)

    if isinstance(call, str):
        result = compare(force_torch_model(observed.box.model, observed.box.inputs, observed.mask.size))
        return replace(result, why_not=f"{call}, and {result.why_not}") if result.why_not else result
    result = compare(force_transformers_model(call))
    if result.why_not:  # a class with its own attention code may call torch's function anyway
        again = compare(force_torch_model(call.model, call.inputs, observed.mask.size))
        return again if not again.why_not else result
    return result


def compare_values(
    outputs: Tensor,
    force: Force,
    right: RightLayers,
    others: Iterable[LayerFault],
    tolerance: float,
    layers: int | None,
) -> ValueComparison:
    """Compare outputs with those of the same model under the right masks, and otherwise under known failures.

    Parameters
    ----------
    outputs : (N, V) Tensor
        Outputs of the call that is checked.
    force : Force
        Runs the model of the call under given masks.
    right : RightLayers
        The right mask of each layer.
    others : iterable of LayerFault
        Further failures to try, besides those of windows and tables, if the outputs are not the right ones.
    tolerance : float
        Largest difference of equal outputs.
    layers : int or None
        Number of layers of the model, if known.
    """
    if right.full.size > MAX_DENSE:
        return ValueComparison(
            why_not=f"dense masks are refused above {MAX_DENSE} positions, the batch has {right.full.size}"
        )
    expected = _run(force, right.masks, outputs)
    if isinstance(expected, str):
        return ValueComparison(why_not=expected)
    if expected.layers % len(right.masks) or (layers is not None and expected.layers != layers):
        count = layers or len(right.masks)
        return ValueComparison(why_not=f"{expected.layers} attention calls take a mask in a model of {count} layers")
    judged = (torch.isfinite(outputs) & torch.isfinite(expected.outputs)).all(-1).cpu().numpy()
    difference = np.where(judged, row_distances(expected.outputs, outputs), 0.0)
    differs = float(difference.max(initial=0.0))
    wrong = differs > tolerance
    results: list[tuple[LayerFault, str]] = []  # each fault, and why it is not distinguished; empty if it is
    best, least = None, differs
    for fault in _distinct_faults(right.masks, faults_of_equal_flow(right), others if wrong else ()):
        if _same_masks(fault.masks, right.masks):
            results.append((fault, "on this batch the masks are the same"))
            continue
        run = _run(force, fault.masks, outputs)
        if isinstance(run, str):
            results.append((fault, run))
            continue
        to_right = float(np.where(judged, row_distances(run.outputs, expected.outputs), 0.0).max())
        to_model = float(np.where(judged, row_distances(run.outputs, outputs), 0.0).max())
        if to_model <= tolerance and to_model * CLOSER < differs and to_model < least:
            best, least = fault, to_model
        rounding = not wrong and to_right <= CLOSER * differs
        reason = f"outputs differ by {to_right:.3g} only, which may be rounding" if rounding else ""
        results.append((fault, reason))
    if wrong or best is not None:
        return ValueComparison(differs, int(np.argmax(difference)), best)
    return ValueComparison(differs, None, None, *sort_by_result(results, _list_untried(right)))


def sort_by_result(
    results: Sequence[tuple[LayerFault, str]], untried: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (what is distinguished, what is not and why) by kind of failure.

    Parameters
    ----------
    results : sequence of (LayerFault, str)
        Each failure, and why it is not distinguished; empty if it is.
    untried : sequence of str
        What was not tried.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),)]])
    >>> faults = [LayerFault("wrong table", f"the table of layer 1 in layer {layer}", "", (mask,)) for layer in (0, 2)]
    >>> sort_by_result([(fault, "") for fault in faults])
    (('another table in one layer',), ())
    >>> sort_by_result([(faults[0], ""), (faults[1], "rounding")])
    ((), ('the table of layer 1 in layer 2: rounding',))
    """
    distinguished, others = [], list(untried)
    for name in dict.fromkeys(fault.name for fault, _ in results):
        kind = [(fault, why) for fault, why in results if fault.name == name]
        reasons = {why for _, why in kind}
        if reasons == {""}:
            distinguished.append(KINDS[name])
        elif len(reasons) == 1:
            others.append(f"{KINDS[name]}: {reasons.pop()}")
        else:
            others += [f"{fault.likeness}: {why}" for fault, why in kind if why]
    return tuple(distinguished), tuple(others)


def _list_untried(right: RightLayers) -> list[str]:
    """Return in words that another table was tried in some layers only, in a list; an empty list if in all."""
    count = len(right.masks)
    if len(distinct_masks(right.masks)) < 2 or count == len(sampled_layers(count)):
        return []
    return [f"another table in one layer: tried in {len(sampled_layers(count))} of {count} layers"]


def _run(force: Force, masks: Sequence[Mask], outputs: Tensor) -> ForcedRun | str:
    """Return the run under one mask per layer; the tensor of equal masks is made once."""
    cache: list[tuple[Mask, Tensor]] = []
    tensors = []
    for mask in masks:
        tensor = next((tensor for other, tensor in cache if other is mask or other == mask), None)
        if tensor is None:
            tensor = dense_mask(mask, outputs.device)
            cache.append((mask, tensor))
        tensors.append(tensor)
    return force(tensors)


def _distinct_faults(right: Sequence[Mask], *kinds: Iterable[LayerFault]) -> Iterator[LayerFault]:
    """Yield the failures, without those whose masks an earlier one has; all of those with the right masks are kept."""
    seen: list[tuple[Mask, ...]] = []
    for kind in kinds:
        for fault in kind:
            if not any(_same_masks(fault.masks, masks) for masks in seen):
                yield fault
                if not _same_masks(fault.masks, right):
                    seen.append(fault.masks)


def _same_masks(left: Sequence[Mask], right: Sequence[Mask]) -> bool:
    return len(left) == len(right) and all(a is b or a == b for a, b in zip(left, right, strict=True))
