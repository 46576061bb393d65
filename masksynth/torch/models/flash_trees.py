"""Trees under the flash attention that a model was loaded with: K and V gathered by path, its own kernel called.

Flash attention takes lengths of sequences and no masks. `take_plans` puts a function before the registered one: it
gives the keys of a ``TreePlan`` to the varlen kernel of the same name (FlashAttention 2, 3, 4, or one of a hub), with
the layer's own window, soft cap, sinks and dropout; every other call is handed on as it is. The model keeps the name
of its attention, so that its other calls run as before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.torch.models.architecture import VARLEN, Architecture
from masksynth.torch.models.attention_name import attention_named
from masksynth.torch.models.read_architecture import read_architecture
from masksynth.torch.models.varlen_attention import check_window, register_varlen
from masksynth.torch.varlen_tree import TreePlan, plan_tree, tree_attention

Function = Callable[..., tuple[Tensor, Any]]
"""A function of the attention interface of transformers."""
_ALIGNED = set[tuple[str, torch.device, torch.dtype]]()
"""Kernels that have been found to align the queries of a segment with its last keys."""


def is_flash(name: str) -> bool:
    """Return whether an attention takes 2-D masks and lengths of sequences, as flash attention does.

    Parameters
    ----------
    name : str
        ``config._attn_implementation``.

    Examples
    --------
    >>> [is_flash(name) for name in ("flash_attention_2", "flash_attention_3", "sdpa", "masksynth_varlen")]
    [True, True, False, False]
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, flash_attention_mask

    # kernels of a hub are registered with the masks that they take: names do not tell
    return ALL_MASK_ATTENTION_FUNCTIONS.get(name) is flash_attention_mask


def read_flash_architecture(model: Any) -> Architecture:
    """Return the record of a model that runs flash attention: that of the same model under plans.

    Raises
    ------
    Unsupported
        If its class has flash attention code of its own, or merged samples cannot be exact in it.
    """
    if not model._can_set_attn_implementation():
        fact = f"{type(model).__name__} has flash attention of its own, which takes no plans of segments"
        raise Unsupported(f"{fact}; load the model with sdpa or eager attention")
    register_varlen()
    with attention_named(model, VARLEN):
        return read_architecture(model)


def take_plans(name: str) -> None:
    """Let the flash attention of a name take a TreePlan as its mask, too; idempotent."""
    from transformers import AttentionInterface
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    function = ALL_ATTENTION_FUNCTIONS[name]
    if getattr(function, "func", None) is not flash_tree_attention:
        AttentionInterface.register(name, partial(flash_tree_attention, function, name))


def flash_tree_attention(
    function: Function,
    name: str,
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    **keywords: Any,
) -> tuple[Tensor, Any]:
    """Attend along the paths of a plan by a flash attention; hand on calls that have none.

    Parameters
    ----------
    function : callable
        The registered attention.
    name : str
        Its name.
    module : torch.nn.Module
        The attention module of the layer.
    query, key, value : Tensor
        ``[k, heads, N, d]``.
    attention_mask : TreePlan, Tensor or None
    keywords : dict
        Further arguments of the model: scaling, window, dropout, soft cap, sinks.

    Raises
    ------
    Unsupported
        If a layer has another window than the plan states.
    WrongAnswer
        If the kernel does not align queries with the last keys.
    """
    if not isinstance(attention_mask, TreePlan):
        return function(module, query, key, value, attention_mask, **keywords)
    check_window(module, attention_mask, keywords.get("sliding_window"))
    run = partial(_gather_and_run, function, module)
    _check_alignment(run, name, query, key, value)
    return run(query, key, value, attention_mask, **keywords), None


def _gather_and_run(
    function: Function,
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    plan: TreePlan,
    **keywords: Any,
) -> Tensor:
    """Return the output of all segments, ``[k, N, heads, d]``, by one call of the kernel for varying lengths."""
    rows, _, size, _ = query.shape
    whole = [part.transpose(0, 1).flatten(1, 2)[None] for part in (query, key, value)]  # [1, heads, k N, d]
    paths = [part.index_select(2, plan.kv_index) for part in whole[1:]]
    keywords.pop("position_ids", None)  # from which some kernels tell packed rows apart
    lengths = {
        "cu_seq_lens_q": plan.cu_seqlens_q,
        "cu_seq_lens_k": plan.cu_seqlens_k,
        "max_length_q": plan.longest[0],
        "max_length_k": plan.longest[1],
    }
    output = function(module, whole[0], *paths, None, **keywords, **lengths)[0]
    return output.reshape(rows, size, *output.shape[-2:])


def _check_alignment(run: Callable[..., Tensor], name: str, query: Tensor, key: Tensor, value: Tensor) -> None:
    """Raise WrongAnswer if a kernel does not align queries with the last keys, on a small tree; checked once.

    Kernels of other releases align them with the first keys, which is wrong without a word.
    """
    kernel = (name, query.device, query.dtype)
    if kernel in _ALIGNED:
        return
    plan = plan_tree(torch.tensor([-1, 0, 1, 2, 1, 4, 5, 2]), query.device)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(1, part.shape[1], 8, part.shape[3], generator=generator).to(query.device, query.dtype)
        for part in (query, key, value)
    )
    with torch.no_grad():
        for window in (None, 2):
            ours = run(q, k, v, plan, sliding_window=window, scaling=q.shape[-1] ** -0.5)
            right = tree_attention(q.float(), k.float(), v.float(), plan, None, window).transpose(1, 2)
            worst = float((ours.float() - right).abs().max())
            if not worst < 0.05:
                fact = f"attention {name!r} on {query.device} in {query.dtype} differs by {worst:.3g} from its segments"
                raise WrongAnswer("flash attention", f"{fact} one by one; load the model with sdpa")
    _ALIGNED.add(kernel)
