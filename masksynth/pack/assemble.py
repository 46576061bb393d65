"""Pieces to batches: positions one piece after another, loss edges sample after sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import concatenate_slices, indptr
from masksynth.mask.typing import Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.pack.position_layout import Piece
from masksynth.pack.sample_columns import SampleTable


def batch_of_pieces(
    table: SampleTable,
    pieces: Sequence[Piece],
    trained: Int64Array,
    predictor: Int64Array,
    at: Int64Array,
    place: Int64Array,
) -> PackedBatch:
    """The batch of some pieces, isolated from one another.

    Parameters
    ----------
    table : SampleTable
    pieces : sequence of Piece
    trained, predictor : (E,) int64
        All trained labels of the table, rising, and the token that predicts each.
    at : (U,) int64
        Scratch, -1 at every token of these samples; filled with the tokens' positions.
    place : (U,) int64
        The position id of every token.
    """
    size = [len(piece.source) for piece in pieces]
    base = np.cumsum([0, *size])[:-1].tolist()
    source = np.concatenate([piece.source for piece in pieces])
    mask = _stacked(pieces, base)
    samples = np.sort(np.concatenate([piece.samples for piece in pieces]))
    for piece, begin in zip(pieces, base, strict=True):
        at[piece.live] = piece.position + begin
    begin, length = table.offset[samples], np.diff(table.offset)[samples]
    where = concatenate_slices(at, begin, length)
    live = where >= 0
    cut = indptr(length)
    low = np.searchsorted(trained, begin)
    many = np.searchsorted(trained, begin + length) - low
    label, asked = concatenate_slices(trained, low, many), concatenate_slices(predictor, low, many)
    owner = np.repeat(np.arange(len(samples)), many)
    weight = table.weight[samples][owner]
    fields = {name: values[label] for name, values in table.fields.items()}
    own = fields.get("weights")
    counted = indptr(live)
    dead = np.flatnonzero(~live)
    home = np.searchsorted(cut, dead, "right") - 1
    index = dead - cut[home]
    return PackedBatch(
        samples=tuple(table.ids[s] for s in samples.tolist()),
        input_ids=table.tokens[source],
        position_ids=place[source],
        mask=mask,
        loss_position=at[asked],
        loss_label=table.labels[label],
        loss_sample=owner,
        loss_weight=weight if own is None else weight * np.where(np.isnan(own), 1.0, own),
        sample_offset=counted[cut],
        sample_position=where[live],
        sample_weight=table.weight[samples],
        loss_index=label - begin[owner],
        dead_offset=(cut - counted[cut]),
        dead_index=index,
        dead_token=table.tokens[index + begin[home]],
        fields=fields,
        keys={name: values[source] for name, values in table.keys.items() if name != "position_ids"},
    )


def _stacked(pieces: Sequence[Piece], base: Sequence[int]) -> Mask:
    """The masks of the pieces down the diagonal."""
    counts = np.concatenate([np.diff(piece.row_offset) for piece in pieces])
    return Mask(
        indptr(counts)[None],
        np.concatenate([piece.key_start + np.int32(begin) for piece, begin in zip(pieces, base, strict=True)]),
        np.concatenate([piece.key_end + np.int32(begin) for piece, begin in zip(pieces, base, strict=True)]),
    )
