"""Switch models to evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def evaluating(*models: torch.nn.Module | Callable[..., Any] | None) -> Iterator[None]:
    """Switch modules to evaluation mode within the context, and restore each one's own mode afterwards.

    Parameters
    ----------
    models : torch.nn.Module, callable or None
        Only modules, with all modules inside them, are switched.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 2)
    >>> with evaluating(model, print):
    ...     model.training
    False
    >>> model.training
    True
    """
    modules = [module for model in models if isinstance(model, torch.nn.Module) for module in model.modules()]
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training
