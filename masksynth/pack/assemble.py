"""Assemble batches from forests or pieces: positions one after another, loss edges sample after sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import concatenate_slices, indptr, repeat_index, repeat_ranges
from masksynth.mask.typing import BoolArray, Float64Array, Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.pack.label_runs import Runs, slice_rows, take_rows
from masksynth.pack.position_layout import Layout, Piece, build_mask, lay_out, paths_of_samples, slice_layout
from masksynth.pack.prefix import Forest, slice_forest
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


def batches_of_forest(
    table: SampleTable, forest: Forest, cut: Int64Array, labels: Runs
) -> Iterator[tuple[Int64Array, PackedBatch]]:
    """Yield (indices of the samples, batch) for consecutive parts of a forest of causal samples.

    The live tokens of a sample precede its dead ones, so that all columns are copied run by run: what follows from
    samples and runs is computed once for all parts, and only the arrays of a batch are as long as its tokens.

    Parameters
    ----------
    table : SampleTable
    forest : Forest
    cut : (B + 1,) int64
        Part b has the samples ``cut[b] <= i < cut[b + 1]`` of the forest, at least one; the first shares nothing.
    labels : Runs
        As `label_runs` returns them.
    """
    layout = lay_out(forest)
    by_index = np.lexsort((forest.samples, repeat_index(np.diff(cut))))  # part after part
    samples, length = forest.samples[by_index], forest.length[by_index]
    paths = paths_of_samples(layout, forest, by_index)
    trained = take_rows(labels, samples)
    after = table.offset[samples] + length  # the first dead token of each sample
    dead = table.offset[samples + 1] - after
    dead_offset, dead_index = indptr(dead), repeat_ranges(length, dead)
    dead_token = concatenate_slices(table.tokens, after, dead)
    for low, high in pairwise(cut.tolist()):
        chosen, offset = samples[low:high], indptr(length[low:high])
        dead_part = slice(int(dead_offset[low]), int(dead_offset[high]))
        columns = _position_columns(table, slice_layout(layout, low, high), slice_forest(forest, low, high))
        path = slice_rows(paths, low, high)
        position = repeat_ranges(path.start - layout.first[layout.block[low]], path.count)
        yield (
            chosen,
            PackedBatch(
                **columns,
                **_edge_columns(table, chosen, slice_rows(trained, low, high), position, offset),
                samples=tuple([table.ids[s] for s in chosen.tolist()]),
                sample_weight=table.weight[chosen],
                sample_offset=offset,
                sample_position=position,
                dead_offset=dead_offset[low : high + 1] - dead_part.start,
                dead_index=dead_index[dead_part].copy(),
                dead_token=dead_token[dead_part].copy(),
            ),
        )


def _position_columns(table: SampleTable, layout: Layout, forest: Forest) -> dict[str, Any]:
    """Return the fields of a batch that its positions have."""
    new = forest.length - forest.shared
    source = table.offset[forest.samples] + forest.shared  # the first new token of each sample
    keys = {name: concatenate_slices(values, source, new) for name, values in table.keys.items()}
    position_ids = keys.pop("position_ids", None)
    return {
        "input_ids": concatenate_slices(table.tokens, source, new),
        "position_ids": repeat_ranges(forest.shared, new) if position_ids is None else position_ids,
        "mask": build_mask(layout),
        "keys": keys,
    }


def _edge_columns(
    table: SampleTable, samples: Int64Array, trained: Runs, position: Int64Array, offset: Int64Array
) -> dict[str, Any]:
    """Return the fields of a batch of causal samples that its loss edges have.

    Parameters
    ----------
    table : SampleTable
    samples : (S,) int64
    trained : Runs
        Flat indices of the trained labels of each sample.
    position : (U,) int64
        Position of each live token.
    offset : (S + 1,) int64
        Row pointers of the samples into ``position``.
    """
    start, count = trained.start, trained.count
    sample = repeat_index(np.diff(trained.cut))  # of each run
    index = start - table.offset[samples[sample]]
    weight = np.repeat(table.weight[samples[sample]], count)
    fields = {name: concatenate_slices(values, start, count) for name, values in table.fields.items()}
    return {
        # the token before the label predicts it
        "loss_position": concatenate_slices(position, offset[sample] + index - 1, count),
        "loss_label": concatenate_slices(table.labels, start, count),
        "loss_sample": np.repeat(sample, count),
        "loss_weight": _times_token_weights(weight, fields),
        "loss_index": repeat_ranges(index, count),
        "fields": fields,
    }


def _times_token_weights(weight: Float64Array, fields: Mapping[str, Float64Array]) -> Float64Array:
    """Return the sample's weight of each loss edge times the token's, where one is given."""
    token_weight = fields.get("weights")
    return weight if token_weight is None else weight * np.where(np.isnan(token_weight), 1.0, token_weight)


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
    fields = {name: values[label] for name, values in table.fields.items()}
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
        samples=tuple([table.ids[s] for s in samples.tolist()]),
        sample_weight=table.weight[samples],
        loss_label=table.labels.take(label),
        loss_sample=repeat_index(count),
        loss_weight=_times_token_weights(np.repeat(table.weight[samples], count), fields),
        loss_index=label - np.repeat(begin, count),
        fields=fields,
    )


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
