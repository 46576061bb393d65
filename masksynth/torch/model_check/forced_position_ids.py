"""Compare the position ids of a transformers model's call to those of the batch, by the outputs under each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from masksynth.torch.mask_tensors import dense_mask
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.checked_call import CheckedCall
from masksynth.torch.model_check.compare_outputs import row_distances
from masksynth.torch.model_check.forced_masks import force_transformers_model
from masksynth.torch.model_check.transformers_models import accepts_argument

REMEDY = "pass position_ids=batch.position_ids[None]: merged positions branch, so no stack can derive them"
ALL_DIMENSIONS = "pass position ids of every dimension: Collator(model=model, position_keys=...), or lists in samples"


class PositionFault(NamedTuple):
    """Evidence that a model has other position ids than the batch.

    Parameters
    ----------
    query : int
        The position whose output shows it.
    other : int or None
        A position that should have the same output.
    moved : float
        By how much the outputs differ.
    message, remedy : str
    """

    query: int
    other: int | None
    moved: float
    message: str
    remedy: str


def compare_position_ids(
    checked: CheckedCall, tolerance: float, noise: float = 0.0
) -> tuple[PositionFault | None, list[str]]:
    """Return a fault if the model's outputs change with the batch's own position ids, and what cannot be decided.

    The batch cannot decide dimensions of position ids that are all equal in it. Outputs that move by less than the
    tolerance count too, if the distance of two positions that attend to each other changes: both runs are then made by
    one kernel under one mask, so that only the ids can move them.

    Parameters
    ----------
    checked : CheckedCall
    tolerance : float
        Largest difference of equal outputs of different kernels.
    noise : float
        Largest difference of equal runs.
    """
    call, right = checked.call, checked.position_ids
    if isinstance(call, str) or not accepts_argument(call.model, "position_ids"):
        return None, []
    undecided = []
    if right.dim() == 3 and bool((right == right[:1]).all()):
        dimensions = f"position ids of one dimension, where the model takes {len(right)}"
        undecided = [f"{dimensions}: on this batch all dimensions are equal"]
    called = call.inputs.get("position_ids")
    if called is not None and have_same_ids(called, right):
        return None, undecided
    if called is None and bool((right == torch.arange(right.shape[-1], device=right.device)).all()):
        return None, undecided
    masks = [dense_mask(mask, call.outputs.device) for mask in checked.right.masks]
    with_right_ids = force_transformers_model(call)(masks, right)
    if isinstance(with_right_ids, str):
        return None, [*undecided, f"other position ids: {with_right_ids}"]
    moved = np.nan_to_num(row_distances(with_right_ids.outputs, call.outputs))
    if not moved.max() > tolerance:
        with_called_ids = force_transformers_model(call)(masks)
        if isinstance(with_called_ids, str) or not _change_distances(called, right, masks):
            return None, undecided
        moved = np.nan_to_num(row_distances(with_right_ids.outputs, with_called_ids.outputs))
        if not moved.max() > noise:
            fact = f"{_describe_ids(called, right)}; with the batch's, outputs move by {moved.max():.3g} only"
            return None, [*undecided, f"position ids: {fact}"]
    query = int(np.argmax(moved))
    fact = (
        f"{_describe_ids(called, right)}; with the batch's, the output at position {query} moves by {moved[query]:.3g}"
    )
    remedy = ALL_DIMENSIONS if right.dim() == 3 and not isinstance(checked.batch, Batch) else REMEDY
    return PositionFault(query, None, float(moved[query]), fact, remedy), undecided


def have_same_ids(called: Tensor, right: Tensor) -> bool:
    """Return whether position ids are equal; one dimension equals several equal ones."""
    if called.dim() == 2 and right.dim() == 3:
        called = called.expand(right.shape)
    return called.shape == right.shape and bool((called.to(right.device) == right).all())


def _change_distances(called: Tensor | None, right: Tensor, masks: Sequence[Tensor]) -> bool:
    """Return whether the distance of two positions, one of which attends to the other, differs between the ids."""
    if called is None:
        called = torch.arange(right.shape[-1], device=right.device)
    if called.numel() not in (right.numel(), right.shape[-1]):
        return False
    shift = (called.to(right.device) - right).reshape(-1, right.shape[-1])
    differ = (shift[:, :, None] != shift[:, None, :]).any(0)  # (N, N): in some dimension
    return any(bool((mask.to(differ.device) & differ).any()) for mask in masks)


def _describe_ids(called: Tensor | None, right: Tensor) -> str:
    if called is None:
        return "the model is called without position_ids"
    if right.dim() == 3 and (called.dim() < 3 or bool((called == called[:1]).all())):
        got = f"the model is given {list(called.shape)} of one dimension, and takes {list(right.shape)}"
        return f"position-id dimensions dropped: {got}"
    return "the model is given other position_ids than the batch's"
