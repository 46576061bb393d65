"""Which position sees which, in the arrays of a packed batch: what the self-test knows without running a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.pack.batch import PackedBatch


def check_rows(source: PackedBatch) -> None:
    """Check that samples are causal: the row of a sample's token i is the positions of its tokens 0..i.

    Sets are compared by sums of random 64-bit words, in O(N + T + U) for T intervals and U live tokens.

    Raises
    ------
    WrongAnswer
        Naming the first row that is not, and a key that it lacks or has too many.
    """
    word = np.random.default_rng(0).integers(0, 2**64, source.positions, np.uint64)
    held = running_sums(word)
    in_rows = running_sums(held[source.mask.key_end] - held[source.mask.key_start])
    rows = in_rows[source.mask.row_offset[0, 1:]] - in_rows[source.mask.row_offset[0, :-1]]
    tokens, begin = (
        running_sums(word[source.sample_position]),
        np.repeat(source.sample_offset[:-1], np.diff(source.sample_offset)),
    )
    wrong = rows[source.sample_position] != tokens[1:] - tokens[begin]
    if wrong.any():
        at = int(np.argmax(wrong))
        position, due = int(source.sample_position[at]), source.sample_position[begin[at] : at + 1]
        row = source.mask.row(position)
        for keys, words in ((np.setdiff1d(row, due), "sees"), (np.setdiff1d(due, row), "does not see")):
            if keys.size:
                remedy = 'pass visible="mask" if the sample is not causal'
                raise WrongAnswer(
                    "rows", f"{words_of(source, position, at)} {words} {words_of(source, int(keys[0]))}; {remedy}"
                )


def are_causal(source: PackedBatch) -> bool:
    """Return whether the tokens of all samples see as many tokens as causal ones do, and some sample has several.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> are_causal(example_batch())
    True
    """
    live, row = np.diff(source.sample_offset), source.mask.row_offset[0]
    held = np.concatenate([[0], np.cumsum(source.mask.key_end.astype(np.int64) - source.mask.key_start)])
    keys = held[row[1:]] - held[row[:-1]]
    ordinal = np.arange(len(source.sample_position)) - np.repeat(source.sample_offset[:-1], live)
    return bool(live.max(initial=0) > 1 and np.array_equal(keys[source.sample_position], ordinal + 1))


def check_edges(source: PackedBatch) -> None:
    """Check that the label of a causal sample's token i is asked of the position of its token i - 1.

    Raises
    ------
    WrongAnswer
        Naming the first that is not.
    """
    token = source.sample_offset[source.loss_sample] + source.loss_index - 1
    inside = (source.loss_index >= 1) & (token < source.sample_offset[source.loss_sample + 1])
    wrong = ~inside
    wrong[inside] = source.sample_position[token[inside]] != source.loss_position[inside]
    if wrong.any():
        edge = int(np.argmax(wrong))
        sample, index = source.samples[source.loss_sample[edge]], int(source.loss_index[edge])
        fact = f"label {index} of sample {sample!r} is asked of position {int(source.loss_position[edge])}"
        raise WrongAnswer("loss edges", f"{fact}, which is not where its token {index - 1} stands")


def causal_mask(size: int) -> Mask:
    """Row q is 0..q.

    Examples
    --------
    >>> print(causal_mask(3))
    ■ · ·
    ■ ■ ·
    ■ ■ ■
    """
    end = np.arange(1, size + 1)
    return Mask(np.arange(size + 1)[None], np.zeros(size, np.int32), end.astype(np.int32))


def within(mask: Mask, kept: NDArray[np.int64]) -> Mask:
    """The mask among some positions (rising), renumbered; intervals that come to touch become one.

    Examples
    --------
    >>> within(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3))]]), np.array([0, 2])).intervals(1)
    ((0, 2),)
    """
    count = np.diff(mask.row_offset[0])[kept]
    flat = np.repeat(mask.row_offset[0, kept] - (np.cumsum(count) - count), count) + np.arange(count.sum())
    query = np.repeat(np.arange(len(kept)), count)
    start, end = np.searchsorted(kept, mask.key_start[flat]), np.searchsorted(kept, mask.key_end[flat])
    query, start, end = (part[start < end] for part in (query, start, end))
    fresh = np.ones(len(start), bool)
    fresh[1:] = (query[1:] != query[:-1]) | (start[1:] != end[:-1])
    last = np.append(fresh[1:], True)[: len(fresh)]
    offset = np.concatenate([[0], np.cumsum(np.bincount(query[fresh], minlength=len(kept)))])
    return Mask(offset[None], start[fresh].astype(np.int32), end[last].astype(np.int32))


def running_sums(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """0 and the running sums, modulo 2^64."""
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(values, dtype=np.uint64)])


def words_of(source: PackedBatch, position: int, at: int | None = None) -> str:
    """A position in words; ``at`` says which entry of ``sample_position`` is meant, where there are several."""
    found = np.flatnonzero(source.sample_position == position)[:1].tolist() if at is None else [at]
    if not found:
        return f"position {position}"
    sample = int(np.searchsorted(source.sample_offset, found[0], "right")) - 1
    return f"position {position} (token {found[0] - int(source.sample_offset[sample])} of sample {source.samples[sample]!r})"
