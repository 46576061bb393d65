"""Find query and key weights in a checkpoint by the names of its tensors and config.json.

A Linear layer stores [out, in] and its outputs are x W^T; a Conv1D stores [in, out].
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from masksynth.diagnostics.symmetry.attention_parts import Attention, check_matrix, whole
from masksynth.diagnostics.symmetry.fused_layouts import FUSED, fused_layers
from masksynth.diagnostics.symmetry.latent_layout import KEYS, latent_layers
from masksynth.diagnostics.symmetry.model_config import BELONGS, KEY_HEADS, first_number, head_names
from masksynth.diagnostics.symmetry.weight_store import Store
from masksynth.errors import InvalidInstance

PAIRS = (
    ("BERT", "query", "key"),
    ("DistilBERT", "q_lin", "k_lin"),
    ("Llama", "q_proj", "k_proj"),
    ("T5", "SelfAttention.q", "SelfAttention.k"),
)
CROSS = re.compile(
    r"cross|encoder_attn|EncDecAttention|encoder_decoder_attention|multihead_attn\.|visual_attention|x_attn\."
    r"|token_to_image|image_to_token|\.assign\.|pre_assign_attn"  # from one sequence or group to another
    r"|(^|\.)head\.(attention\.)?(in_proj|[qk]_proj|query|key)|global_pointer"  # heads that pool or point
    r"|linear_attn\.",  # convolutions lie between the weights and the scores
    re.IGNORECASE,
)
"""Names of queries and keys that are not two readings of one input by self-attention."""
LOOKED_FOR = ", ".join(
    [
        *(f"*{query}.weight + *{key}.weight" for _, query, key in PAIRS),
        *("*" + ending.replace("\\", "") for _, ending in FUSED),
        f"*{KEYS}",
    ]
)
QUANTISED = re.compile(
    r"\.(qweight|qzeros|SCB|weight_scale(_inv)?|weight\.(absmax|quant_map)|weight\.quant_state\.\w+)$"
)

ADAPTER = re.compile(r"\.(base_layer|lora_\w+|ia3_\w+|hada_\w+|lokr_\w+|oft_\w+|vera_\w+)(\.|$)")
"""Parts of the names of adapters' weights, and of the weights that they are added to."""


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
        If no layout is known, weights are missing, quantised or have adapters, shapes or config.json do not fit, or
        grouped queries come without a head size.
    """
    quantised = next((name for name in store.entries if QUANTISED.search(name)), None)
    if quantised is not None:
        raise InvalidInstance("belongs to quantised weights", quantised, "dequantise the weights first", store.source)
    adapter = next((name for name in store.entries if ADAPTER.search(name)), None)
    if adapter is not None:
        remedy = "merge it first: PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(folder)"
        raise InvalidInstance("belongs to an adapter, which is added to other weights", adapter, remedy, store.source)
    _check_promised(store)
    result = sorted(
        [*_pairs(store), *fused_layers(store, CROSS, head_dim), *latent_layers(store, CROSS)],
        key=lambda layer: natural(layer.name),
    )
    if not result:
        fact = f"no layer of a known layout among {len(store.entries)} tensors: looked for {LOOKED_FOR}"
        raise InvalidInstance(fact, "", "rename the weights, or give W_q and W_k as arrays", store.source)
    return tuple(_with_heads(store, layer, head_dim) for layer in result)


def _check_promised(store: Store) -> None:
    """Raise InvalidInstance for queries or keys that the index of a checkpoint lists and its shards do not have."""
    endings = [re.escape(side) + r"\.weight" for _, *sides in PAIRS for side in sides] + [ending for _, ending in FUSED]
    looked_for = re.compile(rf"(^|[._])({'|'.join(endings)})$")
    absent = sorted(name for name in store.promised - set(store.entries) if looked_for.search(name))
    if absent:
        fact = f"is in the index and in no shard, as are {len(absent)} queries and keys in all"
        raise InvalidInstance(fact, absent[0], "fetch the shards again", store.source)


def without_partner(store: Store, layers: tuple[Attention, ...]) -> list[str]:
    """Return the names of queries of self-attention without keys of the same layer, and of keys without queries.

    Examples
    --------
    >>> from masksynth.diagnostics.symmetry import store_of
    >>> without_partner(store_of({"h.0.q_proj.weight": [[1.0]], "h.0.v_proj.weight": [[1.0]]}), ())
    ['h.0.q_proj.weight']
    """
    used = {part.name for layer in layers for part in (layer.query, layer.key)}
    return [
        name
        for _, *sides in PAIRS
        for side in sides
        for name in store.entries
        if re.search(rf"(^|\.){re.escape(side)}\.weight$", name) and not CROSS.search(name) and name not in used
    ]


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key under which layer 10 comes after layer 9.

    Examples
    --------
    >>> sorted(["h.10", "h.9"], key=natural)
    ['h.9', 'h.10']
    """
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"\.", name)]


def _pairs(store: Store) -> Iterator[Attention]:
    for kind, query, key in PAIRS:
        for name in store.entries:
            stem = name.removesuffix(f"{query}.weight")
            partner = f"{stem}{key}.weight"
            if stem == name or (stem and not stem.endswith(".")) or partner not in store.entries or CROSS.search(name):
                continue
            shapes = check_matrix(store, name), check_matrix(store, partner)
            if shapes[0][1] != shapes[1][1]:
                raise InvalidInstance(
                    f"W_q {shapes[0]} and W_k {shapes[1]} read inputs of two sizes", name, "", store.source
                )
            yield Attention(_stem(stem), kind, whole(name, shapes[0][0]), whole(partner, shapes[1][0]))


def _stem(stem: str) -> str:
    return stem.rstrip(".") or "attention"


def _with_heads(store: Store, layer: Attention, head_dim: int | None) -> Attention:
    """Add H and G to a layer; both 0 where they are unknown and every query has a key of its own."""
    if layer.heads:
        return layer
    queries, keys = layer.query.size, layer.key.size
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
        (head_names(layer.name), layer.heads, "query"),
        (KEY_HEADS, layer.key_heads, "key"),
    ):
        name, configured = first_number(store, layer.name, names)
        if configured is not None and configured != result:
            fact = f"the weights have {result} {what} heads of {width}, and config.json gives {name} {configured}"
            raise InvalidInstance(fact, layer.name, f"{BELONGS}, or give --head-dim", store.source)


def _head_dim(store: Store, layer: Attention, queries: int) -> int | None:
    _, width = first_number(store, layer.name, ("head_dim", "d_kv"))
    _, heads = first_number(store, layer.name, head_names(layer.name))
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
