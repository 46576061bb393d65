"""The segments of many samples as columns, which of their tokens are live, and which token predicts each label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import repeat_ranges
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.sample_columns import IGNORED, SampleTable
from masksynth.pack.visibility import CAUSAL, FULL, SELF, Segment


@dataclass(frozen=True, eq=False)
class Spans:
    """G segments of the samples of a table.

    Parameters
    ----------
    sample : (G,) int64
        Index of the sample of each segment.
    start, length : (G,) int64
        Flat index of its first token, and its number of tokens.
    clique : (G,) bool
        Whether each of its tokens (two or more) attends to all of them.
    alone : (G,) bool
        Whether each of its tokens attends to itself alone, within the segment.
    viewer, seen : (V,) int64
        Pairs: segment ``viewer`` attends to segment ``seen``.
    level : (G,) int64
        Length of the longest chain of segments that it sees, directly or through others.
    live : (U,) bool
        Whether some prediction depends on each token of the table.
    count : (G,) int64
        Number of live tokens of each segment, which are its first ones; of an ``alone`` segment its length if any is
        live.
    trained, predictor : (E,) int64
        Flat indices of the trained labels, ascending, and of the token that predicts each.
    """

    sample: Int64Array
    start: Int64Array
    length: Int64Array
    clique: BoolArray
    alone: BoolArray
    viewer: Int64Array
    seen: Int64Array
    level: Int64Array
    live: BoolArray
    count: Int64Array
    trained: Int64Array
    predictor: Int64Array


def segments_or_causal(table: SampleTable, sample: int) -> tuple[Segment, ...]:
    """Return the segments of a sample; a causal sample is one causal segment."""
    segments = table.segments[sample]
    length = int(table.offset[sample + 1] - table.offset[sample])
    return (Segment(0, length, (), CAUSAL, 0, "next", -1),) if segments is None else segments


def spans_of(table: SampleTable) -> Spans:
    """Return the segments of all samples of a table.

    Raises
    ------
    InvalidInstance
        If a trained label has no token that predicts it.
    """
    rows: list[tuple[int, ...]] = []
    level: list[int] = []
    viewer: list[int] = []
    seen: list[int] = []
    for sample in range(len(table)):
        base, begin = len(rows), int(table.offset[sample])  # first segment and first token of the sample
        for number, segment in enumerate(segments_or_causal(table, sample)):
            full = segment.within == FULL and segment.length > 1
            before = base + segment.after if segment.after >= 0 else -1
            kind = (full, segment.within == SELF, segment.predict == "self", before)
            rows.append((sample, begin + segment.start, segment.length, *kind))
            level.append(1 + max((level[base + s] for s in segment.sees), default=-1))
            viewer += [base + number] * len(segment.sees)
            seen += [base + s for s in segment.sees]
    owner, start, length, clique, alone, predicts_itself, after = np.array(rows, np.int64).reshape(-1, 7).T.copy()
    cliques, lone = clique.astype(bool), alone.astype(bool)
    pairs = np.array(viewer, np.int64), np.array(seen, np.int64)
    trained, predictor = _find_predictors(table, start, length, predicts_itself.astype(bool), after)
    live, count = _find_live(len(table.tokens), start, length, cliques | lone, lone, pairs, predictor)
    levels = np.array(level, np.int64)
    return Spans(owner, start, length, cliques, lone, *pairs, levels, live, count, trained, predictor)


def segment_of_token(start: Int64Array, length: Int64Array, token: Int64Array) -> Int64Array:
    """Return the segment of each token, given the segments' first tokens and lengths; empty segments contain none."""
    filled = np.flatnonzero(length > 0)
    return filled[np.searchsorted(start[filled], token, "right") - 1] if len(token) else token


def _find_predictors(
    table: SampleTable, start: Int64Array, length: Int64Array, predicts_itself: BoolArray, after: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Return the flat indices of the trained labels and of the token that predicts each."""
    trained = np.flatnonzero(table.labels != IGNORED)
    segment = segment_of_token(start, length, trained)
    # last token of the segment that predicts the first label of each segment; after = -1 reads the last row, unused
    last = np.where((after >= 0) & (length[after] > 0), start[after] + length[after] - 1, -1)
    before = np.where(trained > start[segment], trained - 1, last[segment])
    predictor = np.where(predicts_itself[segment], trained, before)
    if (predictor < 0).any():
        token = int(trained[np.argmax(predictor < 0)])
        sample = int(np.searchsorted(table.offset, token, "right")) - 1
        fact = f"the label {table.labels[token]} begins a segment, and no segment precedes it"
        path = f"$.labels[{token - int(table.offset[sample])}]"
        remedy = 'name the segment whose last token predicts it as "after"'
        raise InvalidInstance(fact, path, remedy, table.place[sample])
    return trained, predictor


def _find_live(
    tokens: int,
    start: Int64Array,
    length: Int64Array,
    symmetric: BoolArray,
    alone: BoolArray,
    pairs: tuple[Int64Array, Int64Array],
    predictor: Int64Array,
) -> tuple[BoolArray, Int64Array]:
    """Return which tokens are live, and how many of each segment.

    A predicting token makes the tokens in its row live, and these those in their rows.

    Parameters
    ----------
    tokens : int
        Number of tokens of the table.
    start, length : (G,) int64
    symmetric : (G,) bool
        Whether a segment's tokens do not depend on their order: full and self segments.
    alone : (G,) bool
    pairs : (viewer, seen) of (V,) int64
    predictor : (E,) int64
    """
    segment = segment_of_token(start, length, predictor)
    count = np.zeros(len(start), np.int64)
    np.maximum.at(count, segment, predictor - start[segment] + 1)  # a causal segment is live up to its last predictor
    is_seen = np.zeros(len(start), bool)  # seen by a live token, so that all of its tokens are live
    viewer, seen = pairs
    while True:
        reached = is_seen.copy()
        reached[seen[(count[viewer] > 0) | (is_seen[viewer] & (length[viewer] > 0))]] = True
        if np.array_equal(reached, is_seen):
            break
        is_seen = reached
    count = np.where(is_seen | (symmetric & (count > 0)), length, count)
    live = np.zeros(tokens, bool)
    filled = np.flatnonzero(~alone | is_seen)
    live[repeat_ranges(start[filled], count[filled])] = True
    live[predictor] = True  # in an unseen `alone` segment only the predictors are live
    return live, count
