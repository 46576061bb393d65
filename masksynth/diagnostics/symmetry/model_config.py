"""Look up numbers of heads and their sizes in config.json, for a layer of a model of one or several towers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from masksynth.diagnostics.symmetry.weight_store import Store
from masksynth.errors import InvalidInstance

BELONGS = "take the config.json that belongs to the weights"
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
KEY_HEADS = ("num_key_value_heads",)


def tower_config(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the part of config.json that describes this layer, in models of several towers."""
    tower = "vision_config" if "vision" in name or "visual" in name else "text_config"
    result = config.get(tower)
    return result if isinstance(result, dict) else config


def model_type(store: Store, name: str) -> str:
    """Return the type of the model or of the layer's tower; empty where config.json does not say."""
    return str(tower_config(store.config, name).get("model_type") or store.config.get("model_type") or "")


def head_names(layer: str) -> tuple[str, ...]:
    """Return the keys under which config.json may hold the number of query heads of a layer."""
    side = "decoder" if "decoder" in layer else "encoder"
    return (f"{side}_attention_heads", *HEADS)


def first_number(store: Store, layer: str, names: tuple[str, ...]) -> tuple[str, int | None]:
    """Return the first of the names to which config.json gives a number; lists (one per stage) are ignored.

    Raises
    ------
    InvalidInstance
        If the value is not a positive integer.
    """
    config = tower_config(store.config, layer)
    for name in names:
        value = config.get(name)
        if value is None or isinstance(value, list | tuple | dict):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            fact = f"expected a positive integer as {name} in config.json, got {value!r:.40}"
            raise InvalidInstance(fact, layer, BELONGS, store.source)
        ratio = config.get("head_ratio") if name in HEADS else None  # ConvBERT puts convolutions for the other heads
        return name, max(1, value // ratio) if isinstance(ratio, int) and ratio > 1 else value
    return "", None
