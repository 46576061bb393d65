"""Compare the position ids that a transformers model is given with those of the batch, by the outputs under each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.checked_model import Subject
from masksynth.torch.model_check.comparison import distance
from masksynth.torch.model_check.forced_masks import force_transformers_model
from masksynth.torch.model_check.transformers_models import takes
from masksynth.torch.mask_tensors import dense_mask

PositionFinding = tuple[int, int | None, float, str, str]
REMEDY = "pass position_ids=batch.position_ids[None]: merged positions branch, and no stack can guess them"
SEVERAL = "pass position ids of every dimension: Collator(model=model, position_keys=...), or samples with position_ids as lists"


def position_ids_wrong(
    subject: Subject, tolerance: float, noise: float = 0.0
) -> tuple[PositionFinding | None, list[str]]:
    """Return what is wrong if the model computes other outputs with the batch's own position ids, else None.

    It is (query, None, difference, message, remedy).

    The second result lists what the batch cannot tell: dimensions of position ids that are all equal in it. Outputs that
    move by less than the tolerance count too, where position ids differ by more than a shift of what belongs together:
    both runs are made by one kernel under one mask, so that nothing but the ids can move them.
    """
    call, right = subject.call, subject.position_ids
    if isinstance(call, str) or not takes(call.model, "position_ids"):
        return None, []
    untold = []
    if right.dim() == 3 and bool((right == right[:1]).all()):
        untold = [
            f"position ids of one dimension, where the model takes {len(right)}: on this batch all dimensions are equal"
        ]
    called = call.inputs.get("position_ids")
    if called is not None and same_ids(called, right):
        return None, untold
    if called is None and bool((right == torch.arange(right.shape[-1], device=right.device)).all()):
        return None, untold
    masks = [dense_mask(mask, call.outputs.device) for mask in subject.right.masks]
    other = force_transformers_model(call)(masks, right)
    if isinstance(other, str):
        return None, [*untold, f"other position ids: {other}"]
    moved = np.nan_to_num(distance(other.outputs, call.outputs))
    if not moved.max() > tolerance:
        same = force_transformers_model(call)(masks)
        if isinstance(same, str) or not _differ_within_rows(called, right, masks):
            return None, untold
        moved = np.nan_to_num(distance(other.outputs, same.outputs))
        if not moved.max() > noise:
            return None, [
                *untold,
                f"position ids: {_in_words(called, right)}; with the batch's, outputs move by {moved.max():.3g} only",
            ]
    at = int(np.argmax(moved))
    fact = f"{_in_words(called, right)}; with the batch's, the output at position {at} moves by {moved[at]:.3g}"
    remedy = SEVERAL if right.dim() == 3 and not isinstance(subject.batch, Batch) else REMEDY
    return (at, None, float(moved[at]), fact, remedy), untold


def same_ids(called: Tensor, right: Tensor) -> bool:
    """Return whether position ids are equal; one dimension stands for equal ones."""
    if called.dim() == 2 and right.dim() == 3:
        called = called.expand(right.shape)
    return called.shape == right.shape and bool((called.to(right.device) == right).all())


def _differ_within_rows(called: Tensor | None, right: Tensor, masks: Sequence[Tensor]) -> bool:
    """Return whether two positions, one of which attends to the other, are at another distance than they should."""
    if called is None:
        called = torch.arange(right.shape[-1], device=right.device)
    if called.numel() not in (right.numel(), right.shape[-1]):
        return False
    shift = (called.to(right.device) - right).reshape(-1, right.shape[-1])
    differ = (shift[:, :, None] != shift[:, None, :]).any(0)
    return any(bool((mask.to(differ.device) & differ).any()) for mask in masks)


def _in_words(called: Tensor | None, right: Tensor) -> str:
    if called is None:
        return "the model is called without position_ids"
    if right.dim() == 3 and (called.dim() < 3 or bool((called == called[:1]).all())):
        return f"position-id dimensions dropped: the model is given {list(called.shape)} of one dimension, and takes {list(right.shape)}"
    return "the model is given other position_ids than the batch's"
