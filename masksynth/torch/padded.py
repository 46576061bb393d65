"""Lay samples out one per row, padded on the right: for models that are not exact with merged samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import index_in_row, row_of_entry
from masksynth.mask.typing import Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.torch.sample_visibility import refuse_visibility


def pad_samples(batch: PackedBatch, multiple: int = 1, causal: bool = True, pads: int = 0) -> tuple[PackedBatch, int]:
    """Return the batch with each sample's live tokens in a row of their own, and the number of rows.

    The B rows of T positions follow one another: position ``row * T + i`` is token i of sample ``row``. The mask is the
    one that a model applies to padded rows: tokens attend within their sample, and each pad to itself.

    Parameters
    ----------
    batch : PackedBatch
        Merged.
    multiple : int
        T is a multiple of this number of positions.
    causal : bool
        Whether the model's tokens attend to their earlier tokens only, or to all of their sample.
    pads : int
        Fewest pads of a row.

    Raises
    ------
    Unsupported
        If a sample has its own visibility (segments), which rows without a mask do not have.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> rows, count = pad_samples(example_batch())
    >>> rows.input_ids.reshape(count, -1), rows.loss_position
    (array([[5, 6],
            [5, 7]]), array([0, 1, 2, 3]))
    """
    live = np.diff(batch.sample_offset)
    count, width = max(len(live), 1), int(live.max(initial=1)) + pads
    width += -width % multiple
    refuse_visibility(batch, causal)
    target = row_of_entry(batch.sample_offset) * width + index_in_row(live)  # padded position of each live token

    def lay_out(values: Int64Array) -> Int64Array:
        padded = np.zeros(count * width, values.dtype)
        padded[target] = values[batch.sample_position]
        return padded

    rows: dict[str, Any] = {name: lay_out(getattr(batch, name)) for name in ("input_ids", "position_ids")}
    rows["keys"] = {name: lay_out(values) for name, values in batch.keys.items()}
    mask = _mask_of_rows(live if len(live) else np.zeros(1, np.int64), width, causal)
    loss_position = target[_find_loss_tokens(batch)]
    return replace(batch, mask=mask, sample_position=target, loss_position=loss_position, **rows), count


def _find_loss_tokens(batch: PackedBatch) -> Int64Array:
    """Return for each loss edge the entry of ``sample_position`` that is its position in its sample, (E,)."""
    size = max(batch.positions, 1)
    code = row_of_entry(batch.sample_offset) * size + batch.sample_position  # (sample, position) as one integer
    order = np.argsort(code, kind="stable")
    rank = np.searchsorted(code[order], batch.loss_sample * size + batch.loss_position)
    entries: Int64Array = order[rank]
    return entries


def _mask_of_rows(live: Int64Array, width: int, causal: bool) -> Mask:
    """Return the mask of padded rows; every row of the mask is one interval."""
    position = np.arange(len(live) * width)
    begin = position // width * width  # first position of the padded row
    is_token = position - begin < np.repeat(live, width)
    start = np.where(is_token, begin, position)
    end = position + 1 if causal else np.where(is_token, begin + np.repeat(live, width), position + 1)
    return Mask(np.arange(len(position) + 1)[None], start.astype(np.int32), end.astype(np.int32))
