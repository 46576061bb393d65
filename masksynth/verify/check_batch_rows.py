"""The rows of a packed batch against what the tokens of its samples see.

The rows of a sample are rebuilt from its description: a causal token sees the tokens up to itself, a segmented one what
its segment lists. Rows are compared as multisets by sums of random words, one word per class of positions: over a row
by prefix sums, over a sample's tokens by running sums. Unequal multisets have equal sums with probability 2^-64; all
else is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.verify.ragged import prefix_sums, repeat_ranges, row_of_entry

DEAD = np.uint64(0x9E3779B97F4A7C15)
"""The word of dead tokens; any number but 0."""


def wrong_tokens(batch: Any, cut: Int64Array, segments: Sequence[Any], at: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the live tokens whose row is not what they see in their sample; and of which position each is a copy.

    Rows are compared class by class. The sum of words over a token's row is the sum over the tokens that it sees. Dead
    tokens have a word that no position has, so a live token that sees one, which it cannot in the batch, is wrong.

    Parameters
    ----------
    batch : PackedBatch
    cut : (S + 1,) int64
        First token of each sample.
    segments : sequence of S
        Segments of each sample; None for a causal one.
    at : (U,) int64
        The position of each token, -1 for dead ones.

    Returns
    -------
    wrong : (m,) int64
    original : (N,) int64
        For each position itself, or the position that it is a copy of.

    Raises
    ------
    WrongAnswer
        If a position does not see itself, or serves no sample and is not a copy.
    """
    used = np.zeros(len(batch.input_ids), bool)
    used[batch.sample_position] = True
    word, original = _draw_words(batch, used)
    row = _sum_rows(batch.mask, word)
    if not used.all() and (row != row[original]).any():
        position = int(np.argmax(row != row[original]))
        raise WrongAnswer("rows", f"position {position} is a copy of another and has another row")
    value = np.append(word, DEAD).take(at)  # ``at`` is -1 for dead tokens
    running = prefix_sums(value)
    expected = running[1:] - np.repeat(running[cut[:-1]], np.diff(cut))  # causal: all tokens of the sample so far
    for number, parts in enumerate(segments):
        if parts is not None:
            part = slice(int(cut[number]), int(cut[number + 1]))
            expected[part] = _sum_segments(parts, value[part], running[cut[number] : cut[number + 1] + 1])
    wrong = np.append(row, np.uint64(0)).take(at) != expected
    wrong[at < 0] = False
    return np.flatnonzero(wrong), original


def _draw_words(batch: Any, used: BoolArray) -> tuple[UInt64Array, Int64Array]:
    """Return a random word for each position, equal for copies, and the original of each position.

    ``used`` marks the positions at which a sample has a token; only the others are copies.
    """
    size, mask = len(used), batch.mask
    query = np.repeat(np.arange(size, dtype=np.int32), np.diff(mask.row_offset[0]))
    itself = (mask.key_start <= query) & (query < mask.key_end)
    if int(np.count_nonzero(itself)) != size:  # the intervals of a row are disjoint: one of each has its position
        alone = np.setdiff1d(np.arange(size), query[itself])
        raise WrongAnswer("rows", f"position {int(alone[0])} does not see itself")
    seed = [size, len(mask.key_start), int(batch.input_ids.sum()), int(mask.key_start.sum())]
    words = np.random.default_rng(seed).integers(0, 2**64, size, np.uint64)
    original = np.arange(size)
    if used.all():
        return words, original
    original[~used] = _find_originals(batch, np.where(used, words, np.uint64(0)), used)
    return words[original], original


def _find_originals(batch: Any, words: UInt64Array, used: BoolArray) -> Int64Array:
    """Return for each unused position a used one of which it may be a copy; comparing their rows shows whether it is.

    A used position of some sample sees the copy, and hence the first of its class in that sample. This one has the same
    identity, sees as many keys and, copies aside, the same ones, without itself where its row has one of the class
    only.
    """
    columns = [batch.input_ids, batch.position_ids, *(batch.keys[name] for name in sorted(batch.keys))]
    identity = np.unique(np.stack(columns), axis=1, return_inverse=True)[1].reshape(-1).astype(np.uint64)
    row, size = _sum_rows(batch.mask, words), _sum_rows(batch.mask, np.ones(len(words), np.uint64))
    copies = np.flatnonzero(~used)
    viewer_sample = _find_viewers(batch, used, copies)
    owner = row_of_entry(batch.sample_offset)
    candidates = np.isin(owner, viewer_sample)
    first, owner = batch.sample_position[candidates], owner[candidates]
    # Codes of (sample, identity, row sum, row length): each candidate with and without itself, then the copies.
    names = np.concatenate([identity[first], identity[first], identity[copies]])
    sums = np.concatenate([row[first], row[first] - words[first], row[copies]])
    sizes = np.concatenate([size[first], size[first], size[copies]])
    samples = np.concatenate([owner, owner, viewer_sample]).astype(np.uint64)
    code = np.unique(np.stack([samples, names, sums, sizes]), axis=1, return_inverse=True)[1].reshape(-1)
    position_of_code = np.full(len(code), -1, np.int64)
    position_of_code[code[: 2 * len(first)]] = np.concatenate([first, first])
    original = position_of_code[code[2 * len(first) :]]
    if (original < 0).any():
        position = int(copies[np.argmin(original)])
        raise WrongAnswer("identity", f"position {position} serves no sample and is not a copy of one that does")
    return original


def _find_viewers(batch: Any, used: BoolArray, copies: Int64Array) -> Int64Array:
    """Return for each of the unused positions a sample with a used position that sees it."""
    mask = batch.mask
    query = row_of_entry(mask.row_offset[0])
    low, high = np.searchsorted(copies, mask.key_start), np.searchsorted(copies, mask.key_end)  # intervals of copies
    hits = np.flatnonzero((high > low) & used[query])
    count = (high - low)[hits]
    viewer = np.full(len(copies), -1, np.int64)
    viewer[repeat_ranges(low[hits], count)] = np.repeat(query[hits], count)
    if (viewer < 0).any():
        position = int(copies[np.argmin(viewer)])
        raise WrongAnswer("identity", f"position {position} serves no sample, and none sees it")
    sample = np.zeros(len(used), np.int64)
    sample[batch.sample_position] = row_of_entry(batch.sample_offset)
    return sample[viewer]


def _sum_rows(mask: Any, words: UInt64Array) -> UInt64Array:
    """Return the sum of words over each row of the first table, modulo 2^64."""
    below = prefix_sums(words)
    before = prefix_sums(below.take(mask.key_end) - below.take(mask.key_start))  # take: int32 indices are not converted
    sums: UInt64Array = np.diff(before.take(mask.row_offset[0]))
    return sums


def _sum_segments(segments: Any, value: UInt64Array, running: UInt64Array) -> UInt64Array:
    """Return the sum of words over what each token of a segmented sample sees.

    Parameters
    ----------
    segments : sequence of segments
    value : (tokens,) uint64
        Words of the sample's tokens.
    running : (tokens + 1,) uint64
        Sums of the words before each of them, from any start.
    """
    result = np.zeros(len(value), np.uint64)
    start = np.array([segment.start for segment in segments], np.int64)
    total = running[start + np.array([segment.length for segment in segments], np.int64)] - running[start]
    for number, segment in enumerate(segments):
        part = slice(segment.start, segment.start + segment.length)
        if segment.within == "full":
            within = total[[number]]
        elif segment.within == "self":
            within = value[part]
        else:
            within = running[part.start + 1 : part.stop + 1] - running[[part.start]]
        result[part] = within + total[list(segment.sees)].sum(keepdims=True, dtype=np.uint64)
    return result
