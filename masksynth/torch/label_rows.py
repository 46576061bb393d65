"""Labels of a merged batch as a row beside its token ids, for losses that take one label for each position."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import Unsupported
from masksynth.mask.typing import Float64Array, Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.pack.sample_columns import IGNORED


def label_row(source: PackedBatch) -> Int64Array:
    """Return the label that each position predicts, ``(N,)``: not shifted any more, -100 where nothing is trained.

    Raises
    ------
    Unsupported
        If a position has several labels, as in layout ``loss-edges``.

    Examples
    --------
    >>> from masksynth.pack import pack_batches
    >>> rows = [{"input_ids": ids, "labels": [-100, -100, *ids[2:]]} for ids in ([5, 6, 7, 8], [5, 6, 9, 8])]
    >>> [batch] = pack_batches(rows, layout="next-token")
    >>> batch.input_ids.tolist(), label_row(batch).tolist()
    ([5, 6, 7, 6, 9], [-100, 7, 8, 9, 8])
    """
    row = np.full(source.positions, IGNORED)
    row[source.loss_position] = source.loss_label
    other = row[source.loss_position] != source.loss_label
    if other.any():
        edge = int(np.argmax(other))
        position = int(source.loss_position[edge])
        fact = f"position {position} has the labels {source.loss_label[edge]} and {row[position]}"
        raise Unsupported(f"{fact}, a row of labels has one for each position; pack with --layout next-token")
    return row


def weight_row(source: PackedBatch) -> Float64Array:
    """Return the sum of the weights of the loss edges of each position, ``(N,)``."""
    return np.bincount(source.loss_position, source.loss_weight, source.positions).astype(np.float64)


def check_unweighted(source: PackedBatch) -> None:
    """Raise if a model's own loss, in which each labelled position counts once, is not that of the samples.

    Raises
    ------
    Unsupported
        Naming the first position with another weight than 1, or with several labels.
    """
    row, weight = label_row(source), weight_row(source)
    wrong = (row != IGNORED) & (weight != 1)
    if wrong.any():
        position = int(np.argmax(wrong))
        edges = int((source.loss_position == position).sum())
        fact = f"position {position} has the weight {weight[position]:g} of {edges} loss edge{'s' * (edges != 1)}"
        remedy = "pack with --layout next-token-unweighted, or use packed_loss without labels=True"
        raise Unsupported(f"{fact}, which a model's own loss takes for 1; {remedy}")


def shift_back(rows: Tensor) -> Tensor:
    """Return labels ``[B, T]`` as models take them that shift by one themselves: entry t + 1 has the label of t.

    Examples
    --------
    >>> shift_back(torch.tensor([[7, 8, -100]]))
    tensor([[-100,    7,    8]])
    """
    return torch.cat([torch.full_like(rows[:, :1], IGNORED), rows[:, :-1]], 1)
