"""Refuse models in which something other than attention mixes positions, or counts them."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import Unsupported
from masksynth.torch.models.architecture import Architecture, refuse_merging
from masksynth.torch.models.module_names import (
    config_entries,
    mixing_part,
    name_layer,
    part_of_layer,
    prefixes_with_number,
)
from masksynth.torch.models.opaque_attention import longest_run
from masksynth.torch.models.recorded_runs import RecordedRuns
from masksynth.torch.models.tracing import TOKENS, Trace


def refuse_unseen_layers(runs: RecordedRuns, first: Trace) -> None:
    """Refuse layers that never call the attention interface, where no run with values shows what they do."""
    names = {id(module): name for name, module in runs.model.named_modules()}
    used = [names[id(call.module)] for call in first.calls]
    stacks = {name.rpartition(".")[0] for part in used for name in prefixes_with_number(part)}
    for stack in stacks:
        for number, layer in enumerate(runs.model.get_submodule(stack)):
            name = f"{stack}.{number}"
            if runs.on_meta and not any(part == name or part.startswith(name + ".") for part in used):
                part = mixing_part(layer)
                where = name_layer(runs.model, f"{name}.{part}" if part else name)
                raise refuse_merging(f"{where} does not go through attention")


def refuse_mixing(runs: RecordedRuns, record: Architecture) -> None:
    """Refuse what moves the rows of other tokens although attention mixes nothing."""
    middle = TOKENS // 2
    ids = runs.ids()
    ids[0, middle] = ids[0, (middle + 1) % TOKENS]
    base = runs.run(record)
    if not all(bool(torch.isfinite(output).all()) for output in base.outputs.values()):
        fact = f"{record.model} gives outputs that are not finite on {TOKENS} plain tokens"
        raise Unsupported(f"{fact}; look for NaN among its weights")
    moved = runs.run(record, {"input_ids": ids}, base=base).moved
    if moved:  # modules complete before the module that holds them: the first is the innermost
        where = name_layer(runs.model, part_of_layer(moved[0]))
        raise refuse_merging(f"{where} of {record.model} mixes positions without a mask")


def refuse_counting(runs: RecordedRuns, record: Architecture) -> None:
    """Refuse what depends on the index of a token in the sequence in addition to its position id."""
    if not runs.takes_positions:
        raise refuse_merging(f"{record.model} does not take position_ids, which branches of a merged batch need")
    base, ids, positions = runs.run(record), runs.ids(), runs.positions() + record.first_position
    reversed_run = runs.run(record, {"input_ids": ids.flip(1), "position_ids": positions.flip(1)})
    where = runs.find_difference(reversed_run, base, _reverse)
    if where is not None:
        raise refuse_merging(f"{where} of {record.model} counts positions by itself instead of reading position_ids")
    count = longest_run(config_entries(runs.model.config)) // TOKENS
    repeated_run = runs.run(record, {"input_ids": ids.repeat(1, count), "position_ids": positions.repeat(1, count)})
    where = runs.find_difference(repeated_run, base, partial(_repeat, count))
    if where is not None:
        fact = f"{where} of {record.model} treats a token differently in a longer sequence"
        raise Unsupported(f"{fact}; use Collator(model=model, merge=False) on batches of one sample")


def _reverse(values: Tensor, dim: int) -> Tensor:
    return values.flip(dim)


def _repeat(count: int, values: Tensor, dim: int) -> Tensor:
    return torch.cat([values] * count, dim)


def refuse_convolutions(model: Any, called: Collection[str]) -> None:
    """Refuse convolutions and recurrences in layers that text runs through; their weights may hide that they mix.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    called : collection of str
        Names of the modules that a run on text called.
    """
    for name, module in model.named_modules():
        holder = name.rpartition(".")[0]
        if not any(part.isdigit() for part in name.split(".")) or holder not in called:
            continue
        if isinstance(module, (torch.nn.modules.conv._ConvNd, torch.nn.RNNBase)) and _kernel_size(module) > 1:
            where = f"{name_layer(model, holder)} of {type(model).__name__}"
            raise refuse_merging(f"{where} mixes positions without a mask")


def _kernel_size(module: Any) -> int:
    """Return how many neighbours a convolution reads; 2 for a recurrence, which reads all."""
    return int(np.prod(module.kernel_size)) if hasattr(module, "kernel_size") else 2
