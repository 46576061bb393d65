"""Colours of the tokens of segmented samples, by hashing whole runs: no loop over tokens.

Two live tokens are equivalent iff they have equal identities and their rows are equal multisets of classes (``docs/theory.md``, section 3).
Segments see earlier segments only, so colours are found segment by segment, all segments of one level at once:

* The *context* of a segment is the multiset of the classes it sees. Its key is the wrapping sum of one word per token, so that the order in
  which it is seen does not matter.
* Within a causal segment the colour of a token is the polynomial hash of the identities up to it, started from the context's key: the
  key of a row that ends in token v *is* the colour of v. A context that equals such a row therefore takes that colour as its key, and a
  text cut into two segments has the colours of the same text in one.
* All members of a full segment have one row; their colours come from the context, the multiset of identities and their own.

Two lanes of 64 bits each decide; two different colours meet with a chance below 2^-64 for any two tokens, and the checker of packed batches
(``masksynth.verify.packs``) uses other words. Identities are compared exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.pack.sample_columns import SampleTable
from masksynth.pack.segment_columns import Spans

Words = UInt64Array
BASES = (0x9E3779B97F4A7C15 | 1, 0xD1342543DE82EF95 | 1)
SEEDS = (0x243F6A8885A308D3, 0x13198A2E03707344)


def mix(words: Words, seed: int) -> Words:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014) of ``words + seed``: a permutation of the 64-bit words.

    Examples
    --------
    >>> len(np.unique(mix(np.arange(1000, dtype=np.uint64), 7)))
    1000
    """
    x = words + np.uint64(seed)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True, eq=False)
class Lane:
    """One lane of the colours while they are found."""

    base: int
    seed: int
    identity: Words
    colour: Words
    word: Words
    context: Words
    total: Words
    key: Words


def classes_of(table: SampleTable, spans: Spans, identity: Int64Array) -> Int64Array:
    """For every token of the table its class, -1 for dead tokens; classes are numbered by first appearance.

    Parameters
    ----------
    table : SampleTable
    spans : Spans
        The segments, with their live tokens.
    identity : (U,) int64
        Equal iff group, token id, position and all keys are.
    """
    lanes = [_lane(spans, identity, base, seed) for base, seed in zip(BASES, SEEDS, strict=True)]
    by_level, pairs = _by_level(spans.level), _by_level(spans.level[spans.viewer])
    for level, chosen in enumerate(by_level):
        pair = pairs[level] if level < len(pairs) else chosen[:0]
        for lane in lanes:
            _contexts(lane, spans, chosen, pair)
        _continue(lanes, spans, pair)
        for lane in lanes:
            _colour(lane, spans, chosen)
    live = np.flatnonzero(spans.live)
    number = np.full(len(table.tokens), -1, np.int64)
    number[live] = _numbered([lane.colour[live] for lane in lanes])
    _check_identities(number[live], identity[live])
    return number


def _lane(spans: Spans, identity: Int64Array, base: int, seed: int) -> Lane:
    tokens, count = len(identity), len(spans.start)
    blank = [np.zeros(size, np.uint64) for size in (tokens, tokens, count, count, count)]
    return Lane(base, seed, mix(identity.astype(np.uint64), seed), *blank)


def _by_level(level: Int64Array) -> list[Int64Array]:
    """The indices of each level, 0, 1, ..."""
    order = np.argsort(level, kind="stable")
    return np.split(order, np.searchsorted(level[order], np.arange(1, int(level.max(initial=0)) + 1)))


def _contexts(lane: Lane, spans: Spans, chosen: Int64Array, pair: Int64Array) -> None:
    """Context = sum of the seen segments' totals; key = its hash."""
    np.add.at(lane.context, spans.viewer[pair], lane.total[spans.seen[pair]])
    lane.key[chosen] = mix(lane.context[chosen], lane.seed ^ 0x5555)


def _continue(lanes: list[Lane], spans: Spans, pairs: Int64Array) -> None:
    """Where a context is the row of the last token of a seen segment, its key is that token's colour."""
    pair = pairs[~spans.clique[spans.seen[pairs]] & (spans.count[spans.seen[pairs]] > 0)]
    viewer, seen = spans.viewer[pair], spans.seen[pair]
    last = spans.start[seen] + spans.length[seen] - 1
    same = np.ones(len(pair), bool)
    for lane in lanes:
        same &= lane.context[viewer] == lane.context[seen] + _within(lane, spans, seen, last)
    for lane in lanes:
        lane.key[viewer[same]] = lane.colour[last[same]]


def _within(lane: Lane, spans: Spans, segment: Int64Array, last: Int64Array) -> Words:
    """What the row of a segment's last token holds of its own segment."""
    return np.where(spans.alone[segment], lane.word[last], lane.total[segment])


def _colour(lane: Lane, spans: Spans, chosen: Int64Array) -> None:
    """Colours, words and totals of the live tokens of the chosen segments."""
    length = spans.count[chosen]
    flat = repeat_ranges(spans.start[chosen], length)
    owner = np.repeat(np.arange(len(chosen)), length)
    cut = indptr(length)[:-1]
    place = flat - spans.start[chosen][owner]
    powers = np.full(int(length.max(initial=0)) + 1, lane.base, np.uint64)
    inverse = np.full(len(powers), pow(lane.base, -1, 2**64), np.uint64)
    powers, inverse = np.cumprod(powers, dtype=np.uint64), np.cumprod(inverse, dtype=np.uint64)
    own = lane.identity[flat]
    key = lane.key[chosen][owner]
    terms = np.where(spans.alone[chosen][owner], np.uint64(0), own * inverse[place])
    running = np.cumsum(terms, dtype=np.uint64)
    before = np.append(np.uint64(0), running)[cut][owner] if len(flat) else running
    chain = powers[place] * (key + running - before)
    single = powers[:1] * (key + own * inverse[:1])
    members = np.append(np.uint64(0), np.cumsum(mix(own, lane.seed ^ 0x3333), dtype=np.uint64))
    whole = members[cut + length] - members[cut]
    together = mix(mix(key + whole[owner], lane.seed ^ 0x7777) + own, lane.seed ^ 0x1111)
    colour = np.where(spans.clique[chosen][owner], together, np.where(spans.alone[chosen][owner], single, chain))
    lane.colour[flat] = colour
    lane.word[flat] = mix(colour, lane.seed ^ 0x9999)
    sums = np.append(np.uint64(0), np.cumsum(lane.word[flat], dtype=np.uint64))
    lane.total[chosen] = sums[cut + length] - sums[cut]


def _numbered(colours: list[Words]) -> Int64Array:
    """Equal pairs of words get equal numbers, counted by first appearance."""
    order = np.argsort(colours[0])
    new = _changes(colours[0][order])
    if _changes(colours[1][order])[~new].any():  # the first lane alone does not tell all colours apart
        order = np.lexsort(colours)
        new = _changes(colours[0][order]) | _changes(colours[1][order])
    group = np.cumsum(new) - 1
    first = np.minimum.reduceat(order, np.flatnonzero(new)) if len(order) else order
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    result = np.empty(len(order), np.int64)
    result[order] = rank[group]
    return result


def _changes(words: Words) -> BoolArray:
    """Where a word differs from the one before it; True for the first."""
    return np.append(np.ones(min(len(words), 1), bool), words[1:] != words[:-1])


def _check_identities(number: Int64Array, identity: Int64Array) -> None:
    first = np.zeros(int(number.max(initial=-1)) + 1, np.int64)
    first[number[::-1]] = identity[::-1]
    if (first[number] != identity).any():
        raise WrongAnswer("identity", "two tokens of different identities met in one colour")
