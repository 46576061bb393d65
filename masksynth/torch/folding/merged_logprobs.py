"""Log-probabilities of the labels of padded rows, from one merged forward pass; for loops of one's own."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.pack.sample_columns import IGNORED
from masksynth.torch.folding.backbone import Found, find_backbone, headed_model
from masksynth.torch.folding.class_logits import class_logits, replaced, score_labels
from masksynth.torch.folding.default_positions import last_hidden
from masksynth.torch.folding.fold import Fold, fold_of
from masksynth.torch.folding.merge_call import Limits, check_limit
from masksynth.torch.folding.model_facts import ModelFacts
from masksynth.torch.models.unwrap import inner_model, unwrap

PADDED = "pass padded rows"
_FACTS: WeakKeyDictionary[torch.nn.Module, ModelFacts] = WeakKeyDictionary()
"""Facts of the backbones of models that are not folded, so that they are read once."""


class MergedLogprobs(NamedTuple):
    """Per-token results of B rows of T tokens; entry (b, t) belongs to the label of token t + 1.

    Parameters
    ----------
    log_probs : (B, T - 1) Tensor
        Log-probability of the label; 0 where there is none. float32 or wider.
    entropy : (B, T - 1) Tensor
        Entropy of the prediction, in nats; 0 where there is no label.
    label_mask : (B, T - 1) bool Tensor
        Where there is a label.
    """

    log_probs: Tensor
    entropy: Tensor
    label_mask: Tensor


def merged_logprobs(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    position_ids: Tensor | None = None,
    temperature: float = 1.0,
    backbone: torch.nn.Module | str | None = None,
    max_length: int | None = None,
) -> MergedLogprobs:
    """Return log-probabilities and entropies of the labels of padded rows, computed once for shared prefixes.

    Logits are those of the model's class, with its scale and soft cap, and are computed for labelled tokens only, a
    chunk at a time. Results are differentiable, also twice-used ones: each row gets the value of its merged position.

    Parameters
    ----------
    model : torch.nn.Module
        As for ``fold``, folded or not; it is called through its wrappers.
    input_ids : (B, T) int64 Tensor
    attention_mask : (B, T) Tensor, optional
        Not 0 at real tokens; pads may be on either side. By default all tokens are real.
    labels : (B, T) int64 Tensor, optional
        Not shifted; -100: none. By default the token ids. A label counts only if its token and the one before are real.
    position_ids : (B, T) int64 Tensor, optional
        By default each row is numbered from its first real token, as generation does.
    temperature : float
        Divides the logits.
    backbone, max_length
        As for ``fold``, if the model is not folded.

    Raises
    ------
    InvalidInstance
        If a shape, a label or the temperature is wrong.
    Unsupported
        If merged rows cannot be exact in the model, or it gives no logits for each token; if pads stand before real
        tokens in a model with absolute positions, without ``position_ids``: a call without them would count the pads.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> shape = dict(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    >>> model = LlamaForCausalLM(LlamaConfig(**shape))
    >>> rows = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 8, 1], [5, 6, 7, 2, 3]])
    >>> result = merged_logprobs(model, rows)
    >>> plain = model(input_ids=rows).logits[:, :-1].log_softmax(-1).gather(-1, rows[:, 1:, None])[..., 0]
    >>> torch.allclose(result.log_probs, plain, atol=1e-6), result.label_mask.sum().item()
    (True, 12)
    """
    _check_arguments(input_ids, {"attention_mask": attention_mask, "labels": labels}, position_ids, temperature)
    check_limit(max_length)
    unwrap(model)  # refuses tokens that a wrapper puts before the rows
    found = find_backbone(model, backbone)
    folded = fold_of(found.backbone)
    if folded is None:
        with _fold_once(found, model, max_length) as folded:
            return _score(folded, model, (input_ids, attention_mask, labels, position_ids), temperature)
    return _score(folded, model, (input_ids, attention_mask, labels, position_ids), temperature)


def _check_arguments(
    ids: Tensor, beside: dict[str, Tensor | None], position_ids: Tensor | None, temperature: float
) -> None:
    """Raise if a shape, a type or the temperature is wrong."""
    if not isinstance(ids, Tensor) or ids.ndim != 2 or not ids.numel() or ids.is_floating_point():
        found = f"{ids.dtype} {list(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__
        raise InvalidInstance(f"input_ids: expected integers [B, T], at least one, got {found}", "", PADDED)
    for name, value in beside.items():
        if value is not None and value.shape != ids.shape:
            fact = f"{name}: expected the shape [B, T] of input_ids, {list(ids.shape)}, got {list(value.shape)}"
            raise InvalidInstance(fact, "", PADDED)
    rows, length = ids.shape
    if position_ids is not None and tuple(position_ids.shape[-2:]) not in ((rows, length), (1, length)):
        fact = f"position_ids: expected the shape [B, T] of input_ids, {[rows, length]}, got {list(position_ids.shape)}"
        raise InvalidInstance(fact, "", "give one for each token of the padded rows")
    labels = beside["labels"]
    if labels is not None and bool(((labels < 0) & (labels != IGNORED)).any()):
        least = int(labels[(labels < 0) & (labels != IGNORED)][0])
        raise InvalidInstance(f"labels: expected token ids or {IGNORED}, got {least}", "", f"write {IGNORED} for none")
    if not (isinstance(temperature, Tensor | Real) and temperature > 0):
        raise InvalidInstance(f"temperature: expected a number above 0, got {temperature!r}", "")


def _fold_once(found: Found, model: Any, max_length: int | None) -> Fold:
    """Return a fold whose facts are those read before."""
    facts = _FACTS.get(found.backbone)
    if facts is None:
        facts = _FACTS[found.backbone] = ModelFacts(found.backbone, found.outer or found.backbone)
    return Fold(found, model, facts, Limits(max_length, 1.0), strict=False)


def _score(
    folded: Fold, model: Any, rows: tuple[Tensor, Tensor | None, Tensor | None, Tensor | None], temperature: float
) -> MergedLogprobs:
    input_ids, attention_mask, labels, position_ids = rows
    real = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask != 0
    labels = (input_ids if labels is None else labels).long()
    scored = (labels[:, 1:] != IGNORED) & real[:, 1:] & real[:, :-1]
    if position_ids is None:
        position_ids = _count_positions(folded.facts, input_ids, real)
    arguments = {"input_ids": input_ids, "attention_mask": real.long(), "position_ids": position_ids}
    if folded.outer is None:
        raise InvalidInstance(f"{type(folded.backbone).__name__} has no head", "", "pass the model with its head")
    outer = headed_model(folded.outer, folded.backbone)

    def forward(*_: Any, **__: Any) -> MergedLogprobs:
        hidden, source = _run(folded, {**arguments, "use_cache": False})
        places, slot = torch.unique(source[:, :-1][scored], return_inverse=True)
        if not len(places):
            return _score_nothing(outer, folded.backbone, hidden, scored)
        order = torch.argsort(slot, stable=True)
        label = labels[:, 1:][scored][order]
        logprobs, entropies = score_labels(outer, folded.backbone, hidden[places], slot[order], label, temperature)
        index = scored.flatten().nonzero()[:, 0]
        values = (logprobs.new_zeros(len(order)).index_copy(0, order, logprobs), entropies[slot])
        first, second = (
            part.new_zeros(scored.numel()).index_copy(0, index, part).reshape(scored.shape) for part in values
        )
        return MergedLogprobs(first, second, scored)

    host: Any = torch.compiler.disable(forward, reason="rows are merged on the host")  # type: ignore[no-untyped-call]
    return _call_inside(model, outer, host, arguments)


def _call_inside(
    model: Any, outer: Any, forward: Callable[..., MergedLogprobs], arguments: dict[str, Any]
) -> MergedLogprobs:
    """Return what a function gives that is called as the forward of a transformers model, through its wrappers.

    Wrappers of training (parallel, PEFT) call the model themselves. A module that contains it (a value head, a
    Lightning module) would read its output, or has no forward, and is passed over.
    """
    owner = inner_model(model)
    with replaced(outer, "forward", forward):
        if owner is outer:
            result: MergedLogprobs = model(**arguments)
            return result
        with replaced(owner, "forward", torch.compiler.disable(lambda *_, **__: outer(**arguments))):  # type: ignore[no-untyped-call]
            result = model(**arguments)
    return result


def _score_nothing(outer: Any, backbone: torch.nn.Module, hidden: Tensor, scored: Tensor) -> MergedLogprobs:
    """Return zeros whose graph holds all parameters, since other ranks may have labels."""
    logits = class_logits(outer, backbone, hidden[:1])
    wide = torch.promote_types(logits.dtype, torch.float32)
    zero = torch.zeros(scored.shape, dtype=wide, device=hidden.device)
    kept = zero + 0 * (hidden.sum() + logits.logsumexp(-1).sum())
    return MergedLogprobs(kept, kept.clone(), scored)


def _run(folded: Fold, arguments: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return hidden states of merged positions, ``[n, H]``, and the index of each token among them, ``[B, T]``."""
    shape = arguments["input_ids"].shape
    backbone: Any = folded.backbone
    if hasattr(backbone, "unshard"):
        backbone.unshard()  # what compares rows expects a backbone whose forward is about to run
    merged = folded.merge(arguments)
    plain = torch.arange(shape.numel(), device=arguments["input_ids"].device)
    if isinstance(merged, str):
        return last_hidden(folded.run(arguments)).flatten(0, 1), plain.reshape(shape)
    hidden = last_hidden(folded.run(merged.arguments)).flatten(0, 1)
    place, source = merged.unfolding.place, merged.unfolding.source
    index = source if place is None else torch.zeros_like(plain).index_copy(0, place, source)
    return hidden, index.reshape(shape)


def _count_positions(facts: ModelFacts | None, ids: Tensor, real: Tensor) -> Tensor:
    """Return the number of real tokens before each one of its row, 0 at pads in front.

    Raises
    ------
    Unsupported
        If the model would count pads in front, and its outputs depend on it.
    """
    counted = (real.cumsum(1) - 1).clamp(min=0)
    if facts is None:
        return counted
    counted = counted + facts.record().first_position
    own = torch.from_numpy(np.ascontiguousarray(facts.default_positions(ids.cpu().numpy(), real.cpu().numpy())[0]))
    if bool(((own.to(ids.device) != counted) & real).any()) and facts.depends_on_shift():
        fact = f"{type(facts.backbone).__name__} has absolute positions, and pads stand before real tokens"
        raise Unsupported(f"{fact}: pass position_ids (a call without them counts the pads), or pad on the right")
    return counted
