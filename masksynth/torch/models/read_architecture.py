"""Read from a loaded transformers model what a merged batch must know of it, or refuse the model by name.

Nothing is concluded from the name of a class. The model is run on a few tokens with recorders in place of its attention
(``tracing``), and the record states: which tokens each layer attends to by the model's own masks; whether one mask
tensor reaches every layer, a mapping by layer type, or neither; how many dimensions the position ids have. A model in
which anything but attention mixes positions, or which counts positions by itself, is refused with the layer's index and
type.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch.models.architecture import (
    IMPLEMENTATIONS,
    KINDS,
    REGISTERED,
    VARLEN,
    Architecture,
    refuse_merging,
)
from masksynth.torch.models.build_model import build_from_config
from masksynth.torch.models.evaluation_mode import evaluating
from masksynth.torch.models.first_weight import first_weight
from masksynth.torch.models.mixing import refuse_convolutions, refuse_counting, refuse_mixing, refuse_unseen_layers
from masksynth.torch.models.module_names import config_entries, first_layer, name_layer
from masksynth.torch.models.opaque_attention import read_opaque_attention
from masksynth.torch.models.own_masks import read_mask_argument, read_reaches
from masksynth.torch.models.own_positions import read_dimensions, read_first_position, read_position_limit
from masksynth.torch.models.padded_runs import read_padded
from masksynth.torch.models.recorded_runs import ROUNDING, RecordedRuns
from masksynth.torch.models.transformers_version import require_transformers
from masksynth.torch.models.unwrap import unwrap, warn_of_dropout
from masksynth.torch.models.varlen_attention import refuse_layers


def read_architecture(model: Any, merge: bool = True) -> Architecture:
    """Return the record of a loaded transformers model.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Or a wrapper of one: DistributedDataParallel, FullyShardedDataParallel, a compiled module, a PEFT model.
    merge : bool
        Whether samples share positions. If false, only what a padded batch needs is read, and no layer is refused.

    Raises
    ------
    InvalidInstance
        If the object is not a transformers model.
    Unsupported
        Naming what cannot be exact in a merged batch.

    Examples
    --------
    >>> from transformers import MistralConfig, MistralForCausalLM
    >>> shape = dict(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    >>> config = MistralConfig(**shape, num_key_value_heads=1, sliding_window=5, attn_implementation="sdpa")
    >>> record = read_architecture(MistralForCausalLM(config))
    >>> record.attention, record.mask_argument, [str(reach) for reach in record.layers]
    ('sdpa', 'tensor', ['causal, window 5', 'causal, window 5'])
    """
    plain = unwrap(model)
    config = _check_model(plain)
    warn_of_dropout(plain)
    record = _read_by_runs(plain, _read_without_runs(plain, config, merge))
    if merge and str(config.get_text_config()._attn_implementation) == VARLEN:
        refuse_layers(record)
        record = replace(record, attention="varlen", mask_argument="tensor")  # one plan; layers have their own windows
    return record


def architecture_of_config(config: Any, attention: str | None = None, merge: bool = True) -> Architecture:
    """Return the record of the model that a config describes, built without its weights.

    Parameters
    ----------
    config : transformers.PreTrainedConfig
    attention : {"sdpa", "eager", "flex"}, optional
        By default the attention that the config names, or sdpa.
    merge : bool
        As in ``read_architecture``.

    Raises
    ------
    InvalidInstance
        If the object is not a config of a known class, or the attention is unknown.
    Unsupported
        Naming what cannot be exact, or what a model without values does not show.
    """
    require_transformers()
    configured = str(getattr(config, "_attn_implementation", None)).removeprefix(REGISTERED)
    attention = attention or KINDS.get(configured, "sdpa")
    if attention not in IMPLEMENTATIONS:
        raise InvalidInstance(f"unknown attention {attention!r}", "", f"use one of {', '.join(IMPLEMENTATIONS)}")
    plain = build_from_config(config, IMPLEMENTATIONS[attention])
    warn_of_dropout(plain)
    return _read_by_runs(plain, _read_without_runs(plain, plain.config, merge))


def _check_model(model: Any) -> Any:
    """Return the config of a model; raise if it is not a decoder or an encoder of transformers."""
    transformers = require_transformers()
    config = getattr(model, "config", None)
    if not isinstance(model, torch.nn.Module) or not isinstance(config, transformers.PreTrainedConfig):
        remedy = 'pass a transformers model, or use Collator("sdpa", attention_window=...) without one'
        raise InvalidInstance(f"expected a transformers model, got {type(model).__name__}", "", remedy)
    if getattr(config, "is_encoder_decoder", False):
        raise Unsupported(f"{type(model).__name__} is an encoder-decoder: a merged batch is one sequence")
    return config


def _read_without_runs(model: Any, config: Any, merge: bool) -> Architecture:
    """Return the part of the record that needs no run: attention, dtype, rotary limits."""
    name = str(config.get_text_config()._attn_implementation)
    kind = "sdpa" if name == VARLEN else KINDS.get(name.removeprefix(REGISTERED))  # it takes the masks of sdpa, too
    if kind is None and merge:
        remedy = "load the model with attn_implementation='sdpa', 'eager' or 'flex_attention'"
        raise Unsupported(f"attention {name!r} of {type(model).__name__} does not support masks of pairs; {remedy}")
    limit, switch = _read_rope_limit(config.get_text_config())
    weight = first_weight(model)
    return Architecture(
        model=type(model).__name__,
        attention=kind or "sdpa",
        dtype=torch.float32 if weight is None else weight.dtype,
        mask_argument="registered" if name.startswith(REGISTERED) else "tensor",
        rope_limit=limit,
        rope_switch=switch,
        merge=merge,
        router_loss="output_router_logits" in inspect.signature(model.forward).parameters,
    )


def _read_rope_limit(config: Any) -> tuple[int | None, bool]:
    """Return (length above which rotary frequencies change, whether they are the same for all such lengths)."""
    parameters = getattr(config, "rope_parameters", None) or {}
    by_layer_type = [value for value in parameters.values() if isinstance(value, Mapping)] or [parameters]
    limits, kinds = [], set()
    for rope in by_layer_type:
        if rope.get("rope_type") in ("dynamic", "longrope"):
            kinds.add(rope["rope_type"])
            key = "original_max_position_embeddings"
            limits.append(rope.get(key) or getattr(config, key, None) or config.max_position_embeddings)
    return min(limits, default=None), kinds == {"longrope"} and len(set(limits)) == 1


def _read_by_runs(model: Any, record: Architecture) -> Architecture:
    """Complete the record with what runs on a few tokens show; refuse what they do not explain."""
    runs = RecordedRuns(model, record)
    return _read_merged(runs) if record.merge else read_padded(runs)


def _read_merged(runs: RecordedRuns) -> Architecture:
    """Run the model several times; each refusal names a layer."""
    try:
        first = runs.run_plain()
    except Unsupported:
        refuse_convolutions(runs.model, {name for name, _ in runs.model.named_modules()})  # a clearer reason, if any
        raise
    refuse_convolutions(runs.model, first.called)
    if not first.calls:
        return _read_opaque(runs)
    refuse_unseen_layers(runs, first)
    layers = read_reaches(runs.record.model, first)
    record = replace(runs.record, layers=layers, first_position=read_first_position(runs, first))
    argument, tables = read_mask_argument(runs, record)
    record = replace(record, mask_argument=argument, tables=tables)
    if not runs.on_meta:
        refuse_mixing(runs, record)
        refuse_counting(runs, record)
    return replace(
        record, position_limit=read_position_limit(runs, record), position_dimensions=read_dimensions(runs, record)
    )


def _read_opaque(runs: RecordedRuns) -> Architecture:
    """Read a model whose attention does not go through the interface of transformers."""
    model, record = runs.model, runs.record
    if runs.on_meta:
        fact = f"{record.model} has its own attention code, which a config does not show"
        raise Unsupported(f"{fact}; pass the loaded model")
    if record.attention == "flex":
        raise refuse_merging(f"{record.model} has its own attention code, which does not take a BlockMask")
    with evaluating(model):
        reach = read_opaque_attention(
            model,
            additive=record.attention == "eager",
            ids=runs.ids()[0],
            tolerance=ROUNDING.get(record.dtype, 1e-1),
            entries=config_entries(model.config),
        )
    if isinstance(reach, str):
        raise refuse_merging(f"{name_layer(model, first_layer(model))} of {record.model} {reach}")
    count = model.config.get_text_config().num_hidden_layers
    return replace(record, layers=(reach,) * count, tables=(str(reach),) * count)
