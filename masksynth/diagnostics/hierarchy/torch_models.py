"""Replace softmax attention in chosen layers of a Hugging Face transformer by block-tied attention, without training.

The chosen layers ask transformers' attention interface for an implementation of their own; all others keep theirs, with
masks, biases, sinks and caps, untouched. Masks must be padding masks, causal or not; other masks, and settings that
change softmax attention, are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Any

if find_spec("torch") is None:
    raise ImportError(f"{__name__} needs torch; install it with: pip install 'masksynth[torch]'")

import torch
from torch import Tensor, nn

from masksynth.diagnostics.hierarchy.dependence import leaking_rows
from masksynth.diagnostics.hierarchy.torch_attention import hierarchical_attention, prefix_attention
from masksynth.diagnostics.hierarchy.torch_interface import (
    REMEDY,
    attention_modules,
    is_causal_without_mask,
    padding_of,
    redirected,
    refuse_other_scores,
    registered,
)
from masksynth.diagnostics.hierarchy.torch_plan import Plan, plan_of
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.diagnostics.hierarchy.visible_siblings import sight_of
from masksynth.diagnostics.hierarchy.window_trees import BRANCHING, windows
from masksynth.errors import Unsupported


@contextmanager
def hierarchical_layers(
    model: nn.Module,
    layers: Iterable[int],
    tree: Sequence[int] | Sequence[Tree] | Callable[[int], Tree] = BRANCHING,
    *,
    included: bool = True,
    leaks: bool = False,
) -> Iterator[nn.Module]:
    """Replace the attention of some layers by block-tied attention until the ``with`` block is left.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        One with an attention module in each layer that takes its attention from transformers' interface: BERT, ViT,
        GPT-2, Llama and their kin; not ALBERT (one module for all layers), MPNet, T5 or encoder-decoders.
    layers : iterable of int
        Layers to replace, counted from 0; negative ones from the end.
    tree : sequence of int, sequence of Tree, or function
        Windows from the tokens up, the tree of each sample of the batch, or the tree for a number of positions. The
        tree of a sample begins at its first real position, if it fits there.
    included : bool
        Positions attend to themselves, as pretrained models expect.
    leaks : bool
        In a causal model let rows depend on later positions, where those of the tree do (`leaking_rows`), as windows'
        do [default: each row has the tree of its prefix, `prefix_attention`].

    Raises
    ------
    InvalidInstance
        For a layer that the model does not have, or a tree of another size.
    Unsupported
        For a model in which a chosen layer has no such module. When the model runs: for a causal mask on a tree that
        leaks without ``included``, unless ``leaks``; for a mask that is neither padding nor causal; for cached keys
        (`Decoder` has a cache); for dropout on attention weights, which are never written down; for position biases,
        caps, sinks and windows. When the block is left: for a chosen layer that the model ran without.

    Examples
    --------
    >>> from transformers import BertConfig, BertModel
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}
    >>> model = BertModel(BertConfig(vocab_size=9, **sizes)).eval()
    >>> tokens = torch.arange(8)[None]
    >>> with hierarchical_layers(model, [2], (2, 2)) as changed:
    ...     changed(tokens).last_hidden_state.shape
    torch.Size([1, 8, 8])
    """
    places = attention_modules(model, layers)
    made, several = _trees(tree)
    ran, used = list[bool](), set[Any]()
    with registered(_attention(made, (included, leaks, several), used)) as name, redirected(places, name):
        watch = model.register_forward_pre_hook(lambda *_: ran.append(True))
        try:
            yield model
        finally:
            watch.remove()
    if ran and (missed := sorted(set(places.values()) - {places[module] for module in used})):
        raise Unsupported(f"{type(model).__name__} ran without calling the attention of layer {missed[0]}; {REMEDY}")


def _trees(tree: Any) -> tuple[Callable[[int], Tree | Sequence[Tree]], bool]:
    """Return the tree, or those of the samples, for a number of positions, and whether samples have their own."""
    if not isinstance(tree, Sequence):
        return tree, False
    if len(tree) and all(isinstance(one, Tree) for one in tree):
        return lambda _: tree, True
    return lambda size: windows(size, tree), False


def _attention(
    made: Callable[[int], Tree | Sequence[Tree]], options: tuple[bool, bool, bool], used: set[Any]
) -> Callable[..., Any]:
    included, leaks, several = options
    plan = lru_cache(maxsize=8)(partial(_plan, made, included, leaks))

    def attention(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
    ) -> Any:
        used.add(module)
        refuse_other_scores(query, key, settings)
        padding, causal = padding_of(attention_mask, query)
        if attention_mask is None:
            causal = is_causal_without_mask(module, settings)
        pads = tuple(padding.int().argmax(-1).tolist()) if several and padding is not None else ()
        index, prefixes = plan(query.shape[-2], query.device, causal, pads)
        qkv, scale = (query, key, value), settings.get("scaling")
        if prefixes:
            result = prefix_attention(index, *qkv, scale=scale, padding=padding)
        else:
            result = hierarchical_attention(index, *qkv, scale=scale, included=included, causal=causal, padding=padding)
        return result.transpose(1, 2), None

    return attention


def _plan(
    made: Callable[[int], Tree | Sequence[Tree]],
    included: bool,
    leaks: bool,
    size: int,
    device: torch.device,
    causal: bool,
    pads: tuple[int, ...],
) -> tuple[Plan, bool]:
    """Return the index tensors, and whether rows need the trees of their prefixes.

    ``pads`` are the numbers of positions of padding to the left of each sample.
    """
    tree = made(size)
    late = 0
    for one in [tree] if isinstance(tree, Tree) else tree:
        late += int(leaking_rows(one, sight_of(one, causal=True, included=included)).sum()) if causal else 0
    if late and not leaks and not included:
        fact = f"{late} rows depend on later positions under a causal mask, and positions do not see themselves"
        raise Unsupported(f"{fact}; use included=True, or accept it with leaks=True")
    start = None
    if not isinstance(tree, Tree) and len(pads) == len(tree):
        start = [left if left + one.size <= size else 0 for left, one in zip(pads, tree, strict=True)]
    return plan_of(tree, device, length=size, start=start), late > 0 and not leaks
