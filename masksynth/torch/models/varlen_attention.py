"""Attention for transformers models that takes a plan of segments instead of a mask, for varlen kernels.

``use_varlen_attention(model)`` makes an unmodified model call `varlen_attention`. If the ``attention_mask`` of the
model's call is a ``TreePlan``, each layer gathers the keys of the plan and calls the kernel under its own window; with
any other mask, or none, it calls sdpa, so that the model generates and evaluates as under sdpa.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch.models.architecture import VARLEN, Architecture
from masksynth.torch.models.registered_attention import layer_attention
from masksynth.torch.models.transformers_version import require_transformers
from masksynth.torch.models.unwrap import unwrap
from masksynth.torch.varlen_tree import TreePlan, tree_attention

REMEDY = "use sdpa or FlexAttention"


def use_varlen_attention(model: Any) -> Any:
    """Make a loaded transformers model take plans of segments for varlen kernels, and return the model.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Whatever its attention is. Changed in place: ``config._attn_implementation`` becomes "masksynth_varlen".
        ``Collator(model=model)`` then makes plans; ``plan_tree`` makes them of parents.

    Raises
    ------
    InvalidInstance
        If the object is not a transformers model.
    Unsupported
        If its class does not use the attention interface of transformers.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> shape = dict(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    >>> use_varlen_attention(LlamaForCausalLM(LlamaConfig(**shape))).config._attn_implementation
    'masksynth_varlen'
    """
    transformers = require_transformers()
    plain = unwrap(model)
    if not isinstance(plain, transformers.PreTrainedModel):
        fact = f"expected a transformers model, got {type(plain).__name__}"
        raise InvalidInstance(fact, "", "pass a loaded transformers model")
    if not plain._can_set_attn_implementation():
        fact = f"{type(plain).__name__} does not use the attention interface of transformers"
        raise Unsupported(f"{fact}; use sdpa or eager masks")
    register_varlen()
    plain.set_attn_implementation(VARLEN)
    return model


def register_varlen() -> None:
    """Register the attention that takes plans, with the masks of sdpa for other calls; idempotent."""
    transformers = require_transformers()
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

    transformers.AttentionInterface.register(VARLEN, varlen_attention)
    AttentionMaskInterface.register(VARLEN, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])


def varlen_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **keywords: Any
) -> tuple[Tensor, Tensor | None]:
    """Attend along the paths of a plan, or as sdpa; transformers calls this function.

    Parameters
    ----------
    module : torch.nn.Module
        The attention module of the layer.
    query, key, value : Tensor
        ``[k, heads, N, d]``.
    attention_mask : TreePlan, Tensor or None
    keywords : dict
        Further arguments of the model: scaling, window, dropout, sinks.

    Raises
    ------
    Unsupported
        If the layer computes something that a varlen kernel does not, or has another window than the plan states.
    """
    if not isinstance(attention_mask, TreePlan):
        return layer_attention("sdpa", module, query, key, value, attention_mask, **keywords)
    window = keywords.get("sliding_window")
    _refuse_keywords(module, keywords)
    check_window(module, attention_mask, window)
    result = tree_attention(query, key, value, attention_mask, keywords.get("scaling"), window)
    return result.transpose(1, 2).contiguous(), None


def _refuse_keywords(module: torch.nn.Module, keywords: dict[str, Any]) -> None:
    """Raise if a layer computes something that a varlen kernel does not."""
    variants = (("s_aux", "learned sinks"), ("softcap", "a soft cap"))
    wrong = [word for part, word in variants if keywords.get(part) is not None]
    wrong += ["attention dropout"] if keywords.get("dropout") else []
    kinds, layer = getattr(getattr(module, "config", None), "layer_types", None), getattr(module, "layer_idx", None)
    if kinds and isinstance(layer, int) and kinds[layer] not in ("full_attention", "sliding_attention"):
        wrong.append(f"{kinds[layer]} in layer {layer}")
    if wrong:
        raise Unsupported(f"varlen attention does not support {wrong[0]}; {REMEDY}")


def check_window(module: torch.nn.Module, plan: TreePlan, window: int | None) -> None:
    """Raise if a layer does not hand over the window that it has by the model's own masks."""
    layer = getattr(module, "layer_idx", None)
    if plan.windows is not None and isinstance(layer, int) and plan.windows[layer] != window:
        fact = f"layer {layer} asks for window {window}, its own mask has window {plan.windows[layer]}"
        raise Unsupported(f"varlen attention: {fact}; {REMEDY}")


def refuse_layers(record: Architecture) -> None:
    """Raise for the first layer whose own mask is not a window of a causal one.

    Examples
    --------
    >>> from masksynth.torch.models.reach import Reach
    >>> refuse_layers(Architecture("Llama4", "sdpa", torch.float32, (Reach(), Reach(chunk=8))))
    Traceback (most recent call last):
    masksynth.errors.Unsupported: Llama4: varlen attention does not support layer 1: causal, chunk 8; use sdpa or ...
    """
    for number, reach in enumerate(record.layers):
        if reach.kind != "causal" or reach.chunk is not None:
            fact = f"varlen attention does not support layer {number}: {reach}"
            raise Unsupported(f"{record.model}: {fact}; {REMEDY}")
