"""The positions that segmented samples need, as sets: their unions, their forest, and the piece of some samples."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from masksynth.mask.csr import indptr, prefix_sums, repeat_index, repeat_ranges, row_of_entry
from masksynth.mask.equal_values import run_starts
from masksynth.mask.intervals import coalesce_sorted
from masksynth.mask.typing import Int64Array
from masksynth.pack.position_layout import Piece
from masksynth.pack.prefix import Forest, common_prefixes
from masksynth.pack.sample_columns import SampleTable


@dataclass(frozen=True, eq=False)
class PositionSets:
    """S sets of positions: what samples, or units of them, need.

    Parameters
    ----------
    offset : (S + 1,) int64
        Row pointers of the sets into ``position``.
    position : (p,) int64
        Ascending within each set.
    """

    offset: Int64Array
    position: Int64Array


def positions_of_samples(table: SampleTable, piece: Piece) -> PositionSets:
    """Return the positions that each sample needs: those of its live tokens, and all that their rows hold.

    Rows hold further positions where a token sees equal ones: their copies.

    Parameters
    ----------
    table : SampleTable
    piece : Piece
        All samples of the table, merged.
    """
    size = len(piece.source)
    sample = np.searchsorted(table.offset, piece.live, "right") - 1
    pair = np.unique(sample * size + piece.position)  # (sample, position) as one integer
    sample, position = pair // size, pair % size
    count = np.diff(piece.row_offset)[position]
    index = repeat_ranges(piece.row_offset[position], count)  # the intervals of these rows
    row = np.repeat(sample, count)
    start, end = piece.key_start[index], piece.key_end[index]
    order = np.lexsort((start, row))
    row, start, end = row[order], start[order].astype(np.int64), end[order].astype(np.int64)
    # union of the intervals of each sample: in sorted order, a new one begins above the greatest end so far
    highest = np.maximum.accumulate(row * (size + 1) + end)
    opens = run_starts(row)
    opens[1:] |= row[1:] * (size + 1) + start[1:] > highest[:-1]
    begin = np.flatnonzero(opens)
    length = (highest[np.append(begin[1:], len(row)) - 1] if len(begin) else highest) - row[begin] * (size + 1)
    length = length - start[begin]
    held = np.zeros(len(table), np.int64)
    np.add.at(held, row[begin], length)
    return PositionSets(indptr(held), repeat_ranges(start[begin], length))


def unite_sets(sets: PositionSets, unit: Int64Array) -> PositionSets:
    """Return the positions that each unit of samples needs.

    Parameters
    ----------
    sets : PositionSets
        What each sample needs.
    unit : (S,) int64
        Unit of each sample: 0, 1, ...

    Examples
    --------
    >>> sets = PositionSets(np.array([0, 2, 3, 5]), np.array([0, 1, 2, 0, 2]))
    >>> united = unite_sets(sets, np.array([0, 1, 0]))
    >>> united.offset.tolist(), united.position.tolist()
    ([0, 3, 4], [0, 1, 2, 2])
    """
    size = int(sets.position.max(initial=-1)) + 1
    pair = np.unique(np.repeat(unit, np.diff(sets.offset)) * size + sets.position)  # (unit, position) as one integer
    count = np.bincount(pair // max(size, 1), minlength=int(unit.max(initial=-1)) + 1)
    return PositionSets(indptr(count), pair % max(size, 1))


def forest_of_sets(sets: PositionSets) -> Forest:
    """Return a forest that shares a part of what sets share: their positions in one order, as sequences.

    The positions that most sets hold come first, so that the sequences have long common prefixes (the order of frequent
    pattern trees: Han, Pei, Yin 2000). Several sets together hold at most as many positions as their forest has.

    Parameters
    ----------
    sets : PositionSets
    """
    count = np.bincount(sets.position)
    rank = np.empty(len(count), np.int32)
    rank[np.argsort(-count, kind="stable")] = np.arange(len(count))
    sample = row_of_entry(sets.offset)
    code = rank[sets.position]
    code = code[np.lexsort((code, sample))]
    text = memoryview(code.astype(">i4").tobytes())  # big-endian bytes sort as the numbers do
    key = [text[a:b].tobytes() for a, b in pairwise((4 * sets.offset).tolist())]
    order = np.array(sorted(range(len(key)), key=key.__getitem__), np.int64)
    length = np.diff(sets.offset)[order]
    return Forest(order, length, common_prefixes(code, sets.offset[order], length))


def piece_of_samples(table: SampleTable, merged: Piece, sets: PositionSets, samples: Int64Array) -> Piece:
    """Return the piece of some samples of a piece.

    Parameters
    ----------
    table : SampleTable
    merged : Piece
        All samples of the table.
    sets : PositionSets
        What each of them needs.
    samples : (s,) int64
        Ascending.
    """
    kept = np.zeros(len(merged.source), bool)
    kept[sets.position[repeat_ranges(sets.offset[samples], np.diff(sets.offset)[samples])]] = True
    number = prefix_sums(kept.astype(np.int64))  # number of kept positions before each
    position = np.flatnonzero(kept)
    count = np.diff(merged.row_offset)[position]
    index = repeat_ranges(merged.row_offset[position], count)
    # rows of kept positions hold kept positions only, but those between two intervals may be left out
    row, start, end = coalesce_sorted(
        repeat_index(count), number[merged.key_start[index]], number[merged.key_end[index]]
    )
    low, high = (np.searchsorted(merged.live, table.offset[samples + side]) for side in (0, 1))
    live = repeat_ranges(low, high - low)  # the live tokens of the samples
    return Piece(
        samples,
        merged.source[position],
        np.searchsorted(row, np.arange(len(position) + 1)),
        start.astype(np.int32),
        end.astype(np.int32),
        merged.live[live],
        number[merged.position[live]],
    )
