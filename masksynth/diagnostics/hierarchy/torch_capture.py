"""Record the queries and keys of a transformer's attention while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from masksynth.diagnostics.hierarchy.torch_interface import (
    attention_modules,
    is_causal_without_mask,
    padding_of,
    redirected,
    refuse_other_scores,
    registered,
)
from masksynth.errors import Unsupported


class Recorded(NamedTuple):
    """Queries and keys of a layer: softmax of ``q @ k^T / sqrt(d)`` over allowed keys are the attention weights.

    ``q``, ``k`` (B, H, N, d) have one head of keys for each head of queries. ``real`` (B, N) says which positions are
    no padding, ``causal`` whether a position sees only those up to its own.
    """

    layer: int
    q: Tensor
    k: Tensor
    real: Tensor
    causal: bool


def queries_and_keys(model: nn.Module, layers: Iterable[int] | None = None, **inputs: Any) -> list[Recorded]:
    """Run a transformer once without gradients and return what its attention compares.

    Rotations and biases are in the queries and keys. Another scale than 1 / sqrt(d) is multiplied into the queries, so
    that `diagnose_hierarchy` measures the scores that the model has.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        As in `hierarchical_layers`: one that uses transformers' attention interface.
    layers : iterable of int, optional
        Layers counted from 0, negative ones from the end [default: all].
    **inputs
        What the model is called with, such as ``input_ids`` and ``attention_mask``; no cache.

    Returns
    -------
    list of Recorded
        In ascending order of layers.

    Raises
    ------
    InvalidInstance
        For a layer that the model does not have.
    Unsupported
        As `hierarchical_layers`, for scores that are not dot products of queries and keys (caps, sinks, position
        biases), and masks that are neither padding nor causal.

    Examples
    --------
    >>> from transformers import BertConfig, BertModel
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}
    >>> model = BertModel(BertConfig(vocab_size=9, **sizes)).eval()
    >>> [(one.layer, tuple(one.q.shape)) for one in queries_and_keys(model, [0, -1], input_ids=torch.arange(8)[None])]
    [(0, (1, 2, 8, 4)), (2, (1, 2, 8, 4))]
    """
    count = getattr(getattr(model, "config", None), "num_hidden_layers", 0)
    places = attention_modules(model, range(count) if layers is None else layers)
    found: dict[int, Recorded] = {}
    with torch.no_grad(), registered(_recording(places, found)) as name, redirected(places, name):
        model(**inputs)
    if missed := sorted(set(places.values()) - found.keys()):
        raise Unsupported(f"{type(model).__name__} ran without calling the attention of layer {missed[0]}")
    return [found[layer] for layer in sorted(found)]


def _recording(places: dict[Any, int], found: dict[int, Recorded]) -> Callable[..., Any]:
    def attention(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
    ) -> Any:
        refuse_other_scores(query, key, settings)
        real, causal = padding_of(attention_mask, query)
        if attention_mask is None:
            causal = is_causal_without_mask(module, settings)
            real = torch.ones(query.shape[0], query.shape[2], dtype=torch.bool, device=query.device)
        given = settings.get("scaling")
        q = query if given is None else query * (given * query.shape[-1] ** 0.5)
        k = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
        assert real is not None
        found[places[module]] = Recorded(places[module], q, k, real, causal)
        return _own(module)(module, query, key, value, attention_mask, **settings)

    return attention


def _own(module: Any) -> Callable[..., Any]:
    """Return the function that the module would have called."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if module.config.masks_for != "eager":
        return ALL_ATTENTION_FUNCTIONS[module.config.masks_for]  # type: ignore[no-any-return]
    eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if eager is None:
        raise Unsupported(f"{type(module).__name__} has eager attention of its own; load it with 'sdpa'")
    return eager  # type: ignore[no-any-return]
