"""Losses and log-probabilities over the loss edges of a batch, packed or of ``solve``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from masksynth.errors import InvalidInstance, check_type
from masksynth.torch.label_logprobs import label_logprobs
from masksynth.torch.merged_batch import Batch, check_merged_batch
from masksynth.torch.training_batch import TrainingBatch

AnyBatch = TrainingBatch | Batch
"""Batch over which losses are computed: a packed batch from a ``Collator``, or a batch of ``solve``."""


class SampleLogprobs(NamedTuple):
    """Log-probabilities of the labels of a batch.

    Parameters
    ----------
    token : (E,)
        Log-probability of the label of each loss edge.
    sample : (S,)
        Log-probability of each sample (task): the sum over its edges.
    offset : (S + 1,) int64
        The edges of sample s are ``token[offset[s]:offset[s + 1]]``, in the order of its labels.
    """

    token: Tensor
    sample: Tensor
    offset: Tensor


def packed_loss(
    logits: Tensor,
    batch: AnyBatch,
    reduction: Literal["sum", "mean", "none"] = "sum",
    divisor: float | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Return the cross entropy over the loss edges: sum over e of weight_e (log sum_v exp z[p_e, v] - z[p_e, y_e]).

    Labels are never shifted: ``logits[p]`` belongs to position p, and a position before a branch has one label per
    branch. The sum, and its gradient, equal the sum of the separate samples' weighted losses.

    One log-sum-exp for each of the P distinct positions, one entry for each edge; no (E, V) array. Only ``chunk`` rows
    of the logits are held in float32 at a time, forward and backward.

    Parameters
    ----------
    logits : (N, V) or (1, N, V), or the rows ``batch.loss_place`` only: (P, V) or (1, P, V)
        Half-precision logits are summed in float32. Hugging Face models return these rows alone when called with
        ``logits_to_keep=batch.loss_place``.
    batch : TrainingBatch or Batch
        Packed, or of ``solve`` with a class for each label (``batch_of(merged, vocabulary, label_ids)``).
    reduction : {"sum", "mean", "none"}
        ``mean`` divides the sum by ``divisor``; ``none`` returns the (E,) weighted terms.
    divisor : float, optional
        Of the mean; by default the sum of this batch's weights. Under gradient accumulation or on several ranks the
        weights of all batches of the step count: ``loss_divisor(batches)``.
    chunk : int, optional
        Number of rows of logits at a time; by default about 16 million entries.

    Raises
    ------
    InvalidInstance
        If shapes disagree, a label is not a class of the logits, or the mean has nothing to divide by.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> from masksynth.torch.collator import Collator
    >>> batch = Collator()([example_batch()])
    >>> packed_loss(torch.zeros(1, 3, 10), batch, "none")
    tensor([2.3026, 2.3026, 2.3026, 2.3026])
    >>> packed_loss(torch.zeros(1, 3, 10), batch, "mean")
    tensor(2.3026)
    """
    check_batch(batch)
    _check_reduction(reduction, divisor)
    logprobs = edge_logprobs(logits, batch, chunk)
    terms = -batch.loss_weight.to(logprobs) * logprobs
    if reduction == "none":
        return terms
    return terms.sum() if reduction == "sum" else terms.sum() / _nonzero(batch.weight if divisor is None else divisor)


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


def sample_logprobs(logits: Tensor, batch: AnyBatch, chunk: int | None = None) -> SampleLogprobs:
    """Return the log-probability of each label and each sample: log p(y_e) = z[p_e, y_e] - log sum_v exp z[p_e, v].

    Without weights; differentiable. Policy-gradient and preference losses are computed from these. Parameters as in
    ``packed_loss``.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> from masksynth.torch.collator import Collator
    >>> logprobs = sample_logprobs(torch.zeros(3, 10), Collator()([example_batch()]))
    >>> logprobs.sample, logprobs.offset
    (tensor([-4.6052, -4.6052]), tensor([0, 2, 4]))
    """
    check_batch(batch)
    token = edge_logprobs(logits, batch, chunk)
    zero = torch.zeros(len(batch.samples), dtype=token.dtype, device=token.device)
    return SampleLogprobs(token, zero.index_add(0, batch.loss_sample, token), batch.loss_offset)


def edge_logprobs(logits: Tensor, batch: AnyBatch, chunk: int | None = None) -> Tensor:
    """Return the log-probability of the label of every loss edge, (E,); parameters as in ``packed_loss``."""
    flat = _flatten_logits(logits, batch)
    if chunk is not None and (isinstance(chunk, bool) or chunk < 1):
        raise InvalidInstance(f"chunk: expected a positive number of rows, got {chunk}", "")
    place = batch.loss_place if len(flat) == len(batch.position_ids) else torch.arange(len(flat), device=flat.device)
    return label_logprobs(flat, place, batch.loss_slot, _classes_of(batch, flat.shape[-1]), chunk)


def total_weight(batches: Iterable[AnyBatch], group: Any = None) -> float:
    """Return the sum of the weights of the loss edges of one optimizer step, over all ranks.

    Parameters
    ----------
    batches : iterable of TrainingBatch or Batch
        Those of this rank.
    group : ProcessGroup, optional
        The ranks that share the step; by default all. Without an initialised process group there is one rank.
    """
    batches = list(batches) if isinstance(batches, Iterable) else [batches]
    for batch in batches:
        check_batch(batch)
    weight = sum(batch.weight for batch in batches)
    if _ranks(group) == 1:
        return weight
    on_gpu = dist.get_backend(group) == "nccl"
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    summed = torch.tensor(weight, dtype=torch.float64, device=device)
    dist.all_reduce(summed, group=group)
    return float(summed)


def loss_divisor(batches: Iterable[AnyBatch], group: Any = None) -> float:
    """Return the divisor of each rank's sums that makes the gradient that of the mean over all loss edges of the step.

    ``DistributedDataParallel`` and FSDP average gradients over the W ranks; ``total_weight / W`` undoes that. With one
    rank it is ``total_weight``. Parameters as in ``total_weight``.
    """
    return _nonzero(total_weight(batches, group)) / _ranks(group)


def check_batch(batch: object) -> None:
    """Raise InvalidInstance if the object is neither a TrainingBatch nor a Batch."""
    if not isinstance(batch, AnyBatch):
        remedy = "pass the batch that a Collator returns, or batch_of(merged) for a merged task of solve"
        raise InvalidInstance(f"expected a TrainingBatch or Batch, got {type(batch).__name__}", "", remedy)


def _classes_of(batch: AnyBatch, classes: int) -> Tensor:
    """Return the class of the label of each loss edge, (E,), checked against the number of classes of the logits."""
    if isinstance(batch, Batch):
        ids = batch.check_label_ids(classes)
        return ids[batch.loss_label]
    labels = batch.source.loss_label
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        label = int(labels.min() if labels.min() < 0 else labels.max())
        fact = f"label {label} is not one of the {classes} classes of the logits"
        raise InvalidInstance(fact, "", "pack with the model's own tokenizer")
    return batch.loss_label


def _flatten_logits(logits: Tensor, batch: AnyBatch) -> Tensor:
    """Return the logits as (rows, V), checked against the batch."""
    check_type(logits, Tensor, "pass the logits of the model: model(**batch.model_inputs).logits")
    sizes, shape = (len(batch.position_ids), len(batch.loss_place)), tuple(logits.shape)
    flat = len(shape) in (2, 3) and shape[-2] in sizes and shape[:-2] in ((), (1,))
    rows = batch.rows if isinstance(batch, TrainingBatch) else 1
    padded = rows > 1 and shape[:-1] == (rows, sizes[0] // rows)  # one sample per row
    if not logits.is_floating_point() or not (flat or padded):
        fact = f"logits are {str(logits.dtype).removeprefix('torch.')} {list(shape)}"
        remedy = f"pass floating-point logits [1, {sizes[0]}, V], or [1, {sizes[1]}, V] at batch.loss_place"
        raise InvalidInstance(f"{fact}, the batch has {sizes[0]} positions, {sizes[1]} with labels", "", remedy)
    if logits.device != batch.device:
        fact = f"logits are on {logits.device}, the batch is on {batch.device}"
        raise InvalidInstance(fact, "", f"use batch.to({str(logits.device)!r})")
    return logits.reshape(-1, shape[-1])


def _check_reduction(reduction: str, divisor: float | None) -> None:
    if reduction not in ("sum", "mean", "none"):
        raise InvalidInstance(f"unknown reduction {reduction!r}", "", 'use "sum", "mean" or "none"')
    if divisor is not None and reduction != "mean":
        raise InvalidInstance(f"a divisor of {divisor} with reduction {reduction!r}", "", 'use reduction="mean"')


def _nonzero(weight: float) -> float:
    if not weight:
        raise InvalidInstance(
            "the weights of the loss edges sum to 0: the mean is undefined", "", 'use reduction="sum"'
        )
    return weight


def _ranks(group: Any) -> int:
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1
