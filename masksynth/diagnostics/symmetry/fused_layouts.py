"""Find queries and keys in fused tensors, whose order depends on the model and not on the shape.

Orders: all queries, then all keys, then all values (``stacked``); query, key and value of each head in turn (``by
head``); the queries of each group, then its key and its value (``by group``); four blocks, each with queries, values,
keys (``blocks``, CodeGen).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from masksynth.diagnostics.symmetry.attention_parts import Attention, Intervals, Part, check_matrix
from masksynth.diagnostics.symmetry.model_config import (
    BELONGS,
    first_number,
    head_names,
    model_type,
    tower_config,
)
from masksynth.diagnostics.symmetry.weight_store import Store
from masksynth.errors import InvalidInstance

FUSED = (
    ("GPT-2", r"attn\.c_attn\.weight"),
    ("ModernBERT", r"attn\.Wqkv\.weight"),
    ("GPT-NeoX", r"query_key_value\.weight"),
    ("Phi-3", r"attn\.qkv_proj\.weight"),
    ("ViT", r"attn\.qkv\.weight"),
    ("MultiheadAttention", r"in_proj_weight"),
    ("InternLM2", r"attention\.wqkv\.weight"),
)
"""Layout -> the end of the tensor's name."""
ASSUMED = ("GPT-2", "ModernBERT", "ViT", "MultiheadAttention")
"""Layouts that are taken to be stacked where config.json does not name the model."""
STACKED = (
    *("gpt2", "openai-gpt", "imagegpt", "decision_transformer", "modernbert", "modernbert-decoder", "mpt", "qwen"),
    *("phi3", "dbrx", "nomic_bert", "hiera", "sam", "vitdet", "qwen2_vl", "qwen2_5_vl", "timesformer", "blip"),
    *("blip_vision_model", "clip", "bark"),
)
"""Values of model_type whose fused tensors are stacked."""
BY_HEAD = ("gpt_neox", "gpt_neox_japanese", "bloom", "persimmon")
BLOCKS = 4
"""Blocks of CodeGen's tensors."""


def fused_layers(store: Store, cross: re.Pattern[str], head_dim: int | None) -> Iterator[Attention]:
    """Yield the attention layers whose queries and keys are parts of one tensor.

    Raises
    ------
    InvalidInstance
        If the order of a tensor is not known, or its shape does not fit.
    """
    for kind, ending in FUSED:
        for name in store.entries:
            if re.search(rf"(^|[._]){ending}$", name) and not cross.search(name):
                yield _layer(store, kind, name, head_dim)


def _layer(store: Store, kind: str, name: str, head_dim: int | None) -> Attention:
    order = _order(store, kind, name)
    rows, columns = check_matrix(store, name)
    axis = 1 if kind == "GPT-2" and columns == 3 * rows else 0  # a Conv1D stores [in, out]
    outputs, inputs = (columns, rows) if axis else (rows, columns)
    stem = name.removesuffix(".weight").removesuffix(".in_proj_weight")
    heads = first_number(store, name, head_names(name))[1]
    if order == "stacked" and outputs == 3 * inputs:
        return Attention(stem, kind, Part(name, axis, ((0, inputs),)), Part(name, axis, ((inputs, 2 * inputs),)))
    if heads is None:
        known = "" if outputs == 3 * inputs else ", neither [d, 3d] nor [3d, d]"
        fact = f"has shape {[rows, columns]}{known}, and the number of heads, which decides its order, is not known"
        raise InvalidInstance(fact, name, "put config.json next to the weights", store.source)
    width = head_dim or first_number(store, name, ("head_dim",))[1] or max(1, inputs // heads)
    shared = _key_heads(order, outputs, width, heads)
    if not shared or heads % shared:
        fact = f"has shape {[rows, columns]}, which does not hold the queries, keys and values of {heads} heads"
        raise InvalidInstance(fact, name, BELONGS, store.source)
    query, key = _intervals(order, heads, shared, width)
    return Attention(stem, kind, Part(name, axis, query), Part(name, axis, key))


def _order(store: Store, kind: str, name: str) -> str:
    """Return stacked, by head, by group or blocks."""
    model, config = model_type(store, name), tower_config(store.config, name)
    if model == "falcon":
        grouped = "stacked" if config.get("multi_query", True) else "by head"
        return "by group" if config.get("new_decoder_architecture") else grouped
    if model == "gpt_bigcode":
        return "stacked" if config.get("multi_query", True) else "by head"
    named = {"codegen": "blocks", "internlm2": "by group", **dict.fromkeys(BY_HEAD, "by head")}
    if model in named:
        return named[model]
    if model in STACKED or (not model and kind in ASSUMED):
        return "stacked"
    known = f"of model_type {model!r:.40}" if model else "of a model that config.json does not name"
    fact = f"is a fused tensor {known}, whose order of queries and keys is not known here"
    raise InvalidInstance(fact, name, "give W_q and W_k as tensors query.weight and key.weight", store.source)


def _key_heads(order: str, outputs: int, width: int, heads: int) -> int:
    """Return G, for which the tensor has (H + 2 G) d_h outputs; 0 where there is none."""
    shared, rest = divmod(outputs - heads * width, 2 * width)
    fits = rest == 0 and shared >= 1 and (order in ("stacked", "by group") or shared == heads)
    fits = fits and (order != "blocks" or heads % BLOCKS == 0)
    return shared if fits else 0


def _intervals(order: str, heads: int, shared: int, width: int) -> tuple[Intervals, Intervals]:
    """Return the outputs that are queries and those that are keys, head after head."""
    if order == "stacked":
        size = heads * width
        return ((0, size),), ((size, size + shared * width),)
    if order == "blocks":
        block = heads // BLOCKS * width
        starts = [3 * block * number for number in range(BLOCKS)]
        return tuple((at, at + block) for at in starts), tuple((at + 2 * block, at + 3 * block) for at in starts)
    group = heads // shared  # by head is by group with one query a group
    starts = [(group + 2) * width * number for number in range(shared)]
    ends = [at + group * width for at in starts]
    return tuple(zip(starts, ends, strict=True)), tuple((end, end + width) for end in ends)
