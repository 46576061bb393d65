"""Read how a model takes position ids: the id of the first token, dimensions, and up to which length it is exact."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from masksynth.errors import Unsupported
from masksynth.torch.models.architecture import Architecture, refuse_merging
from masksynth.torch.models.module_names import config_entries, name_layer
from masksynth.torch.models.recorded_runs import RecordedRuns
from masksynth.torch.models.tracing import TOKENS, Trace

SHIFTS = 20
"""A layer that counts positions by itself is run with counts shifted by powers of two below this one."""


def read_first_position(runs: RecordedRuns, first: Trace) -> int:
    """Return the position id that the model gives to its first token: 0, or one after the padding id as in RoBERTa.

    Parameters
    ----------
    runs : RecordedRuns
    first : Trace
        A run without position ids.
    """
    if runs.on_meta and any(_hides_offset(name, part) for name, part in runs.model.named_modules()):
        fact = f"the first position id of {runs.record.model} is not in its config"
        raise Unsupported(f"{fact}; pass the loaded model")
    if runs.on_meta or not runs.takes_positions:
        return 0
    pad = getattr(runs.model.config, "pad_token_id", None)
    offsets = [0] if not isinstance(pad, int) or pad < 0 else [0, pad + 1]
    for offset in offsets:
        shifted = runs.run_plain(position_ids=runs.positions() + offset)
        if runs.find_different_states(shifted, first) is None:
            return offset
    raise refuse_merging(f"{runs.record.model} gives its tokens other positions than 0, 1, 2, ... by itself")


def _hides_offset(name: str, module: torch.nn.Module) -> bool:
    """Return whether a module embeds positions with a padding position, after which positions begin (RoBERTa)."""
    return isinstance(module, torch.nn.Embedding) and "position" in name and module.padding_idx is not None


def read_position_limit(runs: RecordedRuns, record: Architecture) -> int | None:
    """Return the number of positions up to which layers that count them do not change; None for any number."""
    base = runs.run(record)
    if not base.counting:
        return None
    if runs.on_meta:
        where = name_layer(runs.model, sorted(base.counting)[0])
        fact = f"{where} of {record.model} counts positions by itself, and a config does not show how"
        raise Unsupported(f"{fact}; pass the loaded model")
    limit = 0
    for power in range(4, SHIFTS):
        if runs.find_different_states(runs.run(record, shift=2**power), base) is not None:
            break
        limit = 2**power
    else:
        return None
    if limit <= TOKENS:
        where = name_layer(runs.model, sorted(base.counting)[0])
        raise refuse_merging(f"{where} of {record.model} counts positions by itself")
    return limit


def read_dimensions(runs: RecordedRuns, record: Architecture) -> int:
    """Return D, the number of dimensions of the position ids: with D equal ones, states are those of one dimension."""
    sections = [value for key, value in config_entries(runs.model.config) if key == "mrope_section"]
    count = max((len(value) for value in sections if isinstance(value, Sequence)), default=1)
    if count == 1 or runs.on_meta:
        return count
    equal_dimensions = {"position_ids": runs.positions().expand(count, 1, TOKENS)}
    if runs.find_different_states(runs.run(record, equal_dimensions), runs.run(record)) is not None:
        fact = f"{record.model} has {count} dimensions of position ids"
        raise refuse_merging(f"{fact}, but does not take [{count}, 1, N]")
    return count
