"""The loss of a merged task: one weighted cross entropy per loss edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from masksynth.errors import InvalidInstance
from masksynth.torch.merged_batch import Batch


def merged_loss(
    logits: Tensor,
    batch: Batch,
    label_ids: Sequence[int] | Tensor | None = None,
    reduction: Literal["sum", "mean", "none"] = "sum",
) -> Tensor:
    """Cross entropy over the loss edges: sum over e of weight_e (log sum_v exp z[p_e, v] - z[p_e, y_e]).

    ``logits[p]`` belongs to position p: labels are never shifted, since at a branch the next position is not the next token. A position
    with several labels has several terms. The sum equals the sum of the separate tasks' weighted losses, and so do its gradients.

    Parameters
    ----------
    logits : (N, V) or (1, N, V)
        Half-precision logits are summed in float32.
    batch : Batch
    label_ids : (L,) ints, optional
        The class, below V, of each of the batch's labels; may be left out when the labels are themselves integers.
    reduction : {"sum", "mean", "none"}
        ``mean`` divides by the sum of the weights; ``none`` gives the (E,) weighted terms, in order of the loss edges.

    Raises
    ------
    InvalidInstance
        If shapes disagree, a class is missing or out of range, or the mean has no weight to divide by.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.tasks import LossEdge, MergedTask, Position, Question
    >>> from masksynth.torch import batch_of
    >>> edges, mask = (LossEdge(0, 0, 0, 1.0), LossEdge(0, 1, 0, 2.0)), Mask.from_intervals([[((0, 1),)]])
    >>> batch = batch_of(MergedTask((Position("a", 0),), mask, {"t": {"a": 0}}, ("b", "c"), ("t",), edges, Question(None, False, 1, "")))
    >>> merged_loss(torch.zeros(1, 4), batch, label_ids=[0, 3], reduction="none")
    tensor([1.3863, 2.7726])
    """
    if reduction not in ("sum", "mean", "none"):
        raise InvalidInstance(f"reduction {reduction!r} is unknown", remedy='use "sum", "mean" or "none"')
    flat = _flat(logits, len(batch.inputs))
    target = _classes(batch, label_ids, flat.shape[-1]).to(flat.device)[batch.loss_label.to(flat.device)]
    place, slot = torch.unique(batch.loss_position.to(flat.device), return_inverse=True)
    scores = flat[place]
    scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    weight = batch.loss_weight.to(scores)
    terms = -weight * scores.log_softmax(-1)[slot, target]
    if reduction == "none":
        return terms
    if reduction == "sum":
        return terms.sum()
    if not (total := float(batch.loss_weight.sum())):
        raise InvalidInstance(
            "the weights of the loss edges sum to 0, so there is no mean", remedy='use reduction="sum"'
        )
    return terms.sum() / total


def _flat(logits: Tensor, size: int) -> Tensor:
    shape = tuple(logits.shape)
    if not logits.is_floating_point() or shape[:-1] not in ((size,), (1, size)):
        raise InvalidInstance(
            f"logits are {str(logits.dtype).removeprefix('torch.')} {list(shape)}, the batch has {size} positions",
            remedy=f"give floating-point logits [{size}, V] or [1, {size}, V]",
        )
    return logits.reshape(size, shape[-1])


def _classes(batch: Batch, label_ids: Sequence[int] | Tensor | None, classes: int) -> Tensor:
    """The class of each label, checked."""
    if label_ids is None:
        odd = next((label for label in batch.labels if type(label) is not int), None)
        if odd is not None:
            raise InvalidInstance(
                f"label {odd!r} is not an integer", remedy="pass label_ids, the class of each of batch.labels"
            )
    ids = torch.as_tensor(batch.labels if label_ids is None else label_ids)
    if ids.shape != (len(batch.labels),):
        raise InvalidInstance(f"label_ids has shape {list(ids.shape)}, the batch has {len(batch.labels)} labels")
    if len(ids) and (ids.is_floating_point() or ids.dtype == torch.bool):
        raise InvalidInstance(f"label_ids are {str(ids.dtype).removeprefix('torch.')}", remedy="give integers")
    ids = ids.long()
    bad = (ids < 0) | (ids >= classes)
    if bad.any():
        place = int(bad.nonzero()[0, 0])
        raise InvalidInstance(
            f"class {int(ids[place])} of label {batch.labels[place]!r} is not one of the {classes} classes of the logits"
        )
    return ids
