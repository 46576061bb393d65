"""Segmented samples merged: classes to positions, rows to intervals, without a loop over tokens.

A class gets max(1, the most of its tokens in one row) positions, its *copies* (``docs/theory.md``, section 3). First copies are numbered by
the first appearance of their class, so what a token sees comes before it (outside full segments), and the rows of a run of tokens that
appear for the first time are one base of intervals of which that of the token itself grows. Second copies follow all first ones of the
group, then third ones, so that a run that stands twice is two runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array
from masksynth.pack.position_layout import Piece
from masksynth.pack.prefix import group_codes, identities
from masksynth.pack.sample_columns import SampleTable, key_of
from masksynth.pack.segment_columns import Spans, spans_of
from masksynth.pack.token_colours import classes_of


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of the live tokens and where they stand.

    Parameters
    ----------
    number : (U,) int64
        The class of each token, -1 for dead ones.
    copies : (C,) int64
        Positions of each class.
    place : (sum of copies,) int64
        The positions of each class, class after class.
    cut : (C + 1,) int64
        Where each class's begin in ``place``.
    kind : (sum of copies,) int64
        The class of each position.
    """

    number: Int64Array
    copies: Int64Array
    place: Int64Array
    cut: Int64Array
    kind: Int64Array

    @property
    def position(self) -> Int64Array:
        """The first position of each class."""
        return self.place[self.cut[:-1]]


def merge_segments(table: SampleTable) -> tuple[Piece, Int64Array]:
    """All samples of a table in one piece, and the group code of each position; groups lie one after another.

    The samples must be sorted by group (``group_codes`` rising).
    """
    spans = spans_of(table)
    group = np.repeat(np.array(group_codes(table), np.int64), np.diff(table.offset))
    identity = _paired(_paired(identities(table).astype(np.int64), key_of(table, "position_ids")), group)
    number = classes_of(table, spans, identity)
    live = np.flatnonzero(spans.live)
    first = np.zeros(int(number.max(initial=-1)) + 1, np.int64)
    first[number[live][::-1]] = live[::-1]
    classes = _placed(table, spans, number, group[first])
    rows = _rows(spans, classes, first)
    source = first[classes.kind]
    return Piece(np.arange(len(table)), source, *rows, live, classes.position[number[live]]), group[source]


def _paired(left: Int64Array, right: Int64Array) -> Int64Array:
    """One number for each pair of numbers below 2^31."""
    number: Int64Array = np.unique(left * (int(right.max(initial=0)) + 1) + right, return_inverse=True)[1].astype(
        np.int64
    )
    return number


def _placed(table: SampleTable, spans: Spans, number: Int64Array, group: Int64Array) -> Classes:
    """Copies and positions of every class: group after group, in each all first copies, then all second ones, and so on."""
    live = np.flatnonzero(spans.live)
    many = len(group)
    sample = np.repeat(np.arange(len(table)), np.diff(table.offset))
    pair = sample[live] * many + number[live]
    order = np.argsort(pair, kind="stable")
    same = pair[order][1:] == pair[order][:-1]
    twin = np.zeros(len(table.tokens), bool)
    twin[live[order[1:][same]]] = True
    twin[live[order[:-1][same]]] = True
    copies = np.ones(many, np.int64)
    if twin.any():
        _count_copies(spans, number, twin, copies)
    kind = np.repeat(np.arange(many), copies)
    level = repeat_ranges(np.zeros(many, np.int64), copies)
    by_level = np.lexsort((kind, level, group[kind]))
    place = np.empty(len(kind), np.int64)
    place[by_level] = np.arange(len(kind))
    return Classes(number, copies, place, indptr(copies), kind[by_level])


def _count_copies(spans: Spans, number: Int64Array, twin: BoolArray, copies: Int64Array) -> None:
    """copies[c] = the most tokens of class c in one row, where that is more than one.

    The fullest row of a segment is that of its last live token: what the segment sees, and its own tokens up to there (of a segment whose
    tokens see themselves alone: one).
    """
    token = np.flatnonzero(twin)
    some = np.flatnonzero(spans.length > 0)
    segment = some[np.searchsorted(spans.start[some], token, "right") - 1]
    order = np.argsort(segment, kind="stable")
    token, segment = token[order], segment[order]
    cut = np.searchsorted(segment, np.arange(len(spans.start) + 1))
    alive = spans.count > 0
    seen = alive[spans.viewer]
    own = np.flatnonzero(alive)
    viewer = np.concatenate([spans.viewer[seen], own])
    target = np.concatenate([spans.seen[seen], own])
    size = (cut[1:] - cut[:-1])[target]
    index = repeat_ranges(cut[target], size)
    holder, kind = np.repeat(viewer, size), number[token[index]]
    lonely = np.repeat((viewer == target) & spans.alone[target], size)
    many = len(copies)
    keys = np.concatenate([(holder * many + kind)[~lonely], np.unique((holder * many + kind)[lonely])])
    row, count = np.unique(keys, return_counts=True)
    np.maximum.at(copies, row % many, count)


def _rows(spans: Spans, classes: Classes, first: Int64Array) -> tuple[Int64Array, Int32Array, Int32Array]:
    """The row intervals of all positions.

    The first tokens of the classes are cut into runs: consecutive tokens of one segment whose classes have one copy. Token t of a run that
    begins with token a sees what a sees and the positions after a's up to its own.
    """
    bases = _runs(spans, classes, first)
    plain = _grown(bases, classes, *_base_intervals(spans, classes, bases))
    return plain if len(classes.place) == len(classes.copies) else _with_copies(plain, classes)


@dataclass(frozen=True, eq=False)
class _Bases:
    """Runs of first tokens: the first token of each, its segment, its number of tokens, and whether the row grows along it."""

    token: Int64Array
    segment: Int64Array
    size: Int64Array
    grows: BoolArray


def _runs(spans: Spans, classes: Classes, first: Int64Array) -> _Bases:
    some = np.flatnonzero(spans.length > 0)
    segment = some[np.searchsorted(spans.start[some], first, "right") - 1]
    lone = (classes.copies > 1) | spans.alone[segment]
    opens = np.ones(len(first), bool)
    opens[1:] = (first[1:] != first[:-1] + 1) | (segment[1:] != segment[:-1]) | lone[1:] | lone[:-1]
    begin = np.flatnonzero(opens)
    size = np.diff(np.append(begin, len(first)))[: len(begin)]
    return _Bases(first[begin], segment[begin], size, ~spans.clique[segment[begin]])


def _base_intervals(spans: Spans, classes: Classes, bases: _Bases) -> tuple[Int64Array, Int64Array, Int64Array]:
    """(start, end, run) of the row intervals of every run's first token: what its segment sees, and the segment's tokens up to it.

    For a full segment: all its tokens. A token that sees itself alone has no tokens before it.
    """
    runs = _position_runs(spans, classes)
    own = bases.segment
    order = np.argsort(spans.viewer, kind="stable")
    cut = np.searchsorted(spans.viewer[order], np.arange(len(spans.start) + 1))
    many = (cut[1:] - cut[:-1])[own]
    owner = np.concatenate([np.repeat(np.arange(len(own)), many), np.arange(len(own))])
    target = np.concatenate([spans.seen[order][repeat_ranges(cut[own], many)], own])
    until = spans.start[target] + spans.count[target]
    mine = np.arange(len(owner)) >= len(owner) - len(own)
    before = np.where(spans.alone[own], spans.start[own], np.where(bases.grows, bases.token, until[mine]))
    until[mine] = before
    size = runs.cut[target + 1] - runs.cut[target]
    index = repeat_ranges(runs.cut[target], size)
    owner, until = np.repeat(owner, size), np.repeat(until, size)
    length = np.minimum(runs.token[index] + runs.size[index], until) - runs.token[index]
    some = length > 0
    grows = np.flatnonzero(bases.grows)
    own_place = classes.position[classes.number[bases.token[grows]]]
    owner = np.concatenate([owner[some], grows])
    start = np.concatenate([runs.position[index][some], own_place])
    return _united(classes, owner, start, np.concatenate([length[some], np.ones(len(grows), np.int64)]))


@dataclass(frozen=True, eq=False)
class _PositionRuns:
    """Stretches of a segment's live tokens whose positions are consecutive; those of segment s are ``cut[s] <= i < cut[s + 1]``."""

    token: Int64Array
    size: Int64Array
    position: Int64Array
    cut: Int64Array


def _position_runs(spans: Spans, classes: Classes) -> _PositionRuns:
    count = np.where(spans.alone & ~_all_live(spans), 0, spans.count)
    token = repeat_ranges(spans.start, count)
    segment = np.repeat(np.arange(len(count)), count)
    place = classes.position[classes.number[token]]
    opens = np.ones(len(token), bool)
    opens[1:] = (place[1:] != place[:-1] + 1) | (segment[1:] != segment[:-1])
    begin = np.flatnonzero(opens)
    size = np.diff(np.append(begin, len(token)))[: len(begin)]
    return _PositionRuns(token[begin], size, place[begin], np.searchsorted(segment[begin], np.arange(len(count) + 1)))


def _all_live(spans: Spans) -> BoolArray:
    total = indptr(spans.live)
    whole: BoolArray = total[spans.start + spans.length] - total[spans.start] == spans.length
    return whole


def _united(
    classes: Classes, owner: Int64Array, start: Int64Array, length: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Sorted intervals of each owner; a position that stands in it m times becomes the first m copies of its class."""
    order = np.lexsort((start, owner))
    owner, start, length = owner[order], start[order], length[order]
    overlap = (owner[1:] == owner[:-1]) & (start[1:] < (start + length)[:-1])
    if overlap.any():
        twice = np.isin(owner, np.unique(owner[1:][overlap]))
        extra = _written_out(classes, owner[twice], start[twice], length[twice])
        owner, start, length = (
            np.concatenate([a[~twice], b]) for a, b in zip((owner, start, length), extra, strict=True)
        )
        order = np.lexsort((start, owner))
        owner, start, length = owner[order], start[order], length[order]
    return _coalesced(owner, start, start + length)


def _written_out(
    classes: Classes, owner: Int64Array, start: Int64Array, length: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """The rows of some owners key by key: a class that stands in one m times, at its first position, becomes its first m copies."""
    size = len(classes.place)
    row, count = np.unique(np.repeat(owner, length) * size + repeat_ranges(start, length), return_counts=True)
    key = classes.place[repeat_ranges(classes.cut[classes.kind[row % size]], count)]
    return np.repeat(row // size, count), key, np.ones(len(key), np.int64)


def _coalesced(owner: Int64Array, start: Int64Array, end: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Intervals of one owner that touch, taken together."""
    opens = np.ones(len(owner), bool)
    opens[1:] = (owner[1:] != owner[:-1]) | (start[1:] != end[:-1])
    begin = np.flatnonzero(opens)
    last = np.append(begin[1:], len(owner))[: len(begin)] - 1
    return start[begin], end[last], owner[begin]


def _grown(
    bases: _Bases, classes: Classes, start: Int64Array, end: Int64Array, owner: Int64Array
) -> tuple[Int64Array, Int32Array, Int32Array]:
    """Rows of the classes of all runs: the first token's, of which the interval of the token itself grows unless the segment is full."""
    cut = np.searchsorted(owner, np.arange(len(bases.token) + 1))
    many = np.repeat(cut[1:] - cut[:-1], bases.size)
    offset = indptr(many)
    index = repeat_ranges(np.repeat(cut[:-1], bases.size), many)
    key_start, key_end = start[index], end[index]
    step = np.repeat(repeat_ranges(np.zeros(len(bases.size), np.int64), bases.size), many)
    own = classes.position[classes.number[bases.token]][owner]
    grows = (bases.grows[owner] & (start <= own) & (own < end))[index]
    key_end[grows] += step[grows]
    return _table(len(offset) - 1, np.repeat(np.arange(len(many)), many), key_start, key_end)


def _table(
    size: int, owner: Int64Array, start: Int64Array, end: Int64Array
) -> tuple[Int64Array, Int32Array, Int32Array]:
    """Sorted intervals of rows 0 .. size - 1 as arrays of a mask."""
    start, end, owner = _coalesced(owner, start, end)
    return np.searchsorted(owner, np.arange(size + 1)), start.astype(np.int32), end.astype(np.int32)


def _with_copies(
    rows: tuple[Int64Array, Int32Array, Int32Array], classes: Classes
) -> tuple[Int64Array, Int32Array, Int32Array]:
    """The rows of all positions from those of the classes.

    A copy's row holds the copy itself: where it is not among the first m of its class that the row holds, it stands in for the m-th.
    """
    offset, low, high = rows
    size = len(classes.kind)
    many = np.diff(offset)[classes.kind]
    index = repeat_ranges(offset[:-1][classes.kind], many)
    owner, start, end = np.repeat(np.arange(size), many), low[index].astype(np.int64), high[index].astype(np.int64)
    own = np.arange(size)
    last = _last_seen(classes, owner, start, end)
    swaps = ~_holds(owner, start, end, own)
    gone = np.where(swaps, last, -1)[owner]
    inside = (start <= gone) & (gone < end)
    parts = (
        (owner, start, np.where(inside, gone, end)),
        (owner[inside], gone[inside] + 1, end[inside]),
        (own[swaps], own[swaps], own[swaps] + 1),
    )
    owner, start, end = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    some = end > start
    order = np.lexsort((start[some], owner[some]))
    return _table(size, owner[some][order], start[some][order], end[some][order])


def _holds(owner: Int64Array, start: Int64Array, end: Int64Array, key: Int64Array) -> BoolArray:
    """Whether row q holds ``key[q]``."""
    held = np.zeros(len(key), bool)
    held[owner[(start <= key[owner]) & (key[owner] < end)]] = True
    return held


def _last_seen(classes: Classes, owner: Int64Array, start: Int64Array, end: Int64Array) -> Int64Array:
    """Of each position's row, the highest copy of the position's own class that it holds."""
    last = np.full(len(classes.kind), -1, np.int64)
    for level in range(int(classes.copies.max())):
        has = classes.copies[classes.kind] > level
        copy = classes.place[np.where(has, classes.cut[classes.kind] + level, 0)]
        last = np.where(has & _holds(owner, start, end, copy), copy, last)
    return last
