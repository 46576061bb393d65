"""Take wrappers off a transformers model, and warn of dropout in it."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import torch

from masksynth.errors import Unsupported


def unwrap(model: Any) -> Any:
    """Return the transformers model inside its wrappers: compiled, parallel, PEFT.

    Raises
    ------
    Unsupported
        If a wrapper prepends its own tokens to the sequence (prompt and prefix tuning).
    """
    while True:
        if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
            name = type(model).__name__
            raise Unsupported(f"{name} prepends learned tokens to the sequence, to which no merged row attends")
        inside = _unwrap_once(model)
        if inside is None:
            return model
        model = inside


def inner_model(model: Any) -> Any:
    """Return the module inside its wrappers, as ``unwrap``, whatever tokens a wrapper prepends."""
    while (inside := _unwrap_once(model)) is not None:
        model = inside
    return model


def _unwrap_once(model: Any) -> Any:
    """Return the module inside the outermost wrapper, or None if there is no wrapper."""
    if hasattr(model, "_orig_mod"):
        return model._orig_mod
    if hasattr(model, "get_base_model"):
        return model.get_base_model()
    inside = getattr(model, "module", None)
    return inside if isinstance(inside, torch.nn.Module) else None


def warn_of_dropout(model: torch.nn.Module) -> None:
    """Warn if some dropout of a model is above 0: a position that samples share is drawn once for all of them."""
    for name, module in model.named_modules():
        rates = {key: value for key, value in vars(module).items() if "dropout" in key and isinstance(value, float)}
        rates |= {"p": module.p} if isinstance(module, torch.nn.modules.dropout._DropoutNd) else {}
        for key, rate in rates.items():
            if rate > 0:
                fact = f"{name + '.' if name else ''}{key} of {type(model).__name__} is {rate:g}"
                remedy = "positions shared by samples get one draw of dropout; set dropout to 0 for exactness"
                warnings.warn(f"{fact}: {remedy}", stacklevel=_caller_level())
                return


def _caller_level() -> int:
    """Return the stack level, counted from the caller, of the first frame outside masksynth."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("masksynth."):
        level, frame = level + 1, frame.f_back
    return level
