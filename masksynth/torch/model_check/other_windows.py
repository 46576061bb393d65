"""Run a transformers model with other windows than its own: smaller ones, larger ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

NAMES = ("sliding_window", "attention_chunk_size")
"""Under which names configurations and layers hold their window or chunk."""


@contextmanager
def other_windows(model: nn.Module, change: Callable[[int], int]) -> Iterator[None]:
    """Within it every window or chunk of a model is another one; afterwards the model is as it was.

    Whether the model then behaves so is to be read from it: a class may keep its window elsewhere.

    Parameters
    ----------
    model : nn.Module
        A transformers model.
    change : callable
        Returns the other window for a window, both in tokens.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> layer.sliding_window = 4096
    >>> with other_windows(layer, lambda window: min(window, 5)):
    ...     layer.sliding_window
    5
    >>> layer.sliding_window
    4096
    """
    configs = [config for module in model.modules() for config in _configs(getattr(module, "config", None))]
    holders = {id(each): each for each in [*configs, *model.modules()]}
    before = [(each, name, vars(each)[name]) for each in holders.values() for name in NAMES if name in vars(each)]
    sizes = [
        (each, name, value) for each, name, value in before if isinstance(value, int) and not isinstance(value, bool)
    ]
    try:
        for each, name, value in sizes:
            setattr(each, name, change(value))
        yield
    finally:
        for each, name, value in sizes:
            setattr(each, name, value)


def _configs(config: Any) -> list[Any]:
    """Return a configuration and that of the part that reads text."""
    return [] if config is None else [config, config.get_text_config()]
