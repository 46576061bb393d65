"""The row intervals of merged segmented samples, written for complete runs of tokens at once.

The first tokens of the classes are cut into runs: consecutive tokens of one segment whose classes have one copy. Token
t of a run that begins with token a attends to what a attends to, and to the positions after a's up to its own. A run
thus has one list of intervals, of which the one that ends with a grows along the run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask.csr import index_in_row, indptr, prefix_sums, repeat_index, repeat_ranges, row_of_entry
from masksynth.mask.equal_values import distinct, run_starts
from masksynth.mask.intervals import RowIntervals, coalesce_sorted
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array
from masksynth.pack.segment_columns import Spans, segment_of_token

Rows = tuple[Int64Array, Int32Array, Int32Array]
"""(row_offset, key_start, key_end) of a mask of one table."""


@dataclass(frozen=True, eq=False)
class Classes:
    """C classes of the live tokens, and their positions.

    Parameters
    ----------
    number : (U,) int64
        The class of each token, -1 for dead ones.
    copies : (C,) int64
        Number of positions of each class.
    place : (n,) int64
        The positions of each class, class after class; n is the sum of ``copies``.
    cut : (C + 1,) int64
        Row pointers of the classes into ``place``.
    kind : (n,) int64
        The class of each position.
    """

    number: Int64Array
    copies: Int64Array
    place: Int64Array
    cut: Int64Array
    kind: Int64Array

    @property
    def position(self) -> Int64Array:
        """The first position of each class, ``(C,)``."""
        return self.place[self.cut[:-1]]


def build_rows(spans: Spans, classes: Classes, first: Int64Array) -> Rows:
    """Return the row intervals of all positions.

    Parameters
    ----------
    spans : Spans
    classes : Classes
    first : (C,) int64
        Flat index of the first token of each class, ascending.
    """
    runs = _find_runs(spans, classes, first)
    rows = _extend_rows(runs, classes, _intervals_of_first_tokens(spans, classes, runs))
    in_order = np.array_equal(classes.kind, np.arange(len(classes.copies)))  # position c is the only one of class c
    return rows if in_order else _rows_of_copies(rows, classes)


@dataclass(frozen=True, eq=False)
class _Runs:
    """R runs of first tokens of classes.

    Parameters
    ----------
    token : (R,) int64
        Flat index of the first token of each run.
    segment : (R,) int64
    size : (R,) int64
        Number of tokens.
    grows : (R,) bool
        Whether the row grows along the run; not in a full segment.
    """

    token: Int64Array
    segment: Int64Array
    size: Int64Array
    grows: BoolArray


def _find_runs(spans: Spans, classes: Classes, first: Int64Array) -> _Runs:
    segment = segment_of_token(spans.start, spans.length, first)
    single = (classes.copies > 1) | spans.alone[segment]  # a run of its own
    opens = run_starts(segment)
    opens[1:] |= (first[1:] != first[:-1] + 1) | single[1:] | single[:-1]
    begin = np.flatnonzero(opens)
    size = np.diff(np.append(begin, len(first)))[: len(begin)]
    return _Runs(first[begin], segment[begin], size, ~spans.clique[segment[begin]])


def _intervals_of_first_tokens(spans: Spans, classes: Classes, runs: _Runs) -> RowIntervals:
    """Return (run, start, end) of the row intervals of each run's first token, ascending.

    These are the segments that its segment sees, and the tokens of its segment up to itself: all of them in a full
    segment, itself alone in an ``alone`` one.
    """
    positions = _find_position_runs(spans, classes)
    order = np.argsort(spans.viewer, kind="stable")
    cut = np.searchsorted(spans.viewer[order], np.arange(len(spans.start) + 1))  # row pointers: what each segment sees
    count = (cut[1:] - cut[:-1])[runs.segment]
    number = np.arange(len(runs.token))
    # the segments in each row: those that are seen, then the token's own
    run = np.concatenate([np.repeat(number, count), number])
    target = np.concatenate([spans.seen[order][repeat_ranges(cut[runs.segment], count)], runs.segment])
    until = spans.start[target] + spans.count[target]  # the row holds the target's live tokens before this one
    itself = slice(len(run) - len(number), None)
    own_end = np.where(runs.grows, runs.token, until[itself])  # the token itself is added below
    until[itself] = np.where(spans.alone[runs.segment], spans.start[runs.segment], own_end)
    # each target's tokens as runs of positions, cut off at `until`
    size = positions.cut[target + 1] - positions.cut[target]
    index = repeat_ranges(positions.cut[target], size)
    run, until = np.repeat(run, size), np.repeat(until, size)
    length = np.minimum(positions.token[index] + positions.size[index], until) - positions.token[index]
    nonempty = length > 0
    grows = np.flatnonzero(runs.grows)
    own_position = classes.position[classes.number[runs.token[grows]]]
    run = np.concatenate([run[nonempty], grows])
    start = np.concatenate([positions.position[index][nonempty], own_position])
    return _unite(classes, run, start, np.concatenate([length[nonempty], np.ones(len(grows), np.int64)]))


@dataclass(frozen=True, eq=False)
class _PositionRuns:
    """Runs of live tokens of a segment whose positions are consecutive.

    Parameters
    ----------
    token, size, position : (r,) int64
        First token, number of tokens and first position of each run.
    cut : (G + 1,) int64
        Row pointers of the segments into the runs.
    """

    token: Int64Array
    size: Int64Array
    position: Int64Array
    cut: Int64Array


def _find_position_runs(spans: Spans, classes: Classes) -> _PositionRuns:
    count = np.where(spans.alone & ~_is_all_live(spans), 0, spans.count)  # seen segments are live completely
    token = repeat_ranges(spans.start, count)
    segment = repeat_index(count)
    position = classes.position[classes.number[token]]
    opens = run_starts(segment)
    opens[1:] |= position[1:] != position[:-1] + 1
    begin = np.flatnonzero(opens)
    size = np.diff(np.append(begin, len(token)))[: len(begin)]
    cut = np.searchsorted(segment[begin], np.arange(len(count) + 1))
    return _PositionRuns(token[begin], size, position[begin], cut)


def _is_all_live(spans: Spans) -> BoolArray:
    """Return whether all tokens of each segment are live."""
    total = prefix_sums(spans.live.astype(np.int64))
    all_live: BoolArray = total[spans.start + spans.length] - total[spans.start] == spans.length
    return all_live


def _unite(classes: Classes, run: Int64Array, start: Int64Array, length: Int64Array) -> RowIntervals:
    """Return sorted, coalesced intervals of each run.

    Where the intervals of a run overlap, a position occurs m > 1 times; it becomes the first m copies of its class.
    """
    run, start, length = _sort_intervals(run, start, length)
    overlap = (run[1:] == run[:-1]) & (start[1:] < (start + length)[:-1])
    if overlap.any():
        repeats = np.isin(run, distinct(run[1:][overlap]))
        copied = _expand_copies(classes, run[repeats], start[repeats], length[repeats])
        columns = zip((run, start, length), copied, strict=True)
        run, start, length = _sort_intervals(*(np.concatenate([column[~repeats], more]) for column, more in columns))
    united: RowIntervals = coalesce_sorted(run, start, start + length)  # type: ignore[assignment]
    return united


def _sort_intervals(run: Int64Array, start: Int64Array, length: Int64Array) -> tuple[Int64Array, ...]:
    order = np.lexsort((start, run))
    return run[order], start[order], length[order]


def _expand_copies(classes: Classes, run: Int64Array, start: Int64Array, length: Int64Array) -> RowIntervals:
    """Return intervals of one key each; a position that occurs m times in a run becomes m copies of its class."""
    size = len(classes.place)
    pair = np.repeat(run, length) * size + repeat_ranges(start, length)  # (run, key) as one integer
    row, count = np.unique(pair, return_counts=True)
    key = classes.place[repeat_ranges(classes.cut[classes.kind[row % size]], count)]
    return np.repeat(row // size, count), key, np.ones(len(key), np.int64)


def _extend_rows(runs: _Runs, classes: Classes, intervals: RowIntervals) -> Rows:
    """Return the rows of all classes from those of the first tokens of the runs.

    Parameters
    ----------
    runs : _Runs
    classes : Classes
    intervals : (run, start, end)
        Intervals of the first tokens.
    """
    run, start, end = intervals
    cut = np.searchsorted(run, np.arange(len(runs.token) + 1))
    count = np.repeat(cut[1:] - cut[:-1], runs.size)  # intervals of each class: those of the first token of its run
    offset = indptr(count)
    index = repeat_ranges(np.repeat(cut[:-1], runs.size), count)
    key_start, key_end = start[index], end[index]
    step = np.repeat(index_in_row(runs.size), count)  # index of the class in its run
    own = classes.position[classes.number[runs.token]][run]
    grows = (runs.grows[run] & (start <= own) & (own < end))[index]  # the interval that holds the token itself
    key_end[grows] += step[grows]
    return _rows_of_intervals(len(count), (row_of_entry(offset), key_start, key_end))


def _rows_of_intervals(size: int, intervals: tuple[Int64Array, ...]) -> Rows:
    """Return sorted, disjoint intervals (row, start, end) of ``size`` rows as the arrays of a mask."""
    row, start, end = coalesce_sorted(*intervals)
    return np.searchsorted(row, np.arange(size + 1)), start.astype(np.int32), end.astype(np.int32)


def _rows_of_copies(rows: Rows, classes: Classes) -> Rows:
    """Return the rows of all positions from those of the classes.

    A copy's row holds the copy itself: if it is not among the first m of its class that the row holds, it replaces the
    m-th.
    """
    offset, low, high = rows
    size = len(classes.kind)
    count = np.diff(offset)[classes.kind]
    index = repeat_ranges(offset[:-1][classes.kind], count)
    row, start, end = repeat_index(count), low[index].astype(np.int64), high[index].astype(np.int64)
    itself = np.arange(size)
    last = _last_copy_in_row(classes, row, start, end)
    swaps = ~_holds(row, start, end, itself)
    removed = np.where(swaps, last, -1)[row]
    inside = (start <= removed) & (removed < end)
    parts = (
        (row, start, np.where(inside, removed, end)),  # up to the removed key
        (row[inside], removed[inside] + 1, end[inside]),  # and after it
        (itself[swaps], itself[swaps], itself[swaps] + 1),
    )
    row, start, end = (np.concatenate(column) for column in zip(*parts, strict=True))
    nonempty = end > start
    order = np.lexsort((start[nonempty], row[nonempty]))
    return _rows_of_intervals(size, (row[nonempty][order], start[nonempty][order], end[nonempty][order]))


def _holds(row: Int64Array, start: Int64Array, end: Int64Array, key: Int64Array) -> BoolArray:
    """Return whether row q holds ``key[q]``, for each q."""
    held = np.zeros(len(key), bool)
    held[row[(start <= key[row]) & (key[row] < end)]] = True
    return held


def _last_copy_in_row(classes: Classes, row: Int64Array, start: Int64Array, end: Int64Array) -> Int64Array:
    """Return the highest copy of each position's own class that its row holds, -1 if it holds none."""
    last = np.full(len(classes.kind), -1, np.int64)
    for level in range(int(classes.copies.max())):
        has = classes.copies[classes.kind] > level
        copy = classes.place[np.where(has, classes.cut[classes.kind] + level, 0)]
        last = np.where(has & _holds(row, start, end, copy), copy, last)
    return last
