"""Position ids of one or several dimensions, and up to which positions a model is exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.pack.batch import PackedBatch
from masksynth.pack.dimensions import further_dimensions
from masksynth.torch.architecture import Architecture

if TYPE_CHECKING:
    from masksynth.torch.packed_dataset import TrainingBatch


def position_names(source: PackedBatch, given: Sequence[str], record: Architecture | None) -> tuple[str, ...]:
    """Return the keys that are the second and further dimensions of the position ids.

    Parameters
    ----------
    source : PackedBatch
    given : sequence of str
        As the user names them; by default those that samples with ``position_ids`` of several lists have.
    record : Architecture or None
        Of the model.

    Raises
    ------
    InvalidInstance
        If a key is missing, or the model takes another number of dimensions.
    """
    for name in given:
        if name not in source.keys:
            known = ", ".join(source.keys) or "none"
            fact = f"position key {name!r} is not in the batch, which has {known}"
            raise InvalidInstance(fact, "", "pack with that key field")
    names = tuple(given) or further_dimensions(source.keys)
    if record is None or not record.merge:
        return names
    count = record.position_dimensions
    if names and len(names) + 1 != count:
        takes = f"{record.model} takes position ids of {count} dimension{'s' * (count > 1)}"
        fact = f"{takes}, the samples have {len(names) + 1}"
        raise InvalidInstance(fact, "", "pack position_ids as the model's processor gives them")
    others = [name for name in source.keys if name != "kinds"]
    if not names and count > 1 and others:
        takes = f"{record.model} takes position ids of {count} dimensions"
        fact = f"{takes}, and nothing says whether {', '.join(others)} are among them"
        remedy = f"give Collator(position_keys=...) {count - 1} names, or pack position_ids as {count} lists"
        raise InvalidInstance(fact, "", remedy)
    return names


def stack_positions(batch: TrainingBatch) -> Tensor:
    """Return the position ids as the model takes them: ``[B, T]``, or ``[D, B, T]`` of D dimensions."""
    record, first = batch.architecture, batch.position_ids
    if record is not None and record.first_position and default_positions(batch.source):
        first = first + record.first_position
    dimensions = [first, *(batch.keys[name] for name in batch.position_names)]
    count = max(len(dimensions), record.position_dimensions if record is not None else 1)
    shaped = [dimension.reshape(batch.rows, -1) for dimension in dimensions]
    if count == 1:
        return shaped[0]
    return torch.stack(shaped if len(shaped) == count else shaped * count)  # text alone: all dimensions are equal


def default_positions(source: PackedBatch) -> bool:
    """Return whether the position ids of all samples count their tokens from 0, as a model does by itself."""
    live, dead = np.diff(source.sample_offset), np.diff(source.dead_offset)
    inner = source.dead_index < np.repeat(live, dead)  # dead tokens before a live one: positions jump
    ordinal = np.arange(len(source.sample_position)) - np.repeat(source.sample_offset[:-1], live)
    same = np.array_equal(source.position_ids[source.sample_position], ordinal)
    return bool(not inner.any() and same and not further_dimensions(source.keys))


def check_limits(source: PackedBatch, record: Architecture) -> None:
    """Refuse a batch in which the model treats some token otherwise than in its sample alone.

    Raises
    ------
    Unsupported
        For more positions than a layer that counts them by itself allows, or samples on both sides of the length from
        which the model's rotary frequencies change.
    """
    if record.position_limit is not None and source.positions > record.position_limit:
        fact = f"some layer of {record.model} counts positions by itself, and the batch has {source.positions}"
        remedy = f"pack with --max-length {record.position_limit}, or use Collator(model=model, merge=False)"
        raise Unsupported(f"{fact}; {remedy}")
    if record.rope_limit is None or not len(source.samples):
        return
    last = np.maximum.reduceat(np.append(source.position_ids[source.sample_position], 0), source.sample_offset[:-1])
    length = np.maximum(np.diff(source.sample_offset) + np.diff(source.dead_offset), last + 1)
    all_beyond = record.rope_switch and min(length.min(), last.max() + 1) > record.rope_limit
    if length.max() > record.rope_limit and not all_beyond:
        longest = source.samples[int(length.argmax())]
        fact = f"rotary frequencies of {record.model} depend on the longest sequence from {record.rope_limit} tokens on"
        remedy = "pack samples of such lengths apart, and use Collator(model=model, merge=False) with batches of one"
        raise Unsupported(f"{fact}, and sample {longest!r} has {length.max()}; {remedy}")
