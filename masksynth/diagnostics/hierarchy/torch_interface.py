"""Find the attention modules of a Hugging Face transformer, and let them call another attention function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from inspect import unwrap
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from masksynth.errors import InvalidInstance, Unsupported

REMEDY = "use HierarchicalAttention"
NUMBERS = count()
HARMLESS = frozenset(("dropout", "scaling", "is_causal", "position_ids", "cache_position", "use_cache")) | {
    "sliding_window",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
}
"""Settings of attention that are heeded, or change nothing; all others that are set are refused."""


def attention_modules(model: nn.Module, layers: Iterable[int]) -> dict[Any, int]:
    """Return the attention modules of the chosen layers, and the layer of each."""
    config: Any = getattr(model, "config", None)
    able: Any = getattr(model, "_can_set_attn_implementation", None)
    layer_count = getattr(config, "num_hidden_layers", None)
    if able is None or not able() or layer_count is None:
        raise Unsupported(f"{type(model).__name__} does not use transformers' attention interface; {REMEDY}")
    if getattr(config, "add_cross_attention", False) or _has_cross(model):
        raise Unsupported(f"{type(model).__name__} has cross-attention; give an encoder or a decoder alone")
    chosen = _chosen(layers, int(layer_count))
    modules: list[Any] = list(model.modules())
    result = {
        module: int(module.layer_idx)
        for module in modules
        if getattr(module, "layer_idx", None) in chosen and hasattr(module, "config")
    } or {module: layer for module, layer in _modules_by_name(model).items() if layer in chosen}
    if missing := sorted(chosen - set(result.values())):
        raise Unsupported(f"{type(model).__name__} has no attention module of layer {missing[0]} of its own; {REMEDY}")
    for before in {module.config._attn_implementation for module in result} - {"sdpa", "eager"}:
        raise Unsupported(f"attention {before!r} has masks of its own; load the model with attn_implementation='sdpa'")
    return result


def _modules_by_name(model: nn.Module) -> dict[Any, int]:
    """Return the layer of each module that calls transformers' interface: the only number in its name.

    None are returned for names with two numbers (shared layers, windows in stages) and for two stacks of layers.
    """
    result: dict[Any, int] = {}
    for name, module in model.named_modules():
        if "ALL_ATTENTION_FUNCTIONS" in unwrap(type(module).forward).__code__.co_names and hasattr(module, "config"):
            numbers = [int(part) for part in name.split(".") if part.isdecimal()]
            if len(numbers) != 1 or numbers[0] in result.values():
                return {}
            result[module] = numbers[0]
    return result


def _has_cross(model: nn.Module) -> bool:
    names = [name.lower() for name, _ in model.named_modules()]
    return any("encoder_attn" in name or "encdecattention" in name or "crossattention" in name for name in names)


def _chosen(layers: Iterable[int], layer_count: int) -> frozenset[int]:
    result = list(layers) if isinstance(layers, Iterable) else [layers]
    if not isinstance(layers, Iterable) or any(type(layer) is not int for layer in result):
        raise InvalidInstance(f"expected a list of integers, such as [0, 2], got {layers!r:.40}", "")
    for layer in result:
        if not -layer_count <= layer < layer_count:
            raise InvalidInstance(f"expected a layer of 0..{layer_count - 1}, got layer {layer}", "")
    return frozenset(layer % layer_count for layer in result)


@contextmanager
def redirected(places: Iterable[Any], name: str) -> Iterator[None]:
    """Give modules copies of their configs that name another implementation, and restore their own at the end."""
    places = list(places)
    before = [module.config for module in places]
    try:
        for module in places:
            module.config = copy(module.config)
            module.config.masks_for = module.config._attn_implementation
            module.config._attn_implementation_internal = name
        yield
    finally:
        for one, config in zip(places, before, strict=True):
            one.config = config


@contextmanager
def registered(attention: Callable[..., Any]) -> Iterator[str]:
    """Give an attention function a name that transformers knows until the block is left."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    name = f"masksynth_hierarchy_{next(NUMBERS)}"
    ALL_ATTENTION_FUNCTIONS.register(name, attention)
    try:
        yield name
    finally:
        type(ALL_ATTENTION_FUNCTIONS)._global_mapping.pop(name, None)


def is_causal_without_mask(module: Any, settings: dict[str, Any]) -> bool:
    """Return whether a missing mask means causal attention: the module's own direction, not for eager attention."""
    requested = settings.get("is_causal")
    return (
        bool(getattr(module, "is_causal", True) if requested is None else requested)
        and module.config.masks_for != "eager"
    )


def refuse_other_scores(q: Tensor, k: Tensor, options: dict[str, Any]) -> None:
    """Raise Unsupported for cached keys, and for settings that change softmax attention or its scores."""
    if q.shape[-2] != k.shape[-2]:
        raise Unsupported(
            f"{q.shape[-2]} queries for {k.shape[-2]} keys: the cache of a model has keys, where this attention needs "
            "means of nodes; call it with use_cache=False, or decode with torch_decoding.Decoder"
        )
    if options.get("dropout"):
        raise Unsupported(
            "dropout on attention weights is not supported: they are never computed; put the model into eval mode"
        )
    if (window := options.get("sliding_window")) is not None and window < q.shape[-2]:
        raise Unsupported(
            f"block-tied attention has no sliding window ({window} of {q.shape[-2]} positions); keep this layer"
        )
    for name in sorted(
        name for name, value in options.items() if value is not None and value is not False and name not in HARMLESS
    ):
        raise Unsupported(f"block-tied attention does not support {name}; do not replace a layer that uses it")


def padding_of(mask: Tensor | None, q: Tensor) -> tuple[Tensor | None, bool]:
    """Return which positions are real, (B, N), and whether the mask is causal.

    Parameters
    ----------
    mask : (B, 1, N, N) bool or float, optional
        True, or 0, where a query may attend to a key, False or the lowest number elsewhere; rows of padding may hold
        anything.

    Raises
    ------
    Unsupported
        For a mask that is neither all real keys, nor all real keys up to the query.

    Examples
    --------
    >>> padding_of(torch.ones(1, 1, 2, 2, dtype=torch.bool).tril(), torch.ones(1, 1, 2, 3))
    (tensor([[True, True]]), True)
    """
    if mask is None:
        return None, False
    if mask.is_floating_point() and bool(((mask == 0) | (mask <= torch.finfo(mask.dtype).min / 2)).all()):
        mask = mask == 0
    if mask.dtype != torch.bool or mask.dim() != 4 or mask.shape[1] != 1 or mask.shape[-1] != q.shape[-2]:
        raise Unsupported(f"expected a 2D padding mask or none, got {mask.dtype} {tuple(mask.shape)}")
    real = mask[:, 0].any(-2)
    rows = real[:, :, None]
    complete = real[:, None, :].expand_as(mask[:, 0])
    for allowed, causal in ((complete, False), (complete.tril(), True)):
        if torch.equal(mask[:, 0] & rows, allowed & rows):
            return real.expand(q.shape[0], -1), causal
    raise Unsupported("expected a padding mask, causal or not, got another one; do not replace a layer that uses it")
