"""The merged batches of a table of samples in memory: merge, cut, pack, lay out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.assemble import batch_of_pieces
from masksynth.pack.batch import PackedBatch
from masksynth.pack.bins import Slice, bins_of, sizes_of, slices_of
from masksynth.pack.position_layout import Piece, lay_out
from masksynth.pack.prefix import Forest, forest_of, group_codes, live_lengths, trained_tokens
from masksynth.pack.sample_columns import SampleTable, key_of, select
from masksynth.pack.segment_columns import spans_of
from masksynth.pack.segments import merge_segments


def batches_of(table: SampleTable, max_length: int) -> Iterator[tuple[SampleTable, Int64Array, PackedBatch]]:
    """(table, indices of the samples, batch) for each batch of a window's samples.

    Samples merge within their group; those without a group merge all together. A batch holds samples whose groups have segments, or
    samples whose groups do not. No sample may have more than ``max_length`` live tokens.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> rows = [[1, 2, 3], [1, 2, 4]]
    >>> [table] = tables_of({"id": i, "input_ids": ids, "labels": [-100, *ids[1:]]} for i, ids in enumerate(rows))
    >>> [(_, samples, batch)] = batches_of(table, 100)
    >>> batch, batch.input_ids.tolist(), batch.loss_position.tolist(), batch.loss_label.tolist()
    (PackedBatch(2 samples, 2 positions, 4 loss edges), [1, 2], [0, 1, 0, 1], [2, 3, 2, 4])
    """
    segmented = _segmented(table)
    for part, pack in ((np.flatnonzero(~segmented), _causal), (np.flatnonzero(segmented), _with_segments)):
        if len(part):
            sub = table if len(part) == len(table) else select(table, part)
            yield from ((sub, samples, batch) for samples, batch in pack(sub, max_length))


def live_counts(table: SampleTable) -> Int64Array:
    """How many tokens of each sample are live: no less than the positions that the sample alone takes."""
    if any(part is not None for part in table.segments):
        live = spans_of(table).live
        return np.add.reduceat(np.append(live, False).astype(np.int64), table.offset[:-1]) * (np.diff(table.offset) > 0)
    return live_lengths(table, *trained_tokens(table))


def too_long(table: SampleTable, max_length: int) -> BoolArray:
    """Which samples have more live tokens than a batch has positions."""
    return live_counts(table) > max_length


def refuse_long(table: SampleTable, long: BoolArray, max_length: int) -> None:
    """Raise for the first sample that is too long."""
    sample = int(np.argmax(long))
    fact = f"sample {table.ids[sample]!r} has {live_counts(table)[sample]} tokens that labels depend on, a batch holds {max_length}"
    raise InvalidInstance(
        fact, "", "raise --max-length, or give --skip-long to leave such samples out", table.place[sample]
    )


def _segmented(table: SampleTable) -> BoolArray:
    groups = {group for group, part in zip(table.groups, table.segments, strict=True) if part is not None}
    return np.array([group in groups for group in table.groups], bool)


def _causal(table: SampleTable, max_length: int) -> Iterator[tuple[Int64Array, PackedBatch]]:
    trained, cut = trained_tokens(table)
    forest = forest_of(table, live_lengths(table, trained, cut))
    slices = slices_of(forest, _openings(table, forest), max_length)
    at, place = np.full(len(table.tokens), -1, np.int64), key_of(table, "position_ids")
    first = [int(forest.samples[a:b].min()) for a, b in slices]
    order = sorted(range(len(slices)), key=first.__getitem__)
    sizes = sizes_of(forest, slices).tolist()
    for items in bins_of([sizes[i] for i in order], max_length):
        piece = lay_out(table, _gathered(forest, [slices[order[i]] for i in items]))
        yield piece.samples, batch_of_pieces(table, [piece], trained, trained - 1, at, place)


def _openings(table: SampleTable, forest: Forest) -> Int64Array:
    """Where a new item begins: at each new group, and at each new tree of the samples without a group."""
    codes = np.array(group_codes(table), np.int64)[forest.samples]
    nobody = np.array([group is None for group in table.groups], bool)[forest.samples]
    opens = np.ones(len(codes), bool)
    opens[1:] = (codes[1:] != codes[:-1]) | (nobody[1:] & (forest.shared[1:] == 0))
    return np.flatnonzero(opens)


def _gathered(forest: Forest, slices: Sequence[Slice]) -> Forest:
    """Slices of a forest side by side, each isolated from the others."""
    samples, length, shared = (
        np.concatenate([column[a:b] for a, b in slices]) for column in (forest.samples, forest.length, forest.shared)
    )
    shared[np.cumsum([0, *(b - a for a, b in slices)])[:-1]] = 0
    return Forest(samples, length, shared)


def _with_segments(table: SampleTable, max_length: int) -> Iterator[tuple[Int64Array, PackedBatch]]:
    spans = spans_of(table)
    if any(group is None for group in table.groups):
        table = replace(table, groups=_units(table))
    order = np.argsort(np.array(group_codes(table)), kind="stable")
    pieces = sorted(_pieces(table, order, max_length), key=lambda piece: int(piece.samples[0]))
    at, place = np.full(len(table.tokens), -1, np.int64), key_of(table, "position_ids")
    for items in bins_of([len(piece.source) for piece in pieces], max_length):
        chosen = [pieces[i] for i in items]
        samples = np.sort(np.concatenate([piece.samples for piece in chosen]))
        yield samples, batch_of_pieces(table, chosen, spans.trained, spans.predictor, at, place)


def _units(table: SampleTable) -> tuple[Any, ...]:
    """The groups, where samples without one get a number that those share which have a position in common, over any number of samples."""
    whole, _ = merge_segments(table)
    sample = np.searchsorted(table.offset, whole.live, "right") - 1
    unit = np.arange(len(table))
    while True:
        least = np.full(len(whole.source), len(table), np.int64)
        np.minimum.at(least, whole.position, unit[sample])
        lower = unit.copy()
        np.minimum.at(lower, sample, least[whole.position])
        if np.array_equal(lower, unit):
            break
        unit = lower
    return tuple(
        ("unit", number) if group is None else group for group, number in zip(table.groups, unit.tolist(), strict=True)
    )


def _pieces(table: SampleTable, which: Int64Array, max_length: int) -> Iterator[Piece]:
    """One piece a group, each of at most ``max_length`` positions; a larger group is cut between samples that share little."""
    sub = select(table, which)
    whole, group = merge_segments(sub)
    codes = np.array(group_codes(sub), np.int64)
    for number in range(int(codes.max()) + 1):
        members = np.flatnonzero(codes == number)
        low, high = np.searchsorted(group, [number, number + 1]).tolist()
        if high - low <= max_length:
            yield _moved(table, sub, which, _group_piece(sub, whole, members, low, high))
        elif len(members) == 1:
            refuse_copies(sub, int(members[0]), high - low, max_length)
        else:
            for part in _cut(sub, whole, members, max_length):
                yield from _pieces(table, np.sort(which[part]), max_length)


def _cut(sub: SampleTable, whole: Piece, members: Int64Array, max_length: int) -> list[Int64Array]:
    """Samples in parts of at most ``max_length`` distinct positions, two parts at least.

    Samples are taken in the order of the positions that they begin with, as causal ones are, and a part is closed where the next sample
    does not fit.
    """
    cut = np.searchsorted(whole.live, sub.offset)
    own = [np.unique(whole.position[cut[s] : cut[s + 1]]) for s in members.tolist()]
    text = [whole.position[cut[s] : cut[s + 1]].astype(">i4").tobytes() for s in members.tolist()]
    parts: list[list[int]] = [[]]
    held = np.zeros(0, np.int64)
    for i in sorted(range(len(members)), key=text.__getitem__):
        both = np.union1d(held, own[i])
        if len(both) > max_length and parts[-1]:
            parts.append([])
            both = own[i]
        parts[-1].append(int(members[i]))
        held = both
    if len(parts) == 1:  # it is the copies that do not fit
        half = len(members) // 2
        parts = [parts[0][:half], parts[0][half:]]
    return [np.array(part) for part in parts]


def refuse_copies(table: SampleTable, sample: int, positions: int, max_length: int) -> None:
    """Raise for a sample that fits by its tokens but not with the copies that equal tokens in one row need."""
    fact = f"sample {table.ids[sample]!r} needs {positions} positions, a batch holds {max_length}"
    raise InvalidInstance(fact, "", "raise --max-length", table.place[sample])


def _group_piece(sub: SampleTable, whole: Piece, members: Int64Array, low: int, high: int) -> Piece:
    """The positions ``low <= p < high`` of a piece, with the samples that use them (consecutive in ``sub``)."""
    begin, end = int(sub.offset[members[0]]), int(sub.offset[members[-1] + 1])
    a, b = np.searchsorted(whole.live, [begin, end]).tolist()
    rows = whole.row_offset[low : high + 1]
    part = slice(int(rows[0]), int(rows[-1]))
    return Piece(
        members,
        whole.source[low:high],
        rows - rows[0],
        (whole.key_start[part] - low).astype(np.int32),
        (whole.key_end[part] - low).astype(np.int32),
        whole.live[a:b],
        whole.position[a:b] - low,
    )


def _moved(table: SampleTable, sub: SampleTable, which: Int64Array, piece: Piece) -> Piece:
    """A piece of ``sub = select(table, which)`` as one of ``table``."""
    shift = table.offset[which] - sub.offset[:-1]

    def token(flat: Int64Array) -> Int64Array:
        return flat + shift[np.searchsorted(sub.offset, flat, "right") - 1]

    return Piece(
        which[piece.samples],
        token(piece.source),
        piece.row_offset,
        piece.key_start,
        piece.key_end,
        token(piece.live),
        piece.position,
    )
