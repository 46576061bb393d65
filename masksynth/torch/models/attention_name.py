"""Let a model run under another name of the attention interface for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def attention_named(model: torch.nn.Module, name: str) -> Iterator[None]:
    """Let all configs of a model name another attention, unchecked, and restore each one's own afterwards.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    name : str
        Of a registered attention.
    """
    configs: dict[int, Any] = {id(part.config): part.config for part in model.modules() if hasattr(part, "config")}
    configs = {key: config for key, config in configs.items() if hasattr(config, "_attn_implementation_internal")}
    before = {key: config._attn_implementation_internal for key, config in configs.items()}
    try:
        for config in configs.values():
            config._attn_implementation_internal = name
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation_internal = before[key]
