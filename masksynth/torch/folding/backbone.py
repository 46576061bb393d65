"""Find the module below the heads of a model, through the wrappers that trainers put around it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from masksynth.errors import InvalidInstance
from masksynth.torch.models.unwrap import inner_model


class Found(NamedTuple):
    """A backbone, and the transformers model around it.

    Parameters
    ----------
    backbone : torch.nn.Module
    outer : torch.nn.Module or None
        The model whose forward must call the backbone; None if the backbone itself is called.
    """

    backbone: torch.nn.Module
    outer: torch.nn.Module | None


def find_backbone(model: Any, backbone: torch.nn.Module | str | None, foreign: bool = False) -> Found:
    """Return the module that gives hidden states, below all heads.

    Parameters
    ----------
    model : torch.nn.Module
        A transformers model, a module that contains one (a value head, a Lightning module), or a wrapper of them:
        compiled, DistributedDataParallel, FullyShardedDataParallel, PEFT.
    backbone : torch.nn.Module, str or None
        The module, or its name within the unwrapped model.
    foreign : bool
        Whether the backbone is not of transformers; it must be named.

    Raises
    ------
    InvalidInstance
        If there is no such module, or several.
    """
    if not isinstance(model, torch.nn.Module):
        raise InvalidInstance(f"expected a torch.nn.Module, got {type(model).__name__}", "", "pass the loaded model")
    plain = inner_model(model)
    if isinstance(backbone, str):
        return Found(_by_name(plain, backbone), plain)
    if backbone is not None:
        if not any(part is backbone for part in plain.modules()):
            fact = f"backbone: {type(backbone).__name__} is not a module of {type(plain).__name__}"
            raise InvalidInstance(fact, "", "pass a module of the model, or its name")
        return Found(backbone, plain if backbone is not plain else None)
    if foreign:
        raise InvalidInstance("masks= without a backbone", "", "pass backbone=, the module that takes these masks")
    outer = _transformers_model(plain)
    base = _below_heads(outer)
    return Found(base, outer if base is not outer else None)


def _below_heads(outer: Any) -> torch.nn.Module:
    """Return the base model of a transformers model; where that is the model itself (Llama 4), what embeds tokens."""
    model: Any = outer
    base: torch.nn.Module = model.base_model
    if base is outer and model.get_output_embeddings() is not None:
        embedding = model.get_input_embeddings()
        inside: list[torch.nn.Module] = [
            part for part in outer.children() if is_transformers(part) and embedding in list(part.modules())
        ]
        base = inside[0] if len(inside) == 1 else outer
    return base


def _by_name(plain: torch.nn.Module, name: str) -> torch.nn.Module:
    try:
        return plain.get_submodule(name)
    except AttributeError:
        names = ", ".join(part for part, _ in plain.named_children())
        fact = f"backbone: {type(plain).__name__} has no module {name!r}"
        raise InvalidInstance(fact, "", f"its modules are {names}") from None


def _transformers_model(plain: torch.nn.Module) -> Any:
    """Return the transformers model that a module is or contains."""
    models = _outermost(plain)
    if len(models) == 1:
        return models[0][1]
    remedy = "pass backbone= and masks="
    if not models:
        raise InvalidInstance(f"{type(plain).__name__} has no transformers model in it", "", remedy)
    names = " and ".join(name for name, _ in models[:2])
    raise InvalidInstance(f"{type(plain).__name__} has several models, {names}", "", "fold one of them")


def _outermost(plain: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """Return the transformers models in a module that are in no other one, with their names."""
    found = list[tuple[str, torch.nn.Module]]()
    queue: list[tuple[str, torch.nn.Module]] = [("", plain)]
    while queue:
        name, module = queue.pop(0)
        if is_transformers(module):
            found.append((name, module))
        else:
            queue += [(f"{name}.{part}".strip("."), inner_model(child)) for part, child in module.named_children()]
    return found


def is_transformers(module: Any) -> bool:
    """Return whether a module is a model of transformers with a config."""
    return hasattr(module, "config") and hasattr(module, "base_model") and hasattr(module.config, "to_dict")


def inner_models(model: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """Return the transformers models inside a model, with their names, from the outermost inwards."""
    return [(name, part) for name, part in model.named_modules() if name and is_transformers(part)]


def not_called(outer: torch.nn.Module, backbone: torch.nn.Module) -> str:
    """Return what is wrong if a model ran without calling its folded backbone, and which one to fold instead."""
    inside = [name for name, part in inner_models(outer) if part is not backbone]
    remedy = f"pass backbone={inside[-1]!r}" if inside else "pass the module that it calls as backbone="
    fact = f"{type(outer).__name__} ran without calling its {type(backbone).__name__}, which is folded"
    return f"{fact}: nothing was merged; {remedy}"


def headed_model(outer: torch.nn.Module, backbone: torch.nn.Module) -> torch.nn.Module:
    """Return the transformers model with the head over a backbone: what was found, or the one in it that has both."""
    if is_transformers(outer):
        return outer
    inside = [part for _, part in _outermost(outer) if part is not backbone and backbone in list(part.modules())]
    return inside[0] if inside else outer
