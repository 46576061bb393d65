"""Check the rows and loss edges in the arrays of a packed batch, without running a model."""

from __future__ import annotations

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask.csr import prefix_sums, row_of_entry, segment_sums
from masksynth.pack.batch import PackedBatch


def check_sample_rows(source: PackedBatch) -> None:
    """Check that samples are causal: the row of a sample's token i is the positions of its tokens 0..i.

    Sets are compared by sums of random 64-bit words, in O(N + T + U) for T intervals and U live tokens.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs, and a key that is missing or not allowed.
    """
    word = np.random.default_rng(0).integers(0, 2**64, source.positions, np.uint64)
    words_before = prefix_sums(word)  # sums wrap around modulo 2^64, and so do their differences
    in_interval = words_before[source.mask.key_end] - words_before[source.mask.key_start]
    in_row = segment_sums(in_interval, source.mask.row_offset[0])
    begin = source.sample_offset[row_of_entry(source.sample_offset)]  # first entry of the sample of each live token
    tokens_before = prefix_sums(word[source.sample_position])
    up_to_token = tokens_before[1:] - tokens_before[begin]
    wrong = in_row[source.sample_position] != up_to_token
    if not wrong.any():
        return
    entry = int(np.argmax(wrong))
    position, expected = int(source.sample_position[entry]), source.sample_position[begin[entry] : entry + 1]
    row = source.mask.row(position)
    for keys, verb in ((np.setdiff1d(row, expected), "attends"), (np.setdiff1d(expected, row), "does not attend")):
        if keys.size:
            query, key = describe_position(source, position, entry), describe_position(source, int(keys[0]))
            remedy = 'pass visible="mask" if the sample is not causal'
            raise WrongAnswer("rows", f"{query} {verb} to {key}; {remedy}")


def check_loss_edges(source: PackedBatch) -> None:
    """Check that the label at a causal sample's token i is predicted at the position of its token i - 1.

    Raises
    ------
    WrongAnswer
        Naming the first label that is predicted elsewhere.
    """
    token = source.sample_offset[source.loss_sample] + source.loss_index - 1  # entry of sample_position
    inside = (source.loss_index >= 1) & (token < source.sample_offset[source.loss_sample + 1])
    wrong = ~inside
    wrong[inside] = source.sample_position[token[inside]] != source.loss_position[inside]
    if wrong.any():
        edge = int(np.argmax(wrong))
        sample, index = source.samples[source.loss_sample[edge]], int(source.loss_index[edge])
        fact = f"label {index} of sample {sample!r} is predicted at position {int(source.loss_position[edge])}"
        raise WrongAnswer("loss edges", f"{fact}, not at the position of its token {index - 1}")


def describe_position(source: PackedBatch, position: int, entry: int | None = None) -> str:
    """Return ``position 3 (token 1 of sample 'a')``.

    Parameters
    ----------
    source : PackedBatch
    position : int
    entry : int, optional
        Which entry of ``sample_position`` is meant, where several samples have the position; by default the first.
    """
    entries = np.flatnonzero(source.sample_position == position)[:1].tolist() if entry is None else [entry]
    if not entries:
        return f"position {position}"
    sample = int(np.searchsorted(source.sample_offset, entries[0], "right")) - 1
    token = entries[0] - int(source.sample_offset[sample])
    return f"position {position} (token {token} of sample {source.samples[sample]!r})"
