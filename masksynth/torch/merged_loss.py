"""The loss of a merged task, with the class of each label given by the call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor

from masksynth.torch.loss_edges import packed_loss
from masksynth.torch.merged_batch import Batch, check_merged_batch


def merged_loss(
    logits: Tensor,
    batch: Batch,
    label_ids: Sequence[int] | Tensor | None = None,
    reduction: Literal["sum", "mean", "none"] = "sum",
) -> Tensor:
    """Return ``packed_loss`` of a batch of ``solve``, with classes of the labels given here.

    ``logits[p]`` belongs to position p: labels are never shifted, since at a branch the next position is not the next
    token. A position with several labels has several terms. The sum equals the sum of the separate tasks' weighted
    losses, and so do its gradients.

    Parameters
    ----------
    logits : (N, V) or (1, N, V)
        Half-precision logits are summed in float32.
    batch : Batch
    label_ids : mapping, sequence of int or Tensor, optional
        The class, below V, of each of the batch's labels; by default ``batch.label_ids``.
    reduction : {"sum", "mean", "none"}
        ``mean`` divides by the sum of the weights; ``none`` returns the (E,) weighted terms.

    Raises
    ------
    InvalidInstance
        If the batch is not a Batch, shapes disagree, a class is missing or out of range, or the mean has no weight to
        divide by.

    Examples
    --------
    >>> import torch
    >>> from masksynth.mask import Mask
    >>> from masksynth.tasks import LossEdge, MergedTask, Position, Question
    >>> from masksynth.torch import batch_of
    >>> edges, mask = (LossEdge(0, 0, 0, 1.0), LossEdge(0, 1, 0, 2.0)), Mask.from_intervals([[((0, 1),)]])
    >>> question = Question(None, False, 1, "")
    >>> batch = batch_of(MergedTask((Position("a", 0),), mask, {"t": {"a": 0}}, ("b", "c"), ("t",), edges, question))
    >>> merged_loss(torch.zeros(1, 4), batch, label_ids=[0, 3], reduction="none")
    tensor([1.3863, 2.7726])
    """
    check_merged_batch(batch, "packed_loss(logits, batch)")
    if label_ids is not None:
        batch = replace(batch, label_ids=label_ids)
    return packed_loss(logits, batch.to(logits.device), reduction)
