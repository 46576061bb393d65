"""Build the transformers model that a config describes, to read it without its weights."""

from __future__ import annotations

import copy
from typing import Any

import torch

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch.models.transformers_version import require_transformers

SMALL = 50_000_000
"""Configs of up to this many parameters become a model with random weights; larger ones a model without values."""


def build_from_config(config: Any, implementation: str) -> Any:
    """Build the model of a config: its class by ``architectures``, else the causal model, else the base model.

    A large model has no values (it is on the meta device).

    Parameters
    ----------
    config : transformers.PreTrainedConfig
        Left as it is.
    implementation : {"sdpa", "eager", "flex_attention"}
    """
    transformers = require_transformers()
    if not isinstance(config, transformers.PreTrainedConfig):
        raise InvalidInstance(f"expected a transformers config, got {type(config).__name__}", "", "pass model.config")
    with_values = copy.deepcopy(config)
    with_values._attn_implementation = implementation
    without_values = copy.deepcopy(with_values)
    without_values._experts_implementation = "batched_mm"  # other implementations of experts read values
    with torch.device("meta"):
        model = _build(transformers, without_values)
    if sum(parameter.numel() for parameter in model.parameters()) > SMALL:
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _build(transformers, with_values)


def _build(transformers: Any, config: Any) -> Any:
    """Return the model that the first suitable class builds from a config."""
    classes = [getattr(transformers, name, None) for name in getattr(config, "architectures", None) or ()]
    automatic = (transformers.AutoModelForCausalLM.from_config, transformers.AutoModel.from_config)
    reason = "it has no known class"
    for build in (*(kind._from_config for kind in classes if kind is not None), *automatic):
        try:
            return build(copy.deepcopy(config)).eval()
        except (ValueError, ImportError) as error:
            reason = str(error).strip().split("\n")[0]
    raise Unsupported(f"transformers cannot build a model from {type(config).__name__}: {reason}")
