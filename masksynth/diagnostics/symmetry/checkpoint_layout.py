"""Find query and key weights in a checkpoint by the names of its tensors and config.json.

A Linear layer stores [out, in] and its outputs are x W^T; a Conv1D stores [in, out]. Fused tensors hold the queries
first, then the keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from masksynth.diagnostics.symmetry.weight_store import PLAIN, Entry, Store
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array

BELONGS = "take the config.json that belongs to the weights"
Shapes = Mapping[str, Entry]


class Part(NamedTuple):
    """W_q or W_k: outputs ``start`` to ``stop`` of a tensor along its axis of outputs (0: Linear, 1: Conv1D)."""

    name: str
    axis: int
    start: int
    stop: int


class Attention(NamedTuple):
    """One attention layer: its name, layout, two parts, and H, G, d_h where they are known (0: not known)."""

    name: str
    kind: str
    query: Part
    key: Part
    heads: int = 0
    key_heads: int = 0


PAIRS = (
    ("BERT", "query", "key"),
    ("DistilBERT", "q_lin", "k_lin"),
    ("Llama", "q_proj", "k_proj"),
    ("T5", "SelfAttention.q", "SelfAttention.k"),
)
FUSED = (("GPT-2", "attn.c_attn"), ("ModernBERT", "attn.Wqkv"))
STACKED = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer", "modernbert", "modernbert-decoder", "mpt", "qwen")
"""Values of model_type whose fused tensors hold all queries, then all keys; others may hold them head by head."""
CROSS = re.compile(r"cross|encoder_attn|EncDecAttention", re.IGNORECASE)
LOOKED_FOR = ", ".join(
    [*(f"*{query}.weight + *{key}.weight" for _, query, key in PAIRS), *(f"*{name}.weight" for _, name in FUSED)]
)
QUANTISED = re.compile(
    r"\.(qweight|qzeros|SCB|weight_scale(_inv)?|weight\.(absmax|quant_map)|weight\.quant_state\.\w+)$"
)


def attentions(store: Store, head_dim: int | None = None) -> tuple[Attention, ...]:
    """Return the self-attention layers of a checkpoint, in the order of their numbers.

    Parameters
    ----------
    store : Store
    head_dim : int, optional
        d_h [default: by config.json, or by the weights of q_norm].

    Raises
    ------
    InvalidInstance
        If no layout is known, weights are quantised, shapes or config.json do not fit, or grouped queries come without
        a head size.
    """
    quantised = next((name for name in store.entries if QUANTISED.search(name)), None)
    if quantised is not None:
        raise InvalidInstance("belongs to quantised weights", quantised, "dequantise the weights first", store.source)
    result = sorted([*_pairs(store), *_fused(store)], key=lambda layer: natural(layer.name))
    if not result:
        fact = f"no layer of a known layout among {len(store.entries)} tensors: looked for {LOOKED_FOR}"
        raise InvalidInstance(fact, "", "rename the weights, or give W_q and W_k as arrays", store.source)
    return tuple(_with_heads(store, layer, head_dim) for layer in result)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key under which layer 10 comes after layer 9.

    Examples
    --------
    >>> sorted(["h.10", "h.9"], key=natural)
    ['h.9', 'h.10']
    """
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"\.", name)]


def read_parts(store: Store, layer: Attention) -> tuple[Float64Array, Float64Array]:
    """Read W_q (d, H d_h) and W_k (d, G d_h) of a layer: x @ W_q are its queries."""
    tensors = {name: store.read(name) for name in {layer.query.name, layer.key.name}}
    query, key = (_cut(tensors[part.name], part) for part in (layer.query, layer.key))
    return query, key


def _cut(tensor: Float64Array, part: Part) -> Float64Array:
    return tensor[:, part.start : part.stop] if part.axis == 1 else tensor[part.start : part.stop].T


def _pairs(store: Store) -> Iterator[Attention]:
    for kind, query, key in PAIRS:
        for name, entry in store.entries.items():
            stem = name.removesuffix(f"{query}.weight")
            partner = f"{stem}{key}.weight"
            if stem == name or (stem and not stem.endswith(".")) or partner not in store.entries or CROSS.search(name):
                continue
            other = store.entries[partner]
            _matrices(store, {name: entry, partner: other})
            if entry.shape[1] != other.shape[1]:
                raise InvalidInstance(
                    f"W_q {entry.shape} and W_k {other.shape} read inputs of two sizes", name, "", store.source
                )
            yield Attention(_stem(stem), kind, Part(name, 0, 0, entry.shape[0]), Part(partner, 0, 0, other.shape[0]))


def _stem(stem: str) -> str:
    return stem.rstrip(".") or "attention"


def _matrices(store: Store, entries: Shapes) -> None:
    for name, entry in entries.items():
        if entry.dtype not in PLAIN:
            raise InvalidInstance(
                f"is of type {entry.dtype}, which is quantised", name, "dequantise the weights first", store.source
            )
        if len(entry.shape) != 2 or 0 in entry.shape:
            raise InvalidInstance(
                f"expected a matrix, got shape {list(entry.shape)}",
                name,
                "use weights that are not packed",
                store.source,
            )


def _fused(store: Store) -> Iterator[Attention]:
    for kind, ending in FUSED:
        for name, entry in store.entries.items():
            if not re.search(rf"(^|\.){re.escape(ending)}\.weight$", name) or CROSS.search(name):
                continue
            _stacked(store, name)
            _matrices(store, {name: entry})
            rows, columns = entry.shape
            if columns != 3 * rows and rows != 3 * columns:
                fact = f"has shape {[rows, columns]}, neither [d, 3d] nor [3d, d]"
                raise InvalidInstance(fact, name, "give W_q and W_k as arrays", store.source)
            axis, size = (1, rows) if columns == 3 * rows else (0, columns)
            yield Attention(
                name.removesuffix(".weight"), kind, Part(name, axis, 0, size), Part(name, axis, size, 2 * size)
            )


def _stacked(store: Store, name: str) -> None:
    """Raise InvalidInstance for a fused tensor of a model that may not store all queries before all keys."""
    model = _config(store.config, name).get("model_type", store.config.get("model_type"))
    if model and model not in STACKED:
        fact = f"is a fused tensor of model_type {model!r:.40}, whose order of queries and keys is not known here"
        raise InvalidInstance(fact, name, "give W_q and W_k as tensors query.weight and key.weight", store.source)


def _with_heads(store: Store, layer: Attention, head_dim: int | None) -> Attention:
    """Add H and G to a layer; both 0 where they are unknown and every query has a key of its own."""
    queries, keys = layer.query.stop - layer.query.start, layer.key.stop - layer.key.start
    width = head_dim or _head_dim(store, layer, queries)
    if width is None and queries == keys:
        return layer
    if width is None:
        fact = f"{queries} query and {keys} key outputs are grouped heads, and the size of a head is unknown"
        raise InvalidInstance(
            fact,
            layer.name,
            "put config.json next to the weights, or give --head-dim (head_dim in Python)",
            store.source,
        )
    if queries % width or keys % width or queries % keys:
        fact = f"{queries} query and {keys} key outputs do not split into heads of {width}"
        raise InvalidInstance(fact, layer.name, BELONGS, store.source)
    split = layer._replace(heads=queries // width, key_heads=keys // width)
    if head_dim is None:
        _agree(store, split, width)
    return split


def _agree(store: Store, layer: Attention, width: int) -> None:
    """Raise InvalidInstance for a config.json with other numbers of heads than the weights."""
    for names, result, what in (
        (_head_names(layer), layer.heads, "query"),
        (("num_key_value_heads",), layer.key_heads, "key"),
    ):
        name, configured = _first(store, layer, names)
        if configured is not None and configured != result:
            fact = f"the weights have {result} {what} heads of {width}, and config.json gives {name} {configured}"
            raise InvalidInstance(fact, layer.name, f"{BELONGS}, or give --head-dim", store.source)


def _head_dim(store: Store, layer: Attention, queries: int) -> int | None:
    _, width = _first(store, layer, ("head_dim", "d_kv"))
    _, heads = _first(store, layer, _head_names(layer))
    if width is not None:
        return width
    if heads is not None and queries % heads:
        raise InvalidInstance(
            f"{queries} query outputs do not split into {heads} heads", layer.name, BELONGS, store.source
        )
    if heads is not None:
        return queries // heads
    norm = store.entries.get(f"{layer.name}.q_norm.weight")
    return norm.shape[0] if norm is not None and len(norm.shape) == 1 and 0 < norm.shape[0] < queries else None


def _head_names(layer: Attention) -> tuple[str, ...]:
    side = "decoder" if "decoder" in layer.name else "encoder"
    return (f"{side}_attention_heads", "num_attention_heads", "n_head", "n_heads", "num_heads")


def _first(store: Store, layer: Attention, names: tuple[str, ...]) -> tuple[str, int | None]:
    """Return the first of the names to which config.json gives a number; lists (one per stage) are ignored."""
    config = _config(store.config, layer.name)
    for name in names:
        value = config.get(name)
        if value is None or isinstance(value, list | tuple | dict):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidInstance(
                f"expected a positive integer as {name} in config.json, got {value!r:.40}",
                layer.name,
                BELONGS,
                store.source,
            )
        return name, value
    return "", None


def _config(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the part of config.json that describes this layer, in models of several towers."""
    tower = "vision_config" if "vision" in name or "visual" in name else "text_config"
    result = config.get(tower)
    return result if isinstance(result, dict) else config
