"""Attach hooks to a module that copies and files of the module do not have."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

HOOKS = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
)
"""Where torch keeps the hooks of a module, by their number."""
STATE, HOLDER = "__getstate__", "_masksynth_fold"


def attach(
    module: torch.nn.Module, before: Callable[..., Any] | None, after: Callable[..., Any], holder: object = None
) -> Callable[[], None]:
    """Call ``before(module, args, kwargs)`` and ``after(module, args, kwargs, output)``; return what detaches them.

    ``deepcopy``, ``pickle`` and ``torch.save`` copy the module without these two hooks.

    Parameters
    ----------
    module : torch.nn.Module
    before : callable or None
        A pre-forward hook with keyword arguments.
    after : callable
        A forward hook with keyword arguments.
    holder : object
        Whose hooks they are, for ``holder_of``.
    """
    handles = [module.register_forward_hook(after, with_kwargs=True)]
    if before is not None:
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
    numbers = {handle.id for handle in handles}

    def state() -> dict[str, Any]:
        kept = {name: value for name, value in vars(module).items() if name not in (STATE, HOLDER)}
        for name in HOOKS:
            kept[name] = OrderedDict((key, hook) for key, hook in kept[name].items() if key not in numbers)
        return kept

    vars(module)[HOLDER] = holder
    vars(module)[STATE] = state  # copy and pickle ask the instance first

    def detach() -> None:
        for handle in handles:
            handle.remove()
        for name in (STATE, HOLDER):
            vars(module).pop(name, None)

    return detach


def holder_of(module: torch.nn.Module) -> object:
    """Return whose hooks are on a module; None if there are none."""
    return vars(module).get(HOLDER)


def is_attached(module: torch.nn.Module) -> bool:
    """Return whether hooks of ``attach`` are on a module."""
    return STATE in vars(module)
