"""The segments of many samples as columns, which of their tokens are live, and which token predicts each label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import repeat_ranges
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.prefix import trained_tokens
from masksynth.pack.sample_columns import SampleTable
from masksynth.pack.visibility import CAUSAL, FULL, SELF, Segment


@dataclass(frozen=True, eq=False)
class Spans:
    """G segments of the samples of a table.

    Parameters
    ----------
    sample, start, length : (G,) int64
        The sample, first token (index into the table) and number of tokens of each.
    clique, alone : (G,) bool
        Full visibility within (of two or more tokens); each token sees only itself.
    viewer, seen : (V,) int64
        Pairs: segment ``viewer`` sees segment ``seen``.
    level : (G,) int64
        Longest chain of segments seen below it.
    live : (U,) bool
        Which tokens of the table some prediction depends on.
    count : (G,) int64
        Live tokens of each segment, counted from its first; of an ``alone`` segment its whole length if any of it is live.
    trained, predictor : (E,) int64
        The trained labels and the token that predicts each.
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
    """The segments of a sample; a causal one is one causal segment."""
    given = table.segments[sample]
    length = int(table.offset[sample + 1] - table.offset[sample])
    return (Segment(0, length, (), CAUSAL, 0, "next", -1),) if given is None else given


def spans_of(table: SampleTable) -> Spans:
    """The segments of all samples.

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
        base, begin = len(rows), int(table.offset[sample])
        for number, segment in enumerate(segments_or_causal(table, sample)):
            full = segment.within == FULL and segment.length > 1
            before = base + segment.after if segment.after >= 0 else -1
            kind = (full, segment.within == SELF, segment.predict == "self", before)
            rows.append((sample, begin + segment.start, segment.length, *kind))
            level.append(1 + max((level[base + s] for s in segment.sees), default=-1))
            viewer += [base + number] * len(segment.sees)
            seen += [base + s for s in segment.sees]
    owner, start, length, cliques, lonely, own, after = np.array(rows, np.int64).reshape(-1, 7).T.copy()
    clique, alone = cliques.astype(bool), lonely.astype(bool)
    pairs = np.array(viewer, np.int64), np.array(seen, np.int64)
    trained, predictor = _predictors(table, start, length, own.astype(bool), after)
    live, count = _live(len(table.tokens), start, length, clique, alone, pairs, predictor)
    return Spans(
        owner, start, length, clique, alone, *pairs, np.array(level, np.int64), live, count, trained, predictor
    )


def _predictors(
    table: SampleTable, start: Int64Array, length: Int64Array, own: BoolArray, after: Int64Array
) -> tuple[Int64Array, Int64Array]:
    trained, _ = trained_tokens(table)
    some = np.flatnonzero(length > 0)
    segment = some[np.searchsorted(start[some], trained, "right") - 1] if len(trained) else trained
    last = np.where((after >= 0) & (length[after] > 0), start[after] + length[after] - 1, -1)
    predictor = np.where(own[segment], trained, np.where(trained > start[segment], trained - 1, last[segment]))
    if (predictor < 0).any():
        token = int(trained[np.argmax(predictor < 0)])
        sample = int(np.searchsorted(table.offset, token, "right")) - 1
        fact = f"the label {table.labels[token]} begins a segment, and no segment stands before it"
        place = f"$.labels[{token - int(table.offset[sample])}]"
        raise InvalidInstance(
            fact, place, 'name the segment whose last token predicts it as "after"', table.place[sample]
        )
    return trained, predictor


def _live(
    tokens: int,
    start: Int64Array,
    length: Int64Array,
    clique: BoolArray,
    alone: BoolArray,
    pairs: tuple[Int64Array, Int64Array],
    predictor: Int64Array,
) -> tuple[BoolArray, Int64Array]:
    """A predicting token makes what its row holds live, and so on down."""
    some = np.flatnonzero(length > 0)
    segment = some[np.searchsorted(start[some], predictor, "right") - 1] if len(predictor) else predictor
    count = np.zeros(len(start), np.int64)
    np.maximum.at(count, segment, predictor - start[segment] + 1)
    whole = np.zeros(len(start), bool)
    viewer, seen = pairs
    while True:
        reached = whole.copy()
        reached[seen[(count[viewer] > 0) | (whole[viewer] & (length[viewer] > 0))]] = True
        if np.array_equal(reached, whole):
            break
        whole = reached
    count = np.where(whole | ((clique | alone) & (count > 0)), length, count)
    live = np.zeros(tokens, bool)
    filled = np.flatnonzero(~alone | whole)
    live[repeat_ranges(start[filled], count[filled])] = True
    live[predictor] = True
    return live, count
