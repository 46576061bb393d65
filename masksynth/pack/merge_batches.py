"""Merge the samples of a table in memory into batches: merge, cut, distribute, lay out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import distinct, segment_sums
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.assemble import batch_of_forest, batch_of_pieces, table_labels
from masksynth.pack.batch import PackedBatch
from masksynth.pack.bins import Slice, bins_of, sizes_of, slices_of
from masksynth.pack.position_layout import Piece
from masksynth.pack.prefix import Forest, forest_of, group_codes, live_lengths, trained_tokens
from masksynth.pack.sample_columns import SampleTable, select
from masksynth.pack.segment_columns import spans_of
from masksynth.pack.segments import merge_segments


def batches_of(table: SampleTable, max_length: int) -> Iterator[tuple[SampleTable, Int64Array, PackedBatch]]:
    """Yield the batches of a window's samples, each with its table and the indices of its samples there.

    Samples merge within their group; those without a group merge with one another. A batch contains either samples of
    groups with segments, or samples of groups without. No sample may have more than ``max_length`` live tokens.

    Parameters
    ----------
    table : SampleTable
    max_length : int
        Maximum number of positions in a batch.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> rows = [[1, 2, 3], [1, 2, 4]]
    >>> [table] = tables_of({"id": i, "input_ids": ids, "labels": [-100, *ids[1:]]} for i, ids in enumerate(rows))
    >>> [(_, samples, batch)] = batches_of(table, 100)
    >>> batch, batch.input_ids.tolist(), batch.loss_position.tolist(), batch.loss_label.tolist()
    (PackedBatch(2 samples, 2 positions, 4 loss edges), [1, 2], [0, 1, 0, 1], [2, 3, 2, 4])
    """
    segmented = _in_segmented_group(table)
    for chosen, merge in ((np.flatnonzero(~segmented), _merge_causal), (np.flatnonzero(segmented), _merge_segmented)):
        if len(chosen):
            sub = table if len(chosen) == len(table) else select(table, chosen)
            yield from ((sub, samples, batch) for samples, batch in merge(sub, max_length))


def count_live_tokens(table: SampleTable) -> Int64Array:
    """Return the number of live tokens of each sample: a lower bound on the positions that the sample alone takes."""
    if any(segments is not None for segments in table.segments):
        return segment_sums(spans_of(table).live, table.offset)
    return live_lengths(table, *trained_tokens(table))


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


def _in_segmented_group(table: SampleTable) -> BoolArray:
    """Return whether some sample in each sample's group has segments."""
    groups = {group for group, segments in zip(table.groups, table.segments, strict=True) if segments is not None}
    return np.array([group in groups for group in table.groups], bool)


def _merge_causal(table: SampleTable, max_length: int) -> Iterator[tuple[Int64Array, PackedBatch]]:
    """Yield (indices of the samples, batch) for a table without segments."""
    trained, cut = trained_tokens(table)
    forest = forest_of(table, live_lengths(table, trained, cut))
    slices = slices_of(forest, _find_openings(table, forest), max_length)
    first = [int(forest.samples[a:b].min()) for a, b in slices]
    order = sorted(range(len(slices)), key=first.__getitem__)  # the order in which the samples were read
    sizes = sizes_of(forest, slices).tolist()
    for items in bins_of([sizes[i] for i in order], max_length):
        part = _join_slices(forest, [slices[order[i]] for i in items])
        yield np.sort(part.samples), batch_of_forest(table, part, trained, cut)


def _find_openings(table: SampleTable, forest: Forest) -> Int64Array:
    """Return the samples at which a new item of the bins begins: each new group, and each new trie without a group."""
    codes = np.array(group_codes(table), np.int64)[forest.samples]
    groupless = np.array([group is None for group in table.groups], bool)[forest.samples]
    opens = np.ones(len(codes), bool)
    opens[1:] = (codes[1:] != codes[:-1]) | (groupless[1:] & (forest.shared[1:] == 0))
    return np.flatnonzero(opens)


def _join_slices(forest: Forest, slices: Sequence[Slice]) -> Forest:
    """Return some slices of a forest one after another, each isolated from the others."""
    samples, length, shared = (
        np.concatenate([column[a:b] for a, b in slices]) for column in (forest.samples, forest.length, forest.shared)
    )
    shared[np.cumsum([0, *(b - a for a, b in slices)])[:-1]] = 0  # the first sample of a slice shares nothing
    return Forest(samples, length, shared)


def _merge_segmented(table: SampleTable, max_length: int) -> Iterator[tuple[Int64Array, PackedBatch]]:
    """Yield (indices of the samples, batch) for a table each group of which has segments."""
    spans = spans_of(table)
    if any(group is None for group in table.groups):
        table = replace(table, groups=_connected_groups(table))
    order = np.argsort(np.array(group_codes(table)), kind="stable")
    pieces = sorted(_pieces(table, order, max_length), key=lambda piece: int(piece.samples[0]))
    labels = table_labels(table, spans.trained, spans.predictor)
    for items in bins_of([len(piece.source) for piece in pieces], max_length):
        chosen = [pieces[i] for i in items]
        samples = np.sort(np.concatenate([piece.samples for piece in chosen]))
        yield samples, batch_of_pieces(table, chosen, labels)


def _connected_groups(table: SampleTable) -> tuple[Any, ...]:
    """Return the groups, with one of its own for each connected component of the samples without a group.

    Two samples are connected if they have a position in common. Each sample takes the least number among those of its
    positions, and each position the least among those of its samples, until nothing changes.
    """
    merged, _ = merge_segments(table)
    sample = np.searchsorted(table.offset, merged.live, "right") - 1  # sample of each live token
    component = np.arange(len(table))
    while True:
        least = np.full(len(merged.source), len(table), np.int64)  # least component at each position
        np.minimum.at(least, merged.position, component[sample])
        lower = component.copy()
        np.minimum.at(lower, sample, least[merged.position])
        if np.array_equal(lower, component):
            break
        component = lower
    numbered = zip(table.groups, component.tolist(), strict=True)
    return tuple(("component", number) if group is None else group for group, number in numbered)


def _pieces(table: SampleTable, which: Int64Array, max_length: int) -> Iterator[Piece]:
    """Yield a piece for each group of the samples ``which``, of at most ``max_length`` positions.

    A larger group is cut between samples that share little.
    """
    sub = select(table, which)
    merged, group = merge_segments(sub)
    codes = np.array(group_codes(sub), np.int64)
    for number in range(int(codes.max()) + 1):
        members = np.flatnonzero(codes == number)
        low, high = np.searchsorted(group, [number, number + 1]).tolist()  # positions of the group
        if high - low <= max_length:
            yield _piece_of_table(table, sub, which, _piece_of_group(sub, merged, members, low, high))
        elif len(members) == 1:
            refuse_copies(sub, int(members[0]), high - low, max_length)
        else:
            for part in _cut_group(sub, merged, members, max_length):
                yield from _pieces(table, np.sort(which[part]), max_length)


def _cut_group(sub: SampleTable, merged: Piece, members: Int64Array, max_length: int) -> list[Int64Array]:
    """Return samples in two or more parts of at most ``max_length`` distinct positions each.

    Samples are taken in lexicographic order of their positions, as causal ones are, and a part is closed when the next
    sample does not fit.
    """
    cut = np.searchsorted(merged.live, sub.offset)
    positions = [merged.position[cut[s] : cut[s + 1]] for s in members.tolist()]
    own = [distinct(each) for each in positions]
    text = [each.astype(">i4").tobytes() for each in positions]  # big-endian bytes sort as the numbers do
    parts: list[list[int]] = [[]]
    taken = np.zeros(0, np.int64)  # positions of the open part
    for i in sorted(range(len(members)), key=text.__getitem__):
        union = distinct(np.concatenate([taken, own[i]]))
        if len(union) > max_length and parts[-1]:
            parts.append([])
            union = own[i]
        parts[-1].append(int(members[i]))
        taken = union
    if len(parts) == 1:  # only with the copies of equal tokens do they not fit
        half = len(members) // 2
        parts = [parts[0][:half], parts[0][half:]]
    return [np.array(part) for part in parts]


def refuse_copies(table: SampleTable, sample: int, positions: int, max_length: int) -> None:
    """Raise for a sample that fits by its tokens, but not with the copies that equal tokens in one row need."""
    fact = f"sample {table.ids[sample]!r} needs {positions} positions, a batch holds {max_length}"
    raise InvalidInstance(fact, "", "raise --max-length", table.place[sample])


def _piece_of_group(sub: SampleTable, merged: Piece, members: Int64Array, low: int, high: int) -> Piece:
    """Return the positions ``low <= p < high`` of a piece, with the samples that use them (consecutive in ``sub``)."""
    begin, end = int(sub.offset[members[0]]), int(sub.offset[members[-1] + 1])
    first, last = np.searchsorted(merged.live, [begin, end]).tolist()
    rows = merged.row_offset[low : high + 1]
    part = slice(int(rows[0]), int(rows[-1]))
    return Piece(
        members,
        merged.source[low:high],
        rows - rows[0],
        (merged.key_start[part] - low).astype(np.int32),
        (merged.key_end[part] - low).astype(np.int32),
        merged.live[first:last],
        merged.position[first:last] - low,
    )


def _piece_of_table(table: SampleTable, sub: SampleTable, which: Int64Array, piece: Piece) -> Piece:
    """Return a piece of ``sub = select(table, which)`` with flat indices into ``table``."""
    shift = table.offset[which] - sub.offset[:-1]  # shift of the flat indices of each sample

    def index_in_table(flat: Int64Array) -> Int64Array:
        return flat + shift[np.searchsorted(sub.offset, flat, "right") - 1]

    return replace(
        piece, samples=which[piece.samples], source=index_in_table(piece.source), live=index_in_table(piece.live)
    )
