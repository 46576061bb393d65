"""Compare a model's outputs with those of runs under known masks.

These are the right ones, and what a stack may give the model instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.mask import Mask
from masksynth.torch.model_check.comparison import distance
from masksynth.torch.model_check.forced_masks import Force, ForcedRun
from masksynth.torch.model_check.layer_faults import (
    LayerFault,
    RightLayers,
    faults_of_equal_flow,
    layers_tried,
    tables_of,
)
from masksynth.torch.mask_tensors import dense_mask

KINDS = {
    "window dropped": "windows dropped",
    "window one more": "windows one token longer",
    "window one less": "windows one token shorter",
    "tables swapped": "tables swapped",
    "one table": "one table in every layer",
    "wrong table": "another table in one layer",
}
CLOSER = 4.0
"""Outputs are those of one run and not of another if they are so many times closer to the one."""


@dataclass(frozen=True)
class ValueComparison:
    """How a model's outputs compare with those under the right masks.

    Parameters
    ----------
    differs : float
        Their largest difference.
    position : int or None
        Where they differ by more than rounding; None if they do not.
    fault : LayerFault or None
        The known failure under which the outputs are the model's.
    told_apart, not_told_apart : tuple of str
        Failures whose outputs are other ones than the model's; failures that this batch does not tell from the right
        masks, and why.
    why_not : str
        Why nothing was compared; empty if it was.
    """

    differs: float = 0.0
    position: int | None = None
    fault: LayerFault | None = None
    told_apart: tuple[str, ...] = ()
    not_told_apart: tuple[str, ...] = ()
    why_not: str = ""


def compare_values(
    outputs: Tensor,
    force: Force,
    right: RightLayers,
    others: Iterable[LayerFault],
    tolerance: float,
    layers: int | None,
) -> ValueComparison:
    """Return how outputs compare with those of the same model under the right masks.

    Where they are not, they may be those under a known failure.

    Parameters
    ----------
    outputs : (N, V) Tensor
        Of the call that is checked.
    force : Force
        Runs the model of the call under given masks.
    right : RightLayers
        What each layer should attend by.
    others : iterable of LayerFault
        Failures to try where the outputs are not the right ones, beside those of windows and tables.
    tolerance : float
        By how much equal outputs may differ.
    layers : int or None
        How many layers the model has, where that is known.
    """
    if right.full.size > MAX_DENSE:
        return ValueComparison(why_not=f"dense masks of {right.full.size} positions are not made above {MAX_DENSE}")
    expected = _run(force, right.masks, outputs)
    if isinstance(expected, str):
        return ValueComparison(why_not=expected)
    if expected.layers % len(right.masks) or (layers is not None and expected.layers != layers):
        return ValueComparison(
            why_not=f"{expected.layers} attentions take a mask in a model of {layers or len(right.masks)} layers"
        )
    judged = (torch.isfinite(outputs) & torch.isfinite(expected.outputs)).all(-1).cpu().numpy()
    apart = np.where(judged, distance(expected.outputs, outputs), 0.0)
    differs, wrong = float(apart.max(initial=0.0)), bool(apart.max(initial=0.0) > tolerance)
    tried: list[tuple[LayerFault, str]] = []
    best, least = None, differs
    for fault in _different(right.masks, faults_of_equal_flow(right), others if wrong else ()):
        if _same_masks(fault.masks, right.masks):
            tried.append((fault, "on this batch the masks are the same"))
            continue
        run = _run(force, fault.masks, outputs)
        if isinstance(run, str):
            tried.append((fault, run))
            continue
        distant = float(np.where(judged, distance(run.outputs, expected.outputs), 0.0).max())
        here = float(np.where(judged, distance(run.outputs, outputs), 0.0).max())
        if here <= tolerance and here * CLOSER < differs and here < least:
            best, least = fault, here
        rounding = not wrong and distant <= CLOSER * differs
        tried.append((fault, f"outputs differ by {distant:.3g} only, which may be rounding" if rounding else ""))
    if wrong or best is not None:
        return ValueComparison(differs, int(np.argmax(apart)), best)
    return ValueComparison(differs, None, None, *sort_out(tried, _untried(right)))


def sort_out(
    tried: Sequence[tuple[LayerFault, str]], untried: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (what was told apart, what was not and why) by kind of failure.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),)]])
    >>> faults = [LayerFault("wrong table", f"the table of layer 1 in layer {layer}", "", (mask,)) for layer in (0, 2)]
    >>> sort_out([(fault, "") for fault in faults])
    (('another table in one layer',), ())
    >>> sort_out([(faults[0], ""), (faults[1], "rounding")])
    ((), ('the table of layer 1 in layer 2: rounding',))
    """
    told, not_told = [], list(untried)
    for name in dict.fromkeys(fault.name for fault, _ in tried):
        kind = [(fault, why) for fault, why in tried if fault.name == name]
        reasons = {why for _, why in kind}
        if reasons == {""}:
            told.append(KINDS[name])
        elif len(reasons) == 1:
            not_told.append(f"{KINDS[name]}: {reasons.pop()}")
        else:
            not_told += [f"{fault.likeness}: {why}" for fault, why in kind if why]
    return tuple(told), tuple(not_told)


def _untried(right: RightLayers) -> list[str]:
    count = len(right.masks)
    if len(tables_of(right.masks)) < 2 or count == len(layers_tried(count)):
        return []
    return [f"another table in one layer: tried in {len(layers_tried(count))} of {count} layers"]


def _run(force: Force, masks: Sequence[Mask], outputs: Tensor) -> ForcedRun | str:
    """Return the run under some masks of one table, each of which is made once."""
    made: list[tuple[Mask, Tensor]] = []
    tensors = []
    for mask in masks:
        tensor = next((tensor for other, tensor in made if other is mask or other == mask), None)
        if tensor is None:
            tensor = dense_mask(mask, outputs.device)
            made.append((mask, tensor))
        tensors.append(tensor)
    return force(tensors)


def _different(right: Sequence[Mask], *kinds: Iterable[LayerFault]) -> Iterator[LayerFault]:
    """Yield the failures without those whose masks came before; those with the right masks all come."""
    seen: list[tuple[Mask, ...]] = []
    for kind in kinds:
        for fault in kind:
            if not any(_same_masks(fault.masks, masks) for masks in seen):
                yield fault
                if not _same_masks(fault.masks, right):
                    seen.append(fault.masks)


def _same_masks(some: Sequence[Mask], others: Sequence[Mask]) -> bool:
    return len(some) == len(others) and all(a is b or a == b for a, b in zip(some, others, strict=True))
