"""Colour the tokens of segmented samples by hashing complete segments; no loop over tokens.

Two live tokens are equivalent iff they have equal identities and their rows are equal multisets of classes
(``docs/theory.md``, section 3). Segments see earlier segments only, so colours are found segment by segment, all
segments of one level at once:

* The *context* of a segment is the multiset of the classes that it sees. Its key is the sum of one word for each token,
  modulo 2^64, so that the order in which tokens are seen does not matter.
* Within a causal segment the colour of a token is the polynomial hash of the identities up to it, which begins with the
  context's key: the key of a row that ends in token v *is* the colour of v. A context that equals such a row therefore
  takes that colour as its key, and a text cut into two segments has the colours of the same text in one.
* All members of a full segment have one row; their colours depend on the context, the multiset of identities and their
  own.

Two independent 64-bit hashes (*lanes*) decide together: any two different tokens get one colour with a probability
below 2^-64, and the checker of packed batches (``masksynth.verify.packs``) uses other words. Identities are compared
exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask.csr import indptr, prefix_sums, repeat_index, repeat_ranges
from masksynth.mask.equal_values import factorize_rows, run_starts
from masksynth.mask.typing import Int64Array, UInt64Array
from masksynth.pack.sample_columns import SampleTable
from masksynth.pack.segment_columns import Spans

Words = UInt64Array
BASES = (0x9E3779B97F4A7C15 | 1, 0xD1342543DE82EF95 | 1)
SEEDS = (0x243F6A8885A308D3, 0x13198A2E03707344)


def mix(words: Words, seed: int) -> Words:
    """Return SplitMix64's finalizer (Steele, Lea, Flood 2014) of ``words + seed``: a permutation of 64-bit words.

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
    """One 64-bit hash while it is computed.

    Parameters
    ----------
    base, seed : int
        Base of the polynomial, and seed of `mix`.
    identity : (U,) uint64
        Word of each token's identity.
    colour, word : (U,) uint64
        Colour of each token, and the word that it adds to a sum.
    context, total, key : (G,) uint64
        Of each segment: sum of the words that it sees, sum of the words of its own tokens, key of its context.
    """

    base: int
    seed: int
    identity: Words
    colour: Words
    word: Words
    context: Words
    total: Words
    key: Words


def classes_of(table: SampleTable, spans: Spans, identity: Int64Array) -> Int64Array:
    """Return the class of each token of the table, ``(U,)``, -1 for dead tokens; codes in order of first appearance.

    Parameters
    ----------
    table : SampleTable
    spans : Spans
        The segments, with their live tokens.
    identity : (U,) int64
        Codes, equal iff group, token id, position id and all keys are equal.

    Raises
    ------
    WrongAnswer
        If two tokens of different identities have one colour.
    """
    lanes = [_make_lane(spans, identity, base, seed) for base, seed in zip(BASES, SEEDS, strict=True)]
    segments, pairs = _group_by_level(spans.level), _group_by_level(spans.level[spans.viewer])
    for level, chosen in enumerate(segments):
        pair = pairs[level] if level < len(pairs) else chosen[:0]
        for lane in lanes:
            _set_keys(lane, spans, chosen, pair)
        _set_continued_keys(lanes, spans, pair)
        for lane in lanes:
            _set_colours(lane, spans, chosen)
    live = np.flatnonzero(spans.live)
    number = np.full(len(table.tokens), -1, np.int64)
    number[live] = _factorize_colours([lane.colour[live] for lane in lanes])
    _check_identities(number[live], identity[live])
    return number


def _make_lane(spans: Spans, identity: Int64Array, base: int, seed: int) -> Lane:
    tokens, count = len(identity), len(spans.start)
    zeros = [np.zeros(size, np.uint64) for size in (tokens, tokens, count, count, count)]
    return Lane(base, seed, mix(identity.astype(np.uint64), seed), *zeros)


def _group_by_level(level: Int64Array) -> list[Int64Array]:
    """Return the indices of level 0, those of level 1, and so on."""
    order = np.argsort(level, kind="stable")
    return np.split(order, np.searchsorted(level[order], np.arange(1, int(level.max(initial=0)) + 1)))


def _set_keys(lane: Lane, spans: Spans, chosen: Int64Array, pair: Int64Array) -> None:
    """Set context and key of the chosen segments: the sum of the totals of the segments they see, and its hash.

    Parameters
    ----------
    lane : Lane
    spans : Spans
    chosen : (g,) int64
        Segments of one level.
    pair : (v,) int64
        Indices of their (viewer, seen) pairs.
    """
    np.add.at(lane.context, spans.viewer[pair], lane.total[spans.seen[pair]])
    lane.key[chosen] = mix(lane.context[chosen], lane.seed ^ 0x5555)


def _set_continued_keys(lanes: list[Lane], spans: Spans, pairs: Int64Array) -> None:
    """Set the key of each context that equals the row of the last token of a seen segment to that token's colour."""
    # full segments are left out: the colour of a member is not the key of its row
    pair = pairs[~spans.clique[spans.seen[pairs]] & (spans.count[spans.seen[pairs]] > 0)]
    viewer, seen = spans.viewer[pair], spans.seen[pair]
    last = spans.start[seen] + spans.length[seen] - 1
    same = np.ones(len(pair), bool)
    for lane in lanes:
        same &= lane.context[viewer] == lane.context[seen] + _own_segment_sum(lane, spans, seen, last)
    for lane in lanes:
        lane.key[viewer[same]] = lane.colour[last[same]]


def _own_segment_sum(lane: Lane, spans: Spans, segment: Int64Array, last: Int64Array) -> Words:
    """Return the sum of the words that the row of a segment's last token holds of its own segment."""
    return np.where(spans.alone[segment], lane.word[last], lane.total[segment])


def _set_colours(lane: Lane, spans: Spans, chosen: Int64Array) -> None:
    """Set colours, words and totals of the live tokens of the chosen segments."""
    length = spans.count[chosen]
    token = repeat_ranges(spans.start[chosen], length)  # flat indices of the live tokens, segment after segment
    owner = repeat_index(length)
    first = indptr(length)[:-1]
    index = token - spans.start[chosen][owner]  # index of each token in its segment
    exponents = int(length.max(initial=0)) + 1
    powers = np.cumprod(np.full(exponents, lane.base, np.uint64), dtype=np.uint64)  # base, base^2, ... modulo 2^64
    inverses = np.cumprod(np.full(exponents, pow(lane.base, -1, 2**64), np.uint64), dtype=np.uint64)
    own, key = lane.identity[token], lane.key[chosen][owner]
    # causal: base^(i+1) (key + sum over j <= i of id_j base^-(j+1)), which is the polynomial hash, by prefix sums
    terms = np.where(spans.alone[chosen][owner], np.uint64(0), own * inverses[index])
    running = np.cumsum(terms, dtype=np.uint64)
    before = np.append(np.uint64(0), running)[first][owner] if len(token) else running  # sum before the segment
    causal = powers[index] * (key + running - before)
    alone = powers[:1] * (key + own * inverses[:1])  # a token alone has the hash of the first token of a causal segment
    members = prefix_sums(mix(own, lane.seed ^ 0x3333))
    identities = members[first + length] - members[first]  # hash of the multiset of identities of each segment
    full = mix(mix(key + identities[owner], lane.seed ^ 0x7777) + own, lane.seed ^ 0x1111)
    colour = np.where(spans.clique[chosen][owner], full, np.where(spans.alone[chosen][owner], alone, causal))
    lane.colour[token] = colour
    lane.word[token] = mix(colour, lane.seed ^ 0x9999)
    sums = prefix_sums(lane.word[token])
    lane.total[chosen] = sums[first + length] - sums[first]


def _factorize_colours(colours: list[Words]) -> Int64Array:
    """Return integer codes of the pairs of words, in order of first appearance."""
    order = np.argsort(colours[0])
    starts = run_starts(colours[0][order])
    if (run_starts(colours[1][order]) & ~starts).any():  # the first hash alone does not separate all colours
        return factorize_rows(*colours)
    run = np.cumsum(starts) - 1
    first = np.minimum.reduceat(order, np.flatnonzero(starts)) if len(order) else order
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))  # runs renumbered by first appearance
    codes = np.empty(len(order), np.int64)
    codes[order] = rank[run]
    return codes


def _check_identities(number: Int64Array, identity: Int64Array) -> None:
    """Raise if two tokens of one class differ in identity: a collision of hashes."""
    first = np.zeros(int(number.max(initial=-1)) + 1, np.int64)
    first[number[::-1]] = identity[::-1]
    if (first[number] != identity).any():
        raise WrongAnswer("identity", "two tokens of different identities have one colour")
