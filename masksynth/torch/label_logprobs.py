"""Log-probabilities of labels at chosen rows of logits, in little memory, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 1 << 24
"""Number of entries of the logits that are held in higher precision at a time."""


def label_logprobs(flat: Tensor, place: Tensor, slot: Tensor, label: Tensor, chunk: int | None = None) -> Tensor:
    """Return ``flat[place[slot], label] - logsumexp(flat[place])[slot]``, in float32 or wider.

    Gradients have the dtype of ``flat``.

    Parameters
    ----------
    flat : (N, V)
        Logits.
    place : (P,) int64
        Distinct rows of ``flat``.
    slot, label : (E,) int64
        Index into ``place``, and class, of each edge.
    chunk : int, optional
        Number of rows held in higher precision at a time.

    Examples
    --------
    >>> label_logprobs(torch.zeros(3, 10), torch.tensor([2]), torch.tensor([0, 0]), torch.tensor([4, 5]))
    tensor([-2.3026, -2.3026])
    """
    rows = chunk or max(1, CHUNK // max(1, flat.shape[-1]))
    logprobs: Tensor = _LabelLogprobs.apply(flat, place, slot, label, rows)  # type: ignore[no-untyped-call]
    return logprobs


class _LabelLogprobs(torch.autograd.Function):
    """z[place[slot], label] - logsumexp(z[place])[slot], with a gradient that is written chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, place: Tensor, slot: Tensor, label: Tensor, chunk: int) -> Tensor:
        wide = torch.promote_types(flat.dtype, torch.float32)
        # log-sum-exp of each row as its maximum and a small rest: subtracted one by one, large logits lose no digits
        largest, rest = (torch.empty(len(place), dtype=wide, device=flat.device) for _ in range(2))
        for first in range(0, len(place), chunk):
            rows = slice(first, first + chunk)
            logits = flat[place[rows]].to(wide)
            largest[rows] = logits.amax(-1)
            rest[rows] = (logits - largest[rows, None]).exp_().sum(-1).log_()
        ctx.save_for_backward(flat, place, slot, label, largest, rest)
        ctx.chunk = chunk
        return flat[place[slot], label].to(wide) - largest[slot] - rest[slot]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flat, place, slot, label, largest, rest = ctx.saved_tensors
        order = torch.argsort(slot, stable=True)
        slot, label, gradient = slot[order], label[order], gradient[order]
        share = torch.zeros_like(rest).index_add(0, slot, gradient)  # sum of the gradients of each row's edges
        cuts = _chunk_boundaries(slot, len(place), ctx.chunk)
        result = torch.zeros_like(flat)
        for number, first in enumerate(range(0, len(place), ctx.chunk)):
            rows, edges = slice(first, first + ctx.chunk), slice(cuts[number], cuts[number + 1])
            # d/dz (z_label - logsumexp z) = onehot(label) - softmax(z), weighted by the gradient of each edge
            part = flat[place[rows]].to(rest.dtype).sub_(largest[rows, None]).sub_(rest[rows, None])
            part.exp_().mul_(-share[rows, None])
            part.index_put_((slot[edges] - first, label[edges]), gradient[edges], accumulate=True)
            result[place[rows]] = part.to(flat.dtype)
        return result, None, None, None, None


def _chunk_boundaries(slot: Tensor, size: int, chunk: int) -> list[int]:
    """Return where the edges of each chunk of rows begin, in edges sorted by row, and where the last ends.

    Nothing is synchronized with the device if one chunk holds all rows.
    """
    if size <= chunk:
        return [0, len(slot)]
    ends = torch.arange(chunk, size + chunk, chunk, dtype=slot.dtype, device=slot.device)
    return [0, *torch.searchsorted(slot, ends).tolist()]
