"""Merge segmented samples: classes of tokens to positions, and their copies; no loop over tokens.

A class gets max(1, the most of its tokens in one row) positions, its *copies* (``docs/theory.md``, section 3). First
copies are numbered by the first appearance of their class, so that what a token sees precedes it (outside full
segments). Second copies follow all first ones, then third ones (separate groups one after another), so that a run of
tokens that occurs twice in a row is two runs of positions. `masksynth.pack.segment_rows` finds the rows.
"""

from __future__ import annotations

import numpy as np

from masksynth.mask.csr import index_in_row, indptr, repeat_index, repeat_ranges
from masksynth.mask.equal_values import distinct, run_starts
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.position_layout import Piece
from masksynth.pack.prefix import group_codes, identities
from masksynth.pack.sample_columns import SampleTable, key_of
from masksynth.pack.segment_columns import Spans, segment_of_token, spans_of
from masksynth.pack.segment_rows import Classes, build_rows
from masksynth.pack.token_colours import classes_of


def merge_segments(table: SampleTable, separate: bool = False) -> Piece:
    """Return all samples of a table as one piece.

    Parameters
    ----------
    table : SampleTable
    separate : bool
        Whether samples of different groups share nothing; the positions of a group are then consecutive.
    """
    spans = spans_of(table)
    identity = _pair_codes(identities(table).astype(np.int64), key_of(table, "position_ids"))
    group = np.zeros(len(table), np.int64)
    if separate:
        group = np.array(group_codes(table), np.int64)
        identity = _pair_codes(identity, np.repeat(group, np.diff(table.offset)))
    number = classes_of(table, spans, identity)
    live = np.flatnonzero(spans.live)
    first = np.zeros(int(number.max(initial=-1)) + 1, np.int64)
    first[number[live][::-1]] = live[::-1]  # reversed, so that the last write to a class is its first token
    classes = _place_classes(table, spans, number, group[np.searchsorted(table.offset, first, "right") - 1])
    rows = build_rows(spans, classes, first)
    source = first[classes.kind]
    return Piece(np.arange(len(table)), source, *rows, live, classes.position[number[live]])


def _pair_codes(left: Int64Array, right: Int64Array) -> Int64Array:
    """Return an integer code for each pair of numbers below 2^31."""
    pair = left * (int(right.max(initial=0)) + 1) + right  # different pairs, different integers
    codes: Int64Array = np.unique(pair, return_inverse=True)[1].astype(np.int64)
    return codes


def _place_classes(table: SampleTable, spans: Spans, number: Int64Array, group: Int64Array) -> Classes:
    """Return copies and positions of all classes: group after group, in each all first copies, then all second ones.

    Parameters
    ----------
    table : SampleTable
    spans : Spans
    number : (U,) int64
        Class of each token, -1 for dead ones.
    group : (C,) int64
        Group of each class; 0 if groups are not separate.
    """
    count = len(group)
    copies = np.ones(count, np.int64)
    twin = _find_twins(table, np.flatnonzero(spans.live), number, count)
    if twin.any():
        _count_copies(spans, number, twin, copies)
    kind = repeat_index(copies)  # class of each position, class after class
    level = index_in_row(copies)  # 0 for first copies, 1 for second ones, ...
    by_level = np.lexsort((kind, level, group[kind]))
    position = np.empty(len(kind), np.int64)
    position[by_level] = np.arange(len(kind))
    return Classes(number, copies, position, indptr(copies), kind[by_level])


def _find_twins(table: SampleTable, live: Int64Array, number: Int64Array, count: int) -> BoolArray:
    """Return whether each token has another one of its class, of which there are ``count``, in its sample; ``(U,)``."""
    sample = repeat_index(np.diff(table.offset))
    pair = sample[live] * count + number[live]  # (sample, class) as one integer
    order = np.argsort(pair, kind="stable")
    same = ~run_starts(pair[order])  # equal to the pair before it
    twin = np.zeros(len(table.tokens), bool)
    twin[live[order[same]]] = True
    twin[live[order[np.append(same[1:], False)[: len(order)]]]] = True  # the token before such a one
    return twin


def _count_copies(spans: Spans, number: Int64Array, twin: BoolArray, copies: Int64Array) -> None:
    """Set ``copies[c]`` to the most tokens of class c in one row, where that is more than one.

    The fullest row of a segment is that of its last live token: the segments that it sees, and its own tokens up to
    there. A token of an ``alone`` segment has no other token of the segment in its row, so equal tokens of the segment
    count once.
    """
    token = np.flatnonzero(twin)
    segment = segment_of_token(spans.start, spans.length, token)
    order = np.argsort(segment, kind="stable")
    token, segment = token[order], segment[order]
    cut = np.searchsorted(segment, np.arange(len(spans.start) + 1))  # row pointers of the segments into `token`
    alive = spans.count > 0
    seen_by_live = alive[spans.viewer]
    itself = np.flatnonzero(alive)
    viewer = np.concatenate([spans.viewer[seen_by_live], itself])
    target = np.concatenate([spans.seen[seen_by_live], itself])
    size = (cut[1:] - cut[:-1])[target]
    index = repeat_ranges(cut[target], size)
    holder, kind = np.repeat(viewer, size), number[token[index]]
    lone = np.repeat((viewer == target) & spans.alone[target], size)
    pair = holder * len(copies) + kind  # (fullest row of a segment, class) as one integer
    pairs = np.concatenate([pair[~lone], distinct(pair[lone])])
    row, count = np.unique(pairs, return_counts=True)
    np.maximum.at(copies, row % len(copies), count)
