"""Named families of training tasks, one function each, parameters as in their papers.

Every function returns an ``Instance`` whose ``expect`` is a closed form, and every parameter has a default:

>>> from masksynth import catalog
>>> catalog.butterfly(n=8).expect
{'status': 'OPTIMAL', 'positions': 22}
>>> len(catalog.FAMILIES), catalog.FAMILIES["causal_lm"]().name
(26, 'causal_lm-8')
"""

from __future__ import annotations

from collections.abc import Callable

from masksynth.catalog.causal import causal_lm, local_global, packed_docs, prefix_lm, sliding_window
from masksynth.catalog.context import encdec_flat, multiturn_reasoning, parallel_context, parallel_context_bos
from masksynth.catalog.diffusion import bd3lm, complementary_bd, loo_mlm, transfusion, var_scales
from masksynth.catalog.shared_prefixes import (
    agent_trie,
    dpo_prefix_sharing,
    mask_token_chain,
    medusa_tree,
    shared_prefix_group,
)
from masksynth.catalog.streams import block_two_stream, block_two_stream_causal, butterfly, tnp_a, xlnet_two_stream
from masksynth.catalog.tabular import tabpfn, tabpfn_duplicates
from masksynth.tasks import Instance

_FUNCTIONS: tuple[Callable[..., Instance], ...] = (
    causal_lm,
    prefix_lm,
    packed_docs,
    sliding_window,
    local_global,
    encdec_flat,
    xlnet_two_stream,
    block_two_stream,
    block_two_stream_causal,
    butterfly,
    bd3lm,
    complementary_bd,
    mask_token_chain,
    medusa_tree,
    shared_prefix_group,
    dpo_prefix_sharing,
    agent_trie,
    multiturn_reasoning,
    parallel_context,
    parallel_context_bos,
    transfusion,
    var_scales,
    tabpfn,
    tabpfn_duplicates,
    tnp_a,
    loo_mlm,
)

FAMILIES: dict[str, Callable[..., Instance]] = {function.__name__: function for function in _FUNCTIONS}
"""Family name -> function, in the order of the catalogue."""

__all__ = [
    "FAMILIES",
    "agent_trie",
    "bd3lm",
    "block_two_stream",
    "block_two_stream_causal",
    "butterfly",
    "causal_lm",
    "complementary_bd",
    "dpo_prefix_sharing",
    "encdec_flat",
    "local_global",
    "loo_mlm",
    "mask_token_chain",
    "medusa_tree",
    "multiturn_reasoning",
    "packed_docs",
    "parallel_context",
    "parallel_context_bos",
    "prefix_lm",
    "shared_prefix_group",
    "sliding_window",
    "tabpfn",
    "tabpfn_duplicates",
    "tnp_a",
    "transfusion",
    "var_scales",
    "xlnet_two_stream",
]
