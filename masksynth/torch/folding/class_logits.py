"""Logits of hidden states by the code of the model's own class, with its scale and soft cap; in chunks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch.folding.backbone import not_called
from masksynth.torch.label_logprobs import CHUNK

CALL = "_compiled_call_impl"
"""What ``torch.nn.Module.__call__`` runs if there is one; compiled or not."""


class Hidden:
    """Output of a backbone that has hidden states and nothing else.

    Parameters
    ----------
    last_hidden_state : (1, c, H) Tensor
    """

    def __init__(self, last_hidden_state: Tensor) -> None:
        self.last_hidden_state = last_hidden_state

    def __getitem__(self, index: Any) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


@contextmanager
def replaced(module: torch.nn.Module, name: str, value: Any) -> Iterator[None]:
    """Give a module an attribute of its own for a while.

    Parameters
    ----------
    module : torch.nn.Module
    name : str
        Of a method.
    value : object
        What the instance has instead.
    """
    before = vars(module).get(name)
    vars(module)[name] = value
    try:
        yield
    finally:
        if before is None:
            del vars(module)[name]
        else:
            vars(module)[name] = before


def class_logits(outer: Any, backbone: torch.nn.Module, hidden: Tensor) -> Tensor:
    """Return the logits of hidden states, (c, V): those that the class's forward computes if its backbone gives them.

    Parameters
    ----------
    outer : transformers.PreTrainedModel
        The model with the head.
    backbone : torch.nn.Module
        The module in it that gives the hidden states; not run.
    hidden : (c, H) Tensor

    Raises
    ------
    Unsupported
        If the forward does not call the backbone, or gives no logits for each token.
    """
    ids = torch.zeros(1, len(hidden), dtype=torch.int64, device=hidden.device)
    forward = type(outer).forward
    arguments: dict[str, Any] = {"use_cache": False, "return_dict": True}
    if "output_router_logits" in inspect.signature(forward).parameters:
        arguments["output_router_logits"] = False
    calls = 0

    def give(*_: Any, **__: Any) -> Hidden:
        nonlocal calls
        calls += 1
        return Hidden(hidden[None])

    with replaced(backbone, CALL, give):
        output = forward(outer, input_ids=ids, **arguments)
    if calls != 1:
        raise Unsupported(not_called(outer, backbone))
    logits: Tensor | None = getattr(output, "logits", None)
    if logits is None or logits.shape[:2] != ids.shape:
        raise Unsupported(f"{type(outer).__name__} gives no logits for each token; pass a model with a language head")
    return logits[0]


def score_labels(
    outer: Any, backbone: torch.nn.Module, hidden: Tensor, slot: Tensor, label: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each label, (E,), and the entropy of each row of hidden states, (P,).

    At most ``CHUNK`` logits exist at a time, forward and backward: those of a chunk are computed again in the backward
    pass.

    Parameters
    ----------
    outer, backbone
        As for ``class_logits``.
    hidden : (P, H) Tensor
    slot, label : (E,) int64 Tensor
        Row of ``hidden`` and class of each label; sorted by slot.
    temperature : float
        Divides the logits.
    """
    with torch.no_grad():  # one row shows how many classes the head has, and whether it is reached
        classes = class_logits(outer, backbone, hidden[:1]).shape[-1]
    if int(label.max()) >= classes:
        raise InvalidInstance(f"labels: expected token ids below {classes}, got {int(label.max())}", "")
    rows = max(1, CHUNK // classes)
    bounds = torch.searchsorted(slot, torch.arange(0, len(hidden) + rows, rows, device=slot.device)).tolist()

    def score(part: Tensor, own_slot: Tensor, own_label: Tensor) -> tuple[Tensor, Tensor]:
        logits = class_logits(outer, backbone, part)
        result: tuple[Tensor, Tensor] = _Scores.apply(logits, own_slot, own_label, temperature)  # type: ignore[no-untyped-call]
        return result

    parts = []
    for number, first in enumerate(range(0, len(hidden), rows)):
        edges = slice(bounds[number], bounds[number + 1])
        inputs = (hidden[first : first + rows], slot[edges] - first, label[edges])
        parts.append(checkpoint(score, *inputs, use_reentrant=False, preserve_rng_state=False))
    logprobs, entropies = zip(*parts, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)


class _Scores(torch.autograd.Function):
    """Log-probabilities of labels and entropies of rows of logits, in few passes over them.

    With z = logits / temperature, p = softmax(z) and H = -sum p log p, the gradients are d log p_y / dz = onehot(y) - p
    and dH / dz = -p (log p + H).
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, slot: Tensor, label: Tensor, temperature: Any) -> tuple[Tensor, Tensor]:
        scaled = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
        scaled.sub_(scaled.amax(-1, keepdim=True))  # first, so that large logits lose no digits
        chosen = scaled[slot, label]
        scaled.clamp_(min=-1e4)  # its probability is 0 in any dtype, and 0 times -inf would be NaN
        share = scaled.exp()
        total = share.sum(-1, keepdim=True)
        share.div_(total)
        rest = total.log_()
        entropy = rest[:, 0] - torch.linalg.vecdot(share, scaled)
        ctx.save_for_backward(share, scaled, rest, entropy, slot, label)
        ctx.temperature, ctx.dtype = temperature, logits.dtype
        return chosen - rest[slot, 0], entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, logprob_gradient: Tensor, entropy_gradient: Tensor) -> tuple[Tensor | None, ...]:
        share, scaled, rest, entropy, slot, label = ctx.saved_tensors
        of_row = torch.zeros_like(entropy).index_add(0, slot, logprob_gradient)
        constant = of_row + entropy_gradient * (entropy - rest[:, 0])
        result = (scaled * entropy_gradient[:, None]).add_(constant[:, None]).mul_(share).neg_()
        result.index_put_((slot, label), logprob_gradient, accumulate=True)
        return result.div_(ctx.temperature).to(ctx.dtype), None, None, None
