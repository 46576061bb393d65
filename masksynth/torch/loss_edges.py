"""Losses and log-probabilities over the loss edges of a packed batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from masksynth.errors import InvalidInstance
from masksynth.torch.packed_dataset import TrainingBatch

CHUNK = 1 << 24
"""Entries of the logits that are held in higher precision at a time."""


class SampleLogprobs(NamedTuple):
    """Log-probabilities of the labels of a batch.

    Parameters
    ----------
    token : (E,)
        Of each loss edge.
    sample : (S,)
        Of each sample: the sum over its edges.
    offset : (S + 1,) int64
        The edges of sample s are ``token[offset[s]:offset[s + 1]]``, in the order of its labels.
    """

    token: Tensor
    sample: Tensor
    offset: Tensor


def packed_loss(
    logits: Tensor,
    batch: TrainingBatch,
    reduction: Literal["sum", "mean", "none"] = "sum",
    divisor: float | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Cross entropy over the loss edges: sum over e of weight_e (log sum_v exp z[p_e, v] - z[p_e, y_e]).

    Labels are never shifted: ``logits[p]`` belongs to position p, and a position before a branch has one label per branch. The sum, and its
    gradient, equal the sum of the separate samples' weighted losses.

    One log-sum-exp for each of the P distinct positions, one entry for each edge; no (E, V) array. Only ``chunk`` rows of the logits are
    held in float32 at a time, forward and backward.

    Parameters
    ----------
    logits : (N, V) or (1, N, V), or the rows ``batch.loss_place`` only: (P, V) or (1, P, V)
        Half-precision logits are summed in float32. Hugging Face models give the rows alone when called with
        ``logits_to_keep=batch.loss_place``.
    batch : TrainingBatch
    reduction : {"sum", "mean", "none"}
        ``mean`` divides the sum by ``divisor``; ``none`` gives the (E,) weighted terms.
    divisor : float, optional
        Of the mean; by default the sum of this batch's weights. Under gradient accumulation or on several ranks the weights of all batches
        of the step count: ``loss_divisor(batches)``.
    chunk : int, optional
        Rows of logits at a time; by default about 16 million entries.

    Raises
    ------
    InvalidInstance
        If shapes disagree, a label is no class of the logits, or the mean has nothing to divide by.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> from masksynth.torch.packed_dataset import Collator
    >>> batch = Collator()([example_batch()])
    >>> packed_loss(torch.zeros(1, 3, 10), batch, "none")
    tensor([2.3026, 2.3026, 2.3026, 2.3026])
    >>> packed_loss(torch.zeros(1, 3, 10), batch, "mean")
    tensor(2.3026)
    """
    _check_reduction(reduction, divisor)
    terms = edge_logprobs(logits, batch, chunk)
    terms = -batch.loss_weight.to(terms) * terms
    if reduction == "none":
        return terms
    return terms.sum() if reduction == "sum" else terms.sum() / _nonzero(batch.weight if divisor is None else divisor)


def sample_logprobs(logits: Tensor, batch: TrainingBatch, chunk: int | None = None) -> SampleLogprobs:
    """The log-probability of every label and of every sample, without weights: log p(y_e) = z[p_e, y_e] - log sum_v exp z[p_e, v].

    What policy-gradient and preference losses are made of; differentiable. Parameters as in ``packed_loss``.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> from masksynth.torch.packed_dataset import Collator
    >>> found = sample_logprobs(torch.zeros(3, 10), Collator()([example_batch()]))
    >>> found.sample, found.offset
    (tensor([-4.6052, -4.6052]), tensor([0, 2, 4]))
    """
    token = edge_logprobs(logits, batch, chunk)
    zero = torch.zeros(len(batch.samples), dtype=token.dtype, device=token.device)
    return SampleLogprobs(token, zero.index_add(0, batch.loss_sample, token), batch.loss_offset)


def edge_logprobs(logits: Tensor, batch: TrainingBatch, chunk: int | None = None) -> Tensor:
    """The log-probability of the label of every loss edge, (E,); parameters as in ``packed_loss``."""
    flat = _rows(logits, batch)
    if chunk is not None and (isinstance(chunk, bool) or chunk < 1):
        raise InvalidInstance(f"chunk {chunk} is not positive", "", "give the number of rows to hold at a time")
    place = batch.loss_place if len(flat) == len(batch.input_ids) else torch.arange(len(flat), device=flat.device)
    return label_logprobs(flat, place, batch.loss_slot, batch.loss_label, chunk)


def label_logprobs(flat: Tensor, place: Tensor, slot: Tensor, label: Tensor, chunk: int | None = None) -> Tensor:
    """``flat[place[slot], label] - logsumexp(flat[place])[slot]``, in float32 or wider; gradients in the dtype of ``flat``.

    Parameters
    ----------
    flat : (N, V)
    place : (P,) int64, distinct
    slot, label : (E,) int64
    chunk : int, optional
        Rows held in higher precision at a time.

    Examples
    --------
    >>> label_logprobs(torch.zeros(3, 10), torch.tensor([2]), torch.tensor([0, 0]), torch.tensor([4, 5]))
    tensor([-2.3026, -2.3026])
    """
    rows = chunk or max(1, CHUNK // max(1, flat.shape[-1]))
    found: Tensor = _EdgeLogprobs.apply(flat, place, slot, label, rows)  # type: ignore[no-untyped-call]
    return found


def total_weight(batches: Iterable[TrainingBatch], group: Any = None) -> float:
    """The sum of the weights of the loss edges of all batches of one optimizer step, over this rank's and all other ranks' batches.

    Parameters
    ----------
    batches : iterable of TrainingBatch
        Those of this rank.
    group : ProcessGroup, optional
        The ranks that share the step; by default all. Without an initialised process group there is one rank.
    """
    weight = sum(batch.weight for batch in batches)
    if _ranks(group) == 1:
        return weight
    device = (
        torch.device("cuda", torch.cuda.current_device()) if dist.get_backend(group) == "nccl" else torch.device("cpu")
    )
    summed = torch.tensor(weight, dtype=torch.float64, device=device)
    dist.all_reduce(summed, group=group)
    return float(summed)


def loss_divisor(batches: Iterable[TrainingBatch], group: Any = None) -> float:
    """What each rank divides its sums by so that the gradient is that of the mean over all loss edges of the step.

    ``DistributedDataParallel`` and FSDP average gradients over the W ranks; ``total_weight / W`` undoes that. With one rank it is
    ``total_weight``. Parameters as in ``total_weight``.
    """
    return _nonzero(total_weight(batches, group)) / _ranks(group)


class _EdgeLogprobs(torch.autograd.Function):
    """z[place[slot], label] - logsumexp(z[place])[slot]; the gradient is written row by row into one array of the logits' dtype."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, place: Tensor, slot: Tensor, label: Tensor, chunk: int) -> Tensor:
        wide = torch.promote_types(flat.dtype, torch.float32)
        total = torch.empty(len(place), dtype=wide, device=flat.device)
        for first in range(0, len(place), chunk):
            total[first : first + chunk] = flat[place[first : first + chunk]].to(wide).logsumexp(-1)
        ctx.save_for_backward(flat, place, slot, label, total)
        ctx.chunk = chunk
        return flat[place[slot], label].to(wide) - total[slot]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flat, place, slot, label, total = ctx.saved_tensors
        order = torch.argsort(slot, stable=True)
        slot, label, gradient = slot[order], label[order], gradient[order]
        share = torch.zeros_like(total).index_add(0, slot, gradient)
        cuts = _cuts(slot, len(place), ctx.chunk)
        result = torch.zeros_like(flat)
        for number, first in enumerate(range(0, len(place), ctx.chunk)):
            rows, edges = slice(first, first + ctx.chunk), slice(cuts[number], cuts[number + 1])
            part = flat[place[rows]].to(total.dtype).sub_(total[rows, None]).exp_().mul_(-share[rows, None])
            part.index_put_((slot[edges] - first, label[edges]), gradient[edges], accumulate=True)
            result[place[rows]] = part.to(flat.dtype)
        return result, None, None, None, None


def _cuts(slot: Tensor, size: int, chunk: int) -> list[int]:
    """Where the edges of each chunk of positions begin, in edges sorted by position; no wait for the device where one chunk holds all."""
    if size <= chunk:
        return [0, len(slot)]
    ends = torch.arange(chunk, size + chunk, chunk, dtype=slot.dtype, device=slot.device)
    return [0, *torch.searchsorted(slot, ends).tolist()]


def _rows(logits: Tensor, batch: TrainingBatch) -> Tensor:
    """The logits as (rows, V), checked against the batch."""
    sizes, shape = (len(batch.input_ids), len(batch.loss_place)), tuple(logits.shape)
    flat = len(shape) in (2, 3) and shape[-2] in sizes and shape[:-2] in ((), (1,))
    padded = batch.rows > 1 and shape[:-1] == (batch.rows, sizes[0] // batch.rows)  # samples of merge=False, one a row
    if not logits.is_floating_point() or not (flat or padded):
        fact = f"logits are {str(logits.dtype).removeprefix('torch.')} {list(shape)}"
        remedy = f"give floating-point logits [1, {sizes[0]}, V], or [1, {sizes[1]}, V] at batch.loss_place"
        raise InvalidInstance(f"{fact}, the batch has {sizes[0]} positions, {sizes[1]} with labels", "", remedy)
    if logits.device != batch.device:
        raise InvalidInstance(
            f"logits are on {logits.device}, the batch is on {batch.device}",
            "",
            f"use batch.to({str(logits.device)!r})",
        )
    labels = batch.source.loss_label
    if len(labels) and (labels.min() < 0 or labels.max() >= shape[-1]):
        bad = int(labels.min() if labels.min() < 0 else labels.max())
        raise InvalidInstance(
            f"label {bad} is not one of the {shape[-1]} classes of the logits",
            "",
            "pack with the model's own tokenizer",
        )
    return logits.reshape(-1, shape[-1])


def _check_reduction(reduction: str, divisor: float | None) -> None:
    if reduction not in ("sum", "mean", "none"):
        raise InvalidInstance(f"reduction {reduction!r} is unknown", "", 'use "sum", "mean" or "none"')
    if divisor is not None and reduction != "mean":
        raise InvalidInstance(f"a divisor of {divisor} with reduction {reduction!r}", "", 'use reduction="mean"')


def _nonzero(weight: float) -> float:
    if not weight:
        raise InvalidInstance("the weights of the loss edges sum to 0, so there is no mean", "", 'use reduction="sum"')
    return weight


def _ranks(group: Any) -> int:
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1
