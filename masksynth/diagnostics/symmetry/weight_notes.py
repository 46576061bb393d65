"""Say what the scores of a checkpoint leave out: positions, norms of queries and keys, and what was assumed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from masksynth.diagnostics.symmetry.attention_parts import Attention
from masksynth.diagnostics.symmetry.checkpoint_layout import without_partner
from masksynth.diagnostics.symmetry.model_config import tower_config
from masksynth.diagnostics.symmetry.weight_files import PART
from masksynth.diagnostics.symmetry.weight_store import Store

ROTARY = "rotary position embeddings{where}: the scores are those of the part without positions"
ROTARY_KEYS = ("rope_theta", "rope_parameters", "rope_scaling", "rotary_dim", "rotary_pct", "global_rope_theta")
ROTARY_TYPES = ("falcon", "gpt_neox", "llama", "roformer")
"""Types whose config.json, or whose older one, has none of these keys."""
TURNED_IN_WINDOWS = ("cohere2", "exaone4", "exaone_moe", "afmoe", "beam", "flint", "kolibri1")
"""Types that turn queries and keys only in layers with a window, where config.json lists such layers."""
FLAT = "c_attn [3d, d] without a model_type in config.json: taken for all queries, then all keys"
LATENT = "latent attention: the scores are those of the part without positions, without each token's scale in the norms"
NORMED = "queries and keys are normalised before they meet: the scores are those of the weights alone"
NORMS = ("q_norm", "q_layernorm")
NORM_KEYS = ("use_qk_norm", "qk_norm", "qk_layernorm", "qk_scale_factor")
"""Keys of config.json for norms, which may have no weights."""
SHORTENED = "keys read shortened sequences in {few} of {all} layers: there queries and keys have different inputs"
SHORTENERS = tuple(
    f"{name}.weight" for name in ("sr", "spatial_reduction", "sequence_reduction", "sequence_reduction.layer_norm")
)
"""Names of what shortens them, beside the queries of a layer."""
STACKS = "layers of {count} stacks, {names}: medians are over all of them"
PARTIAL = "shard {part} of {all}: layers in the others are not scored"
UNPAIRED = "left out: {count} queries without keys of their layer, or keys without queries, {first} first"
FEWER = (
    "{found} layers with attention weights, and config.json gives {name} {all}: "
    "others share these, have none, or are missing"
)
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def weight_notes(store: Store, layers: tuple[Attention, ...]) -> tuple[str, ...]:
    """Return what holds of the layers of a checkpoint and does not show in their scores, one line each."""
    config = {**store.config, **tower_config(store.config, "")}
    normed = any(f"{layer.name}.{norm}.weight" in store.entries for layer in layers for norm in NORMS)
    normed = normed or any(bool(config.get(key)) for key in NORM_KEYS)
    flat = not config.get("model_type") and any(layer.kind == "GPT-2" and layer.query.axis == 0 for layer in layers)
    latent = any(layer.key.inner for layer in layers)
    shortened = sum(any(f"{layer.name}.{name}" in store.entries for name in SHORTENERS) for layer in layers)
    stacks = list(dict.fromkeys(re.split(r"\.\d+(\.|$)", layer.name)[0] for layer in layers))
    shard, lonely = PART.search(store.source), without_partner(store, layers)
    others = (
        (PARTIAL.format(part=int(shard[1]), all=int(shard[2])) if shard else "", shard),
        (UNPAIRED.format(count=len(lonely), first=lonely[0]) if lonely else "", lonely),
        (NORMED, normed),
        (LATENT, latent),
        (FLAT, flat),
        (SHORTENED.format(few=shortened, all=len(layers)), shortened),
        (STACKS.format(count=len(stacks), names=", ".join(stacks[:4])), len(stacks) > 1),
    )
    fewer = _fewer_layers(config, len(layers)) if len(stacks) == 1 and not shard else []
    return (*_rotary_note(config, list(store.entries)), *fewer, *(note for note, holds in others if holds))


def _fewer_layers(config: Mapping[str, Any], found: int) -> list[str]:
    """Return the note on a config.json that gives more layers than there are attention weights for."""
    name = next((name for name in LAYERS if isinstance(config.get(name), int)), None)
    return [FEWER.format(found=found, name=name, all=config[name])] if name and config[name] > found else []


def _rotary_note(config: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return the note on rotary embeddings, with a number of layers where only some have them; none without them."""
    kind = config.get("position_embedding_type")
    known = any(key in config for key in ROTARY_KEYS) or any(name.endswith("inv_freq") for name in names)
    if isinstance(kind, str):
        known = kind in ("rotary", "rope")
    if not (known or config.get("model_type") in ROTARY_TYPES) or config.get("alibi"):
        return []
    turned = _turned_layers(config)
    if turned is None or all(turned):
        return [ROTARY.format(where="")]
    return [ROTARY.format(where=f" in {sum(turned)} of {len(turned)} layers")] if any(turned) else []


def _turned_layers(config: Mapping[str, Any]) -> list[bool] | None:
    """Return for each layer whether it has rotary embeddings; None where config.json does not tell layers apart."""
    listed, kinds = config.get("no_rope_layers"), config.get("layer_types")
    if isinstance(listed, list) and listed:
        return [bool(one) for one in listed]  # despite its name, 1 stands for a layer with them
    if config.get("model_type") in TURNED_IN_WINDOWS and config.get("sliding_window") and isinstance(kinds, list):
        return [kind == "sliding_attention" for kind in kinds]
    return None
