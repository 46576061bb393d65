"""Chosen layers of a Hugging Face transformer with block-tied attention in place of softmax, without training.

The layers' attention goes through transformers' attention interface: an implementation of its own calls block-tied attention in the chosen
layers and the model's own implementation in the others. Masks are asked for as booleans, and must be a padding mask, causal or not: other
masks are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from masksynth.diagnostics.hierarchy.leaks import leaking_rows
from masksynth.diagnostics.hierarchy.sight import sight_of
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.diagnostics.hierarchy.windows import BRANCHING, windows
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch.hierarchical import Plan, plan_of
from masksynth.torch.hierarchy import hierarchical_attention

NUMBERS = count()


@contextmanager
def hierarchical_layers(
    model: nn.Module,
    layers: Iterable[int],
    tree: Sequence[int] | Callable[[int], Tree] = BRANCHING,
    *,
    included: bool = True,
    leaks: bool = False,
) -> Iterator[nn.Module]:
    """The model with block-tied attention in some layers, until the ``with`` block is left.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        One that takes its attention from transformers' interface and numbers its layers: BERT, RoBERTa, GPT-2, Llama and their kin.
    layers : iterable of int
        Layers to replace, counted from 0; negative ones from the end.
    tree : sequence of int, or function
        Windows from the tokens up, or the tree for a number of positions.
    included : bool
        Positions attend to themselves, as pretrained models expect.
    leaks : bool
        Run causal models on trees that let rows depend on later positions (`leaking_rows`), as windows do; `histories` do not.

    Raises
    ------
    InvalidInstance
        For a layer that the model does not have, or a tree of another size.
    Unsupported
        For a model without that interface. When the model runs: for a causal mask on a tree that leaks, unless ``leaks``; for a mask that
        is neither padding nor causal; for cached keys; for dropout on attention weights, which are never written down.

    Examples
    --------
    >>> from transformers import BertConfig, BertModel
    >>> model = BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=8)).eval()
    >>> tokens = torch.arange(8)[None]
    >>> with hierarchical_layers(model, [2], (2, 2)) as changed:
    ...     changed(tokens).last_hidden_state.shape
    torch.Size([1, 8, 8])
    """
    config = getattr(model, "config", None)
    before = getattr(config, "_attn_implementation", None)
    change: Any = getattr(model, "set_attn_implementation", None)
    if before is None or change is None:
        raise Unsupported(f"{type(model).__name__} does not take its attention from transformers' interface; use HierarchicalAttention")
    chosen = _chosen(layers, int(config.num_hidden_layers))  # type: ignore[union-attr]
    made = (lambda size: windows(size, tree)) if isinstance(tree, Sequence) else tree
    name = f"masksynth_hierarchy_{next(NUMBERS)}"
    _register(name, before, chosen, made, (included, leaks))
    change(name)
    try:
        yield model
    finally:
        change(before)
        _forget(name)


def _chosen(layers: Iterable[int], many: int) -> frozenset[int]:
    found = list(layers)
    for layer in found:
        if not -many <= layer < many:
            raise InvalidInstance(f"layer {layer} of a model of {many}", "", f"count from 0 to {many - 1}")
    return frozenset(layer % many for layer in found)


def _register(name: str, before: str, chosen: frozenset[int], made: Callable[[int], Tree], options: tuple[bool, bool]) -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    included, leaks = options

    @lru_cache(maxsize=8)
    def plan(size: int, device: torch.device, causal: bool) -> Plan:
        tree = made(size)
        if causal and not leaks and (late := leaking_rows(tree, sight_of(tree, causal=True, included=included))).any():
            fact = f"{int(late.sum())} of {size} rows of this tree depend on later positions under a causal mask"
            raise Unsupported(f"{fact}; use histories(size, window), or accept it with leaks=True")
        return plan_of(tree, device)

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
    ) -> tuple[Tensor, None]:
        if getattr(module, "layer_idx", None) not in chosen:
            return _softmax(module, query, key, value, attention_mask, settings)
        _refuse(query, key, settings)
        padding, causal = padding_of(attention_mask, query)
        found = hierarchical_attention(
            plan(query.shape[-2], query.device, causal),
            query,
            key,
            value,
            scale=settings.get("scaling"),
            included=included,
            causal=causal,
            padding=padding,
        )
        return found.transpose(1, 2), None

    def mask(*given: Any, **settings: Any) -> Tensor | None:
        settings |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
        found: Tensor | None = sdpa_mask(*given, **settings)
        return found

    if before not in ("sdpa", "eager"):
        raise Unsupported(f"attention {before!r} has masks of its own; load the model with attn_implementation='sdpa'")
    ALL_ATTENTION_FUNCTIONS.register(name, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(name, mask)


def _forget(name: str) -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    for table in (ALL_ATTENTION_FUNCTIONS, ALL_MASK_ATTENTION_FUNCTIONS):
        type(table)._global_mapping.pop(name, None)


def _softmax(module: nn.Module, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: dict[str, Any]) -> tuple[Tensor, None]:
    """Softmax attention under a boolean mask that is always given."""
    found = nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=options.get("dropout", 0.0), scale=options.get("scaling"), enable_gqa=q.shape[1] != k.shape[1]
    )
    return found.transpose(1, 2), None


def _refuse(q: Tensor, k: Tensor, options: dict[str, Any]) -> None:
    if q.shape[-2] != k.shape[-2]:
        raise Unsupported(f"{q.shape[-2]} queries for {k.shape[-2]} keys: cached keys have no tree; run the model with use_cache=False")
    if options.get("dropout"):
        raise Unsupported("dropout on attention weights: they are never written down; put the model into eval mode")


def padding_of(mask: Tensor | None, q: Tensor) -> tuple[Tensor | None, bool]:
    """Which positions are real, (B, N), and whether the mask is causal.

    Parameters
    ----------
    mask : (B, 1, N, N) bool, optional
        True where a query may attend to a key; rows of padding may hold anything.

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
    if mask.dtype != torch.bool or mask.dim() != 4 or mask.shape[1] != 1 or mask.shape[-1] != q.shape[-2]:
        raise Unsupported(f"a mask {mask.dtype} {tuple(mask.shape)}; give a 2D padding mask, or none")
    real = mask[:, 0].any(-2)
    rows = real[:, :, None]
    whole = real[:, None, :].expand_as(mask[:, 0])
    for allowed, causal in ((whole, False), (whole.tril(), True)):
        if torch.equal(mask[:, 0] & rows, allowed & rows):
            return real.expand(q.shape[0], -1), causal
    raise Unsupported("a mask that is neither padding nor causal: its blocks would be cut; replace no layer that uses it")
