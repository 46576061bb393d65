"""Merge the samples of a table in memory into batches: merge, distribute, lay out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import indptr, segment_sums
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.assemble import batch_of_pieces, batches_of_forest, table_labels
from masksynth.pack.batch import PackedBatch
from masksynth.pack.fill_batches import fill_batches, units_of
from masksynth.pack.freed_memory import keep_freed_memory
from masksynth.pack.holdings import holdings_of_sets
from masksynth.pack.label_layout import LabelLayout, layout_codes, refuse_samples
from masksynth.pack.label_runs import label_runs, live_lengths
from masksynth.pack.position_sets import forest_of_sets, piece_of_samples, positions_of_samples, unite_sets
from masksynth.pack.prefix import Forest, forest_of, group_codes
from masksynth.pack.regrow import regrow
from masksynth.pack.sample_columns import IGNORED, SampleTable, select
from masksynth.pack.search_batches import Search
from masksynth.pack.segment_columns import spans_of
from masksynth.pack.segments import merge_segments
from masksynth.pack.subforests import count_positions, split_forest
from masksynth.pack.visibility import CAUSAL, Segment

Grouping = Literal["together", "split", "separate"]
"""What a group means: its samples are in one batch if they fit; nothing; or that nothing is shared across groups."""


def choose_grouping(split_groups: bool, separate_groups: bool) -> Grouping:
    """Return the grouping that two options state; raise if both are given."""
    if split_groups and separate_groups:
        fact = "split_groups and separate_groups contradict each other"
        raise InvalidInstance(fact, "", "give one of them")
    return "split" if split_groups else "separate" if separate_groups else "together"


def batches_of(
    table: SampleTable,
    max_length: int,
    grouping: Grouping = "together",
    search: Search | None = None,
    layout: LabelLayout = "loss-edges",
) -> Iterator[tuple[SampleTable, Int64Array, PackedBatch]]:
    """Yield the batches of a window's samples, each with its table and the indices of its samples there.

    Samples of one batch share positions, whether they have segments or not. No sample may have more than ``max_length``
    live tokens.

    Parameters
    ----------
    table : SampleTable
    max_length : int
        Maximum number of positions in a batch.
    grouping : str
        ``together``: a group is in one batch if it fits into one, and otherwise each of its samples is on its own.
        ``split``: each sample is on its own. ``separate``: as ``together``, and nothing is shared across groups.
    search : Search, optional
        The search for batches of fewer positions where a lower bound is not reached. Default: a short one.
    layout : str
        Whether a position may have several labels.

    Raises
    ------
    InvalidInstance
        Naming a sample that the layout cannot express.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> rows = [[1, 2, 3], [1, 2, 4]]
    >>> [table] = tables_of({"id": i, "input_ids": ids, "labels": [-100, *ids[1:]]} for i, ids in enumerate(rows))
    >>> [(_, samples, batch)] = batches_of(table, 100)
    >>> batch, batch.input_ids.tolist(), batch.loss_position.tolist(), batch.loss_label.tolist()
    (PackedBatch(2 samples, 2 positions, 4 loss edges), [1, 2], [0, 1, 0, 1], [2, 3, 2, 4])
    """
    if len(table) == 0:  # all samples of the window were left out
        return
    keep_freed_memory()
    refuse_samples(table, layout)
    merge = _merge_segmented if has_segments(table) else partial(_merge_causal, layout=layout)
    yield from ((table, samples, batch) for samples, batch in merge(table, max_length, grouping, search or Search()))


def count_shared_positions(table: SampleTable, samples: Int64Array, grouping: Grouping) -> int:
    """Return the positions of some causal samples in one batch of layout ``loss-edges``.

    Parameters
    ----------
    table : SampleTable
    samples : (s,) int64
    grouping : str
        As for `batches_of`.
    """
    part = table if len(samples) == len(table) else select(table, samples)
    key = np.array(group_codes(part), np.int64) if grouping == "separate" else None
    forest = forest_of(part, live_lengths(part, label_runs(part)), key)
    return int((forest.length - forest.shared).sum())


def count_live_tokens(table: SampleTable) -> Int64Array:
    """Return the number of live tokens of each sample, each of which has a position in the sample's own pass.

    A causal sample takes as many in a batch. One with segments may take more, where a row holds equal tokens several
    times, or fewer, where equal tokens of a ``self`` segment share a position.
    """
    if any(segments is not None for segments in table.segments):
        return segment_sums(spans_of(table).live, table.offset)
    return live_lengths(table, label_runs(table))


def is_too_long(table: SampleTable, max_length: int) -> BoolArray:
    """Return whether each sample has more live tokens than a batch has positions."""
    if int(np.diff(table.offset).max(initial=0)) <= max_length:
        return np.zeros(len(table), bool)
    return count_live_tokens(table) > max_length


def refuse_long(table: SampleTable, long: BoolArray, max_length: int) -> None:
    """Raise for the first sample that is too long."""
    sample = int(np.argmax(long))
    live = count_live_tokens(table)[sample]
    fact = f"sample {table.ids[sample]!r} has {live} tokens that labels depend on, a batch holds {max_length}"
    remedy = "raise --max-length, or give --skip-long to leave such samples out"
    raise InvalidInstance(fact, "", remedy, table.place[sample])


def has_segments(table: SampleTable) -> bool:
    """Return whether some sample is not causal: a single causal segment says what a sample without segments does.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> row = {"input_ids": [1, 2], "labels": [-100, 2]}
    >>> for segments in ([{"length": 2}], [{"length": 2, "within": "full"}], [{"length": 1}, {"length": 1}]):
    ...     [table] = tables_of([row, {**row, "segments": segments}])
    ...     has_segments(table)
    False
    True
    True
    """
    if table.segments.count(None) == len(table):
        return False
    for sample, segments in enumerate(table.segments):
        if segments is None:
            continue
        begin, end = table.offset[sample : sample + 2].tolist()
        # the first label of a segment has no predictor, which the merge of segments refuses
        plain = begin == end or table.labels[begin] == IGNORED
        if not plain or segments != (Segment(0, end - begin, (), CAUSAL, 0, "next", -1),):
            return True
    return False


def _codes_of_groups(table: SampleTable, grouping: Grouping) -> Int64Array:
    """Return the code of each sample's group, -1 for samples that are on their own."""
    if grouping == "split":
        return np.full(len(table), -1, np.int64)
    codes: dict[Any, int] = {None: -1}
    return np.array([codes.setdefault(name, len(codes) - 1) for name in table.groups], np.int64)


def _split_by_batch(batch: Int64Array) -> list[Int64Array]:
    """Return the samples of each batch, ascending, in the order of their first ones; ``batch`` is that of each."""
    parts = np.split(np.argsort(batch, kind="stable"), np.cumsum(np.bincount(batch))[:-1])
    return sorted(parts, key=lambda part: int(part[0]))


def _merge_causal(
    table: SampleTable, max_length: int, grouping: Grouping, search: Search, layout: LabelLayout
) -> Iterator[tuple[Int64Array, PackedBatch]]:
    """Yield (indices of the samples, batch) for a table of causal samples."""
    labels = label_runs(table)
    key = np.array(group_codes(table), np.int64) if grouping == "separate" else None
    length = live_lengths(table, labels)
    forest = forest_of(table, length, key, layout_codes(table, length, key, layout))
    if int((forest.length - forest.shared).sum()) <= max_length:
        yield from batches_of_forest(table, forest, np.array([0, len(table)]), labels)
        return
    group = _codes_of_groups(table, grouping)[forest.samples]
    unit = units_of(group, count_positions(forest, group + 1)[1:], max_length)
    batch = fill_batches(forest, unit, max_length, search)
    batch = _number_by_first(batch, forest.samples)
    rank, shared = split_forest(forest, batch)
    forest = Forest(forest.samples[rank], forest.length[rank], shared)
    yield from batches_of_forest(table, forest, indptr(np.bincount(batch)), labels)


def _number_by_first(batch: Int64Array, samples: Int64Array) -> Int64Array:
    """Return the batches numbered in the order of their first samples.

    Parameters
    ----------
    batch, samples : (S,) int64
        Batch of each sample of a forest, and its index in the table.
    """
    first = np.full(int(batch.max()) + 1, len(samples), np.int64)
    np.minimum.at(first, batch, samples)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[batch]


def _merge_segmented(
    table: SampleTable, max_length: int, grouping: Grouping, search: Search
) -> Iterator[tuple[Int64Array, PackedBatch]]:
    """Yield (indices of the samples, batch) for a table with segments; samples without are one causal segment."""
    spans = spans_of(table)
    merged = merge_segments(table, grouping == "separate")
    labels = table_labels(table, spans.trained, spans.predictor)
    if len(merged.source) <= max_length:
        yield merged.samples, batch_of_pieces(table, [merged], labels)
        return
    needed = positions_of_samples(table, merged)
    _refuse_copies(table, np.diff(needed.offset), max_length)
    group = _codes_of_groups(table, grouping)
    sizes = np.diff(unite_sets(needed, group + 1).offset)[1:]
    unit = units_of(group, sizes, max_length)
    sets = unite_sets(needed, unit)
    forest = forest_of_sets(sets)
    batch = np.empty(len(forest.samples), np.int64)
    batch[forest.samples] = fill_batches(forest, np.arange(len(batch)), max_length)
    # the forest has some positions more than once
    batch = regrow(holdings_of_sets(sets), batch, max_length, len(merged.source), search)
    for samples in _split_by_batch(batch[unit]):
        yield samples, batch_of_pieces(table, [piece_of_samples(table, merged, needed, samples)], labels)


def _refuse_copies(table: SampleTable, positions: Int64Array, max_length: int) -> None:
    """Raise for a sample that fits by its tokens, but not with the copies that equal tokens in one row need."""
    if (positions > max_length).any():
        sample = int(np.argmax(positions > max_length))
        fact = f"sample {table.ids[sample]!r} needs {positions[sample]} positions, a batch holds {max_length}"
        raise InvalidInstance(fact, "", "raise --max-length", table.place[sample])
