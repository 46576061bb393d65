"""Position ids of one or several dimensions, and up to which length a model is exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask.csr import index_in_row
from masksynth.pack.batch import PackedBatch
from masksynth.pack.dimensions import further_dimensions
from masksynth.torch.models.architecture import Architecture


def position_names(source: PackedBatch, given: Sequence[str], record: Architecture | None) -> tuple[str, ...]:
    """Return the keys that are the second and additional dimensions of the position ids.

    Parameters
    ----------
    source : PackedBatch
    given : sequence of str
        The keys as the user names them; by default those of samples whose ``position_ids`` are several lists.
    record : Architecture or None
        The record of the model.

    Raises
    ------
    InvalidInstance
        If a key is missing, or the model takes another number of dimensions.
    """
    for name in given:
        if name not in source.keys:
            keys = ", ".join(source.keys) or "none"
            fact = f"position key {name!r} is not among the keys of the batch ({keys})"
            raise InvalidInstance(fact, "", "pack with that key field")
    names = tuple(given) or further_dimensions(source.keys)
    if record is None or not record.merge:
        return names
    count = record.position_dimensions
    if names and len(names) + 1 != count:
        takes = f"{record.model} takes position ids of {count} dimension{'s' * (count > 1)}"
        fact = f"{takes}, the samples have {len(names) + 1}"
        raise InvalidInstance(fact, "", "pack position_ids as the model's processor returns them")
    others = [name for name in source.keys if name != "kinds"]
    if not names and count > 1 and others:
        takes = f"{record.model} takes position ids of {count} dimensions"
        fact = f"{takes}, and it is not known whether {', '.join(others)} are among them"
        remedy = f"pass {count - 1} names as Collator(position_keys=...), or pack position_ids as {count} lists"
        raise InvalidInstance(fact, "", remedy)
    return names


def stack_positions(dimensions: Sequence[Tensor], rows: int, count: int) -> Tensor:
    """Return position ids as a model takes them: ``[B, T]``, or ``[D, B, T]`` for D dimensions.

    Parameters
    ----------
    dimensions : sequence of (N,) Tensor
        The position ids, and additional dimensions where samples have them.
    rows : int
        B, the number of rows.
    count : int
        Number of dimensions that the model takes; where samples have one, all are equal to it.

    Examples
    --------
    >>> stack_positions([torch.tensor([0, 1, 1])], 1, 3).shape
    torch.Size([3, 1, 3])
    """
    count = max(len(dimensions), count)
    shaped = [dimension.reshape(rows, -1) for dimension in dimensions]
    if count == 1:
        return shaped[0]
    return torch.stack(shaped if len(shaped) == count else shaped * count)


def has_default_positions(source: PackedBatch) -> bool:
    """Return whether the position ids of all samples count their tokens from 0, as a model does by default."""
    live, dead = np.diff(source.sample_offset), np.diff(source.dead_offset)
    inner = source.dead_index < np.repeat(live, dead)  # a dead token before a live one: position ids skip it
    counted = np.array_equal(source.position_ids[source.sample_position], index_in_row(live))
    return bool(not inner.any() and counted and not further_dimensions(source.keys))


def check_limits(source: PackedBatch, record: Architecture) -> None:
    """Refuse a batch in which the model treats some token differently than in its sample alone.

    Raises
    ------
    Unsupported
        For more positions than a layer that counts them by itself allows, or samples below and above the length at
        which the model's rotary frequencies change.
    """
    if record.position_limit is not None and source.positions > record.position_limit:
        most = f"expected at most {record.position_limit}, got {source.positions}"
        fact = f"some layer of {record.model} counts positions by itself: {most}"
        remedy = f"pack with --max-length {record.position_limit}, or use Collator(model=model, merge=False)"
        raise Unsupported(f"{fact}; {remedy}")
    if record.rope_limit is None or not len(source.samples):
        return
    # largest position id of each sample; the appended 0 keeps reduceat in range for empty samples at the end
    last = np.maximum.reduceat(np.append(source.position_ids[source.sample_position], 0), source.sample_offset[:-1])
    length = np.maximum(np.diff(source.sample_offset) + np.diff(source.dead_offset), last + 1)
    all_beyond = record.rope_switch and min(length.min(), last.max() + 1) > record.rope_limit
    if length.max() > record.rope_limit and not all_beyond:
        longest = source.samples[int(length.argmax())]
        fact = f"rotary frequencies of {record.model} depend on the longest sequence above {record.rope_limit} tokens"
        remedy = (
            "pack samples of such lengths separately, and use Collator(model=model, merge=False) with batches of one"
        )
        raise Unsupported(f"{fact}, and sample {longest!r} has {length.max()}; {remedy}")
