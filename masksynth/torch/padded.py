"""Batches of separate samples, one a row, padded on the right: for models that no mask makes right when merged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.pack.batch import PackedBatch


def pad_samples(batch: PackedBatch, multiple: int = 1, causal: bool = True) -> tuple[PackedBatch, int]:
    """Return the batch with each sample's live tokens in a row of their own, and the number of rows.

    The B rows of T positions stand one behind the other: position ``row * T + i`` is token i of sample ``row``. The
    mask says what a model computes on padded rows: its own tokens, and each pad itself.

    Parameters
    ----------
    batch : PackedBatch
        Merged.
    multiple : int
        T is a multiple of it.
    causal : bool
        Whether the model's tokens see their earlier tokens only, or all of their sample.

    Raises
    ------
    Unsupported
        If a sample has a visibility of its own, which rows without a mask do not have.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> rows, count = pad_samples(example_batch())
    >>> rows.input_ids.reshape(count, -1), rows.loss_position
    (array([[5, 6],
            [5, 7]]), array([0, 1, 2, 3]))
    """
    live = np.diff(batch.sample_offset)
    count, width = max(len(live), 1), int(live.max(initial=1))
    width += -width % multiple
    _refuse_visibility(batch, live, causal)
    ordinal = np.arange(len(batch.sample_position)) - np.repeat(batch.sample_offset[:-1], live)
    place = np.repeat(np.arange(len(live)), live) * width + ordinal
    arrays: dict[str, Any] = {}
    for name in ("input_ids", "position_ids"):
        values = getattr(batch, name)
        arrays[name] = np.zeros(count * width, values.dtype)
        arrays[name][place] = values[batch.sample_position]
    keys = {}
    for name, values in batch.keys.items():
        keys[name] = np.zeros(count * width, values.dtype)
        keys[name][place] = values[batch.sample_position]
    mask = _mask_of_rows(live if len(live) else np.zeros(1, np.int64), width, causal)
    loss_position = place[_occurrence(batch)]
    rows = replace(batch, mask=mask, sample_position=place, loss_position=loss_position, keys=keys, **arrays)
    return rows, count


def _occurrence(batch: PackedBatch) -> NDArray[np.int64]:
    """Return for each loss edge where its sample has its position: an index into ``sample_position``."""
    owner = np.repeat(np.arange(len(batch.samples)), np.diff(batch.sample_offset))
    code = owner * max(batch.positions, 1) + batch.sample_position  # one number for each (sample, position)
    order = np.argsort(code, kind="stable")
    found = np.searchsorted(code[order], batch.loss_sample * max(batch.positions, 1) + batch.loss_position)
    result: NDArray[np.int64] = order[found]
    return result


def _mask_of_rows(live: NDArray[np.int64], width: int, causal: bool) -> Mask:
    """Return the mask of padded rows; every row of the mask is one interval."""
    at = np.arange(len(live) * width)
    begin = at // width * width
    real = at - begin < np.repeat(live, width)
    start = np.where(real, begin, at)
    end = at + 1 if causal else np.where(real, begin + np.repeat(live, width), at + 1)
    return Mask(np.arange(len(at) + 1)[None], start.astype(np.int32), end.astype(np.int32))


def _refuse_visibility(batch: PackedBatch, live: NDArray[np.int64], causal: bool) -> None:
    """Refuse samples whose rows are not what the model computes without a mask."""
    keys = np.zeros(batch.positions, np.int64)
    query = np.repeat(np.arange(batch.positions), np.diff(batch.mask.row_offset[0]))
    np.add.at(keys, query, batch.mask.key_end.astype(np.int64) - batch.mask.key_start)
    ordinal = np.arange(len(batch.sample_position)) - np.repeat(batch.sample_offset[:-1], live)
    expected = ordinal + 1 if causal else np.repeat(live, live)
    inner = batch.dead_index < np.repeat(live, np.diff(batch.dead_offset))  # dead tokens before a live one
    wrong = np.flatnonzero(keys[batch.sample_position] != expected)
    home = np.repeat(np.arange(len(live)), np.diff(batch.dead_offset))
    samples = [*(np.searchsorted(batch.sample_offset, wrong[:1], "right") - 1), *home[inner][:1]]
    if samples:
        name = batch.samples[int(samples[0])]
        fact = f"sample {name!r} has a visibility of its own (segments)"
        raise Unsupported(f"{fact}, which a padded row without a mask does not have")
