"""Attention for transformers models in which each layer has its own mask.

``use_registered_attention(model)`` makes an unmodified model call the functions of this module instead of its
attention. They take the ``attention_mask`` that the model was called with, select the part of their layer, and call the
attention that the model ran before:

- eager and sdpa: a tensor ``[1, P, N, N]``; layer l takes ``[:, l mod P]``.
- flex: a ``LayerBlockMask`` of P BlockMasks; layer l takes number l mod P.

A mask with P = 1, or a mask that the model made itself, is passed on unchanged, so the model generates and evaluates as
before. The keyword of the model's window is dropped: the mask has the window. Learned sinks and soft caps are passed to
the eager and flex functions, which support them; sdpa refuses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch.models.architecture import KINDS, REGISTERED
from masksynth.torch.models.transformers_version import require_transformers
from masksynth.torch.models.unwrap import unwrap


class LayerBlockMask(BlockMask):
    """P BlockMasks, one per layer of a pattern; code that expects one BlockMask gets the first.

    Parameters
    ----------
    tables : sequence of BlockMask
        All with the same sequence length and block size.
    """

    tables: tuple[BlockMask, ...]

    def __init__(self, tables: Sequence[BlockMask]) -> None:
        self.__dict__.update(vars(tables[0]))
        self.tables = tuple(tables)

    def to(self, device: Any) -> LayerBlockMask:
        """Return the masks on a device."""
        return LayerBlockMask([table.to(device) for table in self.tables])


def register() -> tuple[str, ...]:
    """Register the attention functions and their masks with transformers, and return their names; idempotent."""
    transformers = require_transformers()
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

    for name in KINDS:
        transformers.AttentionInterface.register(REGISTERED + name, partial(layer_attention, name))
        AttentionMaskInterface.register(REGISTERED + name, ALL_MASK_ATTENTION_FUNCTIONS[name])
    return tuple(REGISTERED + name for name in KINDS)


def use_registered_attention(model: Any) -> Any:
    """Make a loaded transformers model take one mask per layer, and return the model.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        With attention "sdpa", "eager" or "flex_attention", which the registered function calls. Changed in place:
        ``config._attn_implementation`` becomes, for example, "masksynth_sdpa".

    Raises
    ------
    InvalidInstance
        If the object is not a transformers model.
    Unsupported
        If its attention is another, or its class does not use the attention interface of transformers.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> shape = dict(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    >>> model = LlamaForCausalLM(LlamaConfig(**shape, attn_implementation="sdpa"))
    >>> use_registered_attention(model).config._attn_implementation
    'masksynth_sdpa'
    """
    transformers = require_transformers()
    plain = unwrap(model)
    if not isinstance(plain, transformers.PreTrainedModel):
        fact = f"expected a transformers model, got {type(plain).__name__}"
        raise InvalidInstance(fact, "", "pass a loaded transformers model")
    name = str(plain.config.get_text_config()._attn_implementation)
    if name.startswith(REGISTERED):
        register()
        return model
    if name not in KINDS:
        remedy = f"load the model with attn_implementation={', '.join(map(repr, KINDS))}"
        raise Unsupported(f"attention {name!r} of {type(plain).__name__} does not support masks of pairs; {remedy}")
    if not plain._can_set_attn_implementation():
        fact = f"{type(plain).__name__} does not use the attention interface of transformers"
        raise Unsupported(f"{fact}; use sdpa or eager masks")
    register()
    plain.set_attn_implementation(REGISTERED + name)
    return model


def layer_attention(
    name: str, module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **keywords: Any
) -> tuple[Tensor, Tensor | None]:
    """Attend under the mask of the module's layer; transformers calls this function.

    Parameters
    ----------
    name : {"sdpa", "eager", "flex_attention"}
        The attention that is called.
    module : torch.nn.Module
        The attention module of the layer, with a ``layer_idx``.
    query, key, value : Tensor
        ``[B, heads, N, d]``.
    attention_mask : Tensor, BlockMask or None
        ``[1, P, N, N]``, or a ``LayerBlockMask``, or the model's own mask.
    keywords : dict
        Further arguments of the model: scaling, dropout, sinks.
    """
    keywords.pop("sliding_window", None)
    if name == "sdpa":
        for part, word in (("s_aux", "learned sinks"), ("softcap", "a soft cap")):
            if keywords.get(part) is not None:
                remedy = "load the model with attn_implementation='eager'"
                raise Unsupported(f"sdpa does not support {word}; {remedy}")
    mask = mask_of_layer(attention_mask, module)
    if isinstance(mask, Tensor):
        check_mask(mask, name, query, key)
    result: tuple[Tensor, Tensor | None] = attention_function(name, module)(module, query, key, value, mask, **keywords)
    return result


def mask_of_layer(attention_mask: Any, module: torch.nn.Module) -> Any:
    """Return the part of a mask that belongs to the module's layer: number ``layer_idx`` mod P.

    Raises
    ------
    Unsupported
        If there are several and the module has no ``layer_idx``.
    """
    if isinstance(attention_mask, LayerBlockMask):
        count: int = len(attention_mask.tables)
    elif isinstance(attention_mask, Tensor) and attention_mask.ndim == 4:
        count = attention_mask.shape[1]
    else:
        return attention_mask
    layer = getattr(module, "layer_idx", None)
    if count > 1 and not isinstance(layer, int):
        raise Unsupported(f"{type(module).__name__} has no layer_idx, so none of the {count} masks can be selected")
    number = int(layer or 0) % count
    if isinstance(attention_mask, LayerBlockMask):
        return attention_mask.tables[number]
    return attention_mask[:, number : number + 1]


def check_mask(mask: Tensor, name: str, query: Tensor, key: Tensor) -> None:
    """Raise if the attention would misread a mask, or not read it at all.

    Parameters
    ----------
    mask : Tensor
        ``[1, 1, N, M]`` of the layer.
    name : {"sdpa", "eager", "flex_attention"}
    query, key : Tensor
        ``[B, heads, N, d]`` and ``[B, heads, M, d]``.

    Raises
    ------
    InvalidInstance
        Naming the wrong type, shape or device.
    """
    kinds = {"sdpa": (torch.bool, query.dtype), "eager": (query.dtype,)}.get(name, ())
    if mask.dtype not in kinds:
        words = " or ".join(str(kind) for kind in kinds) or "a BlockMask"
        fact = f"mask of {name} attention: expected {words}, got {mask.dtype}"
        raise InvalidInstance(fact, "", "pass batch.model_inputs")
    shape = (query.shape[2], key.shape[2])
    if mask.ndim != 4 or tuple(mask.shape[2:]) != shape or len(mask) not in (1, len(query)):
        first = "1" if len(query) == 1 else f"1 or {len(query)}"
        fact = f"mask of {name} attention: expected [{first}, P, {shape[0]}, {shape[1]}], got {list(mask.shape)}"
        raise InvalidInstance(fact, "", "pass batch.model_inputs of one batch")
    if mask.device != query.device:
        fact = f"the mask is on {mask.device}, the model on {query.device}"
        raise InvalidInstance(fact, "", f'use batch.to("{query.device}")')


def attention_function(name: str, module: torch.nn.Module) -> Callable[..., Any]:
    """Return the attention function that the module would call; eager functions are in the file of its class.

    Raises
    ------
    Unsupported
        If that file has no eager attention.
    """
    if name != "eager":
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        function: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS[name]
        return function
    for kind in type(module).__mro__:
        own = getattr(sys.modules.get(kind.__module__), "eager_attention_forward", None)
        if own is not None:
            return own  # type: ignore[no-any-return]
    raise Unsupported(f"{type(module).__name__} has no eager attention; load the model with attn_implementation='sdpa'")
