"""Run a transformers model with other windows than its own: shorter or longer ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

WINDOW_NAMES = ("sliding_window", "attention_chunk_size")
"""Attributes of configs and layers that hold their window or chunk, in tokens."""


@contextmanager
def changed_windows(model: nn.Module, change: Callable[[int], int]) -> Iterator[None]:
    """Change every window or chunk of a model within the context, and restore it afterwards.

    Read the model again to see whether it then behaves so: a class may keep its window elsewhere.

    Parameters
    ----------
    model : nn.Module
        A transformers model.
    change : callable
        Returns the new window for a window, both in tokens.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> layer.sliding_window = 4096
    >>> with changed_windows(layer, lambda window: min(window, 5)):
    ...     layer.sliding_window
    5
    >>> layer.sliding_window
    4096
    """
    configs = [config for module in model.modules() for config in _configs(getattr(module, "config", None))]
    holders = {id(holder): holder for holder in [*configs, *model.modules()]}
    windows = [
        (holder, name, vars(holder)[name])
        for holder in holders.values()
        for name in WINDOW_NAMES
        if type(vars(holder).get(name)) is int
    ]
    try:
        for holder, name, size in windows:
            setattr(holder, name, change(size))
        yield
    finally:
        for holder, name, size in windows:
            setattr(holder, name, size)


def _configs(config: Any) -> list[Any]:
    """Return a config and the config of the part that reads text."""
    return [] if config is None else [config, config.get_text_config()]
