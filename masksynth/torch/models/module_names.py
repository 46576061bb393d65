"""Names of a model's modules: which layer, which part of it; and the entries of its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def name_layer(model: Any, module: str) -> str:
    """Return ``layer 3 (Lfm2ShortConv, layer type 'conv')`` for the module with that name.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    module : str
        A name of ``model.named_modules()``.
    """
    number = next((int(part) for part in module.split(".") if part.isdigit()), None)
    kind = type(model.get_submodule(module)).__name__
    types = getattr(model.config.get_text_config(), "layer_types", None) or ()
    label = f", layer type {types[number]!r}" if number is not None and number < len(types) else ""
    return f"{'the model' if number is None else f'layer {number}'} ({kind}{label})"


def first_layer(model: torch.nn.Module) -> str:
    """Return the name of the part that may mix positions in the first layer of a model."""
    lists = [(name, part) for name, part in model.named_modules() if isinstance(part, torch.nn.ModuleList)]
    name, layers = max(lists, key=lambda pair: len(pair[1]), default=("", None))
    if not layers:
        return ""
    part = mixing_part(layers[0])
    return f"{name}.0.{part}" if part else f"{name}.0"


def mixing_part(layer: torch.nn.Module) -> str:
    """Return the name of the part of a layer that may mix positions: the first that is not a norm or a feed-forward.

    Examples
    --------
    >>> mixing_part(torch.nn.ModuleDict({"norm": torch.nn.LayerNorm(2), "conv": torch.nn.Conv1d(2, 2, 3)}))
    'conv'
    """
    position_by_position = ("norm", "mlp", "moe", "feed_forward", "dropout", "experts")
    parts = ((name, f"{name} {type(part).__name__}".lower()) for name, part in layer.named_children())
    return next((name for name, text in parts if not any(word in text for word in position_by_position)), "")


def part_of_layer(name: str) -> str:
    """Return the name of the part of a layer that holds a module: up to one word after the first number.

    Examples
    --------
    >>> part_of_layer("model.layers.3.mixer.conv.weight")
    'model.layers.3.mixer'
    """
    parts = name.split(".")
    return ".".join(parts[: next((i + 2 for i, part in enumerate(parts) if part.isdigit()), len(parts))])


def prefixes_with_number(name: str) -> list[str]:
    """Return the name up to its first number, in a list; an empty list without a number.

    Examples
    --------
    >>> prefixes_with_number("model.layers.3.mixer"), prefixes_with_number("lm_head")
    (['model.layers.3'], [])
    """
    parts = name.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    return [".".join(parts[: numbers[0] + 1])] if numbers else []


def config_entries(config: Any) -> list[tuple[str, Any]]:
    """Return all (key, value) of a config, those of nested configs included."""
    entries: list[tuple[str, Any]] = []
    queue: list[Any] = [config.to_dict()]
    while queue:
        for key, value in queue.pop().items():
            entries.append((str(key), value))
            if isinstance(value, Mapping):
                queue.append(value)
    return entries


def token_ids_of(config: Any) -> list[int]:
    """Return all token ids that a config names: of padding, beginning of text, images."""
    named = (value for key, value in config_entries(config) if key.endswith(("token_id", "token_index")))
    return [value for value in named if isinstance(value, int)]
