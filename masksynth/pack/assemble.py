"""Assemble batches from forests or pieces: positions one after another, loss edges sample after sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import concatenate_slices, indptr, repeat_index, repeat_ranges
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.pack.position_layout import Piece, build_rows, lay_out, paths_of_samples
from masksynth.pack.prefix import Forest
from masksynth.pack.sample_columns import SampleTable, key_of


@dataclass(frozen=True, eq=False)
class TableLabels:
    """Data that all batches of a table share.

    Parameters
    ----------
    trained, predictor : (E,) int64
        Flat indices of the trained labels, ascending, and of the token that predicts each.
    position : (U,) int64
        Scratch: the position of each token in the batch being assembled; -1 elsewhere.
    position_ids : (U,) int64
        Position id of each token.
    """

    trained: Int64Array
    predictor: Int64Array
    position: Int64Array
    position_ids: Int64Array


def table_labels(table: SampleTable, trained: Int64Array, predictor: Int64Array) -> TableLabels:
    """Return the shared labels of a table, no token of which has a position yet."""
    return TableLabels(trained, predictor, np.full(len(table.tokens), -1, np.int64), key_of(table, "position_ids"))


def batch_of_forest(table: SampleTable, forest: Forest, trained: Int64Array, cut: Int64Array) -> PackedBatch:
    """Return the batch of a forest of causal samples, or of consecutive ones of it, the first of which shares nothing.

    The live tokens of a sample precede its dead ones, so that all columns are copied slice by slice.

    Parameters
    ----------
    table : SampleTable
    forest : Forest
    trained, cut
        As `trained_tokens` returns them.
    """
    layout = lay_out(forest)
    offset, key_start, key_end = build_rows(layout)
    new = forest.length - forest.shared
    source = table.offset[forest.samples] + forest.shared  # the first new token of each sample
    by_index = np.argsort(forest.samples, kind="stable")
    samples, live = forest.samples[by_index], forest.length[by_index]
    sample_offset, begin = indptr(live), table.offset[samples]
    dead = np.diff(table.offset)[samples] - live
    position = repeat_ranges(*paths_of_samples(layout, forest, by_index))
    count = cut[samples + 1] - cut[samples]
    label = concatenate_slices(trained, cut[samples], count)
    keys = {name: concatenate_slices(values, source, new) for name, values in table.keys.items()}
    position_ids = keys.pop("position_ids", None)
    return PackedBatch(
        input_ids=concatenate_slices(table.tokens, source, new),
        position_ids=repeat_ranges(forest.shared, new) if position_ids is None else position_ids,
        mask=Mask(offset[None], key_start, key_end),
        # the token before the label predicts it
        loss_position=position.take(label + np.repeat(sample_offset[:-1] - begin - 1, count)),
        sample_offset=sample_offset,
        sample_position=position,
        dead_offset=indptr(dead),
        dead_index=repeat_ranges(live, dead),
        dead_token=concatenate_slices(table.tokens, begin + live, dead),
        keys=keys,
        **_label_columns(table, samples, label, count),
    )


def batch_of_pieces(table: SampleTable, pieces: Sequence[Piece], labels: TableLabels) -> PackedBatch:
    """Return the batch of some pieces, isolated from one another.

    Parameters
    ----------
    table : SampleTable
    pieces : sequence of Piece
        No token is in two batches.
    labels : TableLabels
        Its ``position`` is filled in for the tokens of the pieces.
    """
    size = [len(piece.source) for piece in pieces]
    base = np.cumsum([0, *size])[:-1].tolist()  # first position of each piece
    source = np.concatenate([piece.source for piece in pieces])
    samples = np.sort(np.concatenate([piece.samples for piece in pieces]))
    for piece, first in zip(pieces, base, strict=True):
        labels.position[piece.live] = piece.position + first
    begin, length = table.offset[samples], np.diff(table.offset)[samples]
    position = concatenate_slices(labels.position, begin, length)  # position of each token, -1 for dead ones
    live = position >= 0
    offset, live_before = indptr(length), indptr(live)
    low = np.searchsorted(labels.trained, begin)  # first trained label of each sample
    count = np.searchsorted(labels.trained, begin + length) - low
    label, predictor = (concatenate_slices(column, low, count) for column in (labels.trained, labels.predictor))
    dead_index, dead_token = _find_dead(table, begin, offset, live)
    return PackedBatch(
        input_ids=table.tokens[source],
        position_ids=labels.position_ids[source],
        mask=_stack_masks(pieces, base),
        loss_position=labels.position[predictor],
        sample_offset=live_before[offset],
        sample_position=position[live],
        dead_offset=(offset - live_before[offset]),
        dead_index=dead_index,
        dead_token=dead_token,
        keys={name: values[source] for name, values in table.keys.items() if name != "position_ids"},
        **_label_columns(table, samples, label, count),
    )


def _label_columns(table: SampleTable, samples: Int64Array, label: Int64Array, count: Int64Array) -> dict[str, Any]:
    """Return the fields of a batch that its loss edges and samples have, whatever its positions.

    Parameters
    ----------
    table : SampleTable
    samples : (S,) int64
    label : (E,) int64
        Flat index of each trained label, sample after sample.
    count : (S,) int64
        Number of labels of each sample.
    """
    weight = np.repeat(table.weight[samples], count)
    fields = {name: values[label] for name, values in table.fields.items()}
    if (token_weight := fields.get("weights")) is not None:
        weight = weight * np.where(np.isnan(token_weight), 1.0, token_weight)
    return {
        "samples": tuple([table.ids[s] for s in samples.tolist()]),
        "sample_weight": table.weight[samples],
        "loss_label": table.labels.take(label),
        "loss_sample": repeat_index(count),
        "loss_weight": weight,
        "loss_index": label - np.repeat(table.offset[samples], count),
        "fields": fields,
    }


def _find_dead(
    table: SampleTable, begin: Int64Array, offset: Int64Array, live: BoolArray
) -> tuple[Int64Array, Int64Array]:
    """Return the index in its sample, and the token id, of each dead token of a batch.

    Parameters
    ----------
    table : SampleTable
    begin : (s,) int64
        Flat index in the table of the first token of each sample.
    offset : (s + 1,) int64
        Row pointers of the samples into ``live``.
    live : (u,) bool
        Whether each token of the samples is live.
    """
    dead = np.flatnonzero(~live)
    home = np.searchsorted(offset, dead, "right") - 1  # sample of each dead token
    index = dead - offset[home]
    return index, table.tokens[index + begin[home]]


def _stack_masks(pieces: Sequence[Piece], base: Sequence[int]) -> Mask:
    """Return the block-diagonal mask of the masks of the pieces; piece i begins at position ``base[i]``."""
    counts = np.concatenate([np.diff(piece.row_offset) for piece in pieces])
    return Mask(
        indptr(counts)[None],
        np.concatenate([piece.key_start + np.int32(first) for piece, first in zip(pieces, base, strict=True)]),
        np.concatenate([piece.key_end + np.int32(first) for piece, first in zip(pieces, base, strict=True)]),
    )
