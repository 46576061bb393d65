"""Cut the rows of a mask to a sliding window or to a chunk, by the index of each token in its sample.

A model with a window of W lets token i of a sample attend to token j only if ``i - j < W`` (encoders:
``|i - j| <= W``), a model with chunks of C only if ``i // C == j // C``. The stored rows of a merged batch have
neither. They are cut here on their intervals: positions between which the index rises in steps of 1 form a run, an
interval within a run holds consecutive indices, so each cut moves its two ends. The work is linear in rows, intervals
and runs that the intervals cross; in a prefix tree every interval lies in one run (``docs/theory.md``, section 11).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.mask.csr import index_in_row, row_of_entry
from masksynth.mask.intervals import RowIntervals, build_mask, coalesce_sorted, row_intervals
from masksynth.mask.typing import Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.torch.models.reach import Reach

FAR = np.int64(2**62)
"""An index above that of any token."""


def token_index(batch: PackedBatch) -> Int64Array:
    """Return the index of each position's token in its sample, (N,); dead tokens count.

    Positions of no sample (filling) get their position id.

    Raises
    ------
    Unsupported
        If samples that share a position have its token at different indices: a window cannot be cut for both.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> token_index(example_batch())
    array([0, 1, 1])
    """
    live, dead = np.diff(batch.sample_offset), np.diff(batch.dead_offset)
    begin = np.cumsum(live + dead) - (live + dead)  # where each sample begins among live and dead tokens of all
    is_live = np.ones(int((live + dead).sum()), bool)
    is_live[batch.dead_index + np.repeat(begin, dead)] = False
    index_in_sample = np.flatnonzero(is_live) - np.repeat(begin, live)
    index = batch.position_ids.copy()
    index[batch.sample_position] = index_in_sample
    differs = index[batch.sample_position] != index_in_sample  # another sample has overwritten the index
    if differs.any():
        raise Unsupported(_describe_conflict(batch, index_in_sample, int(np.argmax(differs))))
    return index


def index_to_cut(batch: PackedBatch, reaches: Collection[Reach]) -> Int64Array | None:
    """Return ``token_index``, or None where no sample is longer than a window or chunk.

    Raises
    ------
    Unsupported
        As ``token_index``, where some row has to be cut.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> index_to_cut(example_batch(), [Reach(), Reach(window=2)]), index_to_cut(example_batch(), [Reach(window=3)])
    (array([0, 1, 1]), None)
    """
    longest = int(np.max(np.diff(batch.sample_offset) + np.diff(batch.dead_offset), initial=0))
    return token_index(batch) if any(reach.cuts(longest) for reach in reaches) else None


def cut_mask(mask: Mask, index: Int64Array, reach: Reach) -> Mask:
    """Return the mask of one table without the pairs that a window or a chunk forbids.

    Parameters
    ----------
    mask : Mask
        One table over N positions.
    index : (N,) int64
        The index of each position's token in its sample.
    reach : Reach

    Examples
    --------
    >>> mask = Mask.from_dense(np.tril(np.ones((4, 4), bool)))
    >>> print(cut_mask(mask, np.arange(4), Reach(window=2)))
    ■ · · ·
    ■ ■ · ·
    · ■ ■ ·
    · · ■ ■
    """
    if not reach.limited:
        return mask
    low, high = index_bounds(index, reach)
    query, start, end = split_at_runs(mask, index)
    # within a run, index[k] = index[start] + (k - start): both bounds on the index are bounds on the key
    first = np.maximum(start, start + np.minimum(low[query] - index[start], end - start))
    last = np.minimum(end, start + np.maximum(high[query] - index[start] + 1, 0))
    kept = first < last
    if kept.all() and np.array_equal(first, start) and np.array_equal(last, end):
        return mask
    return build_mask(coalesce_sorted(query[kept], first[kept], last[kept]), mask.size)


def index_bounds(index: Int64Array, reach: Reach) -> tuple[Int64Array, Int64Array]:
    """Return the lowest and the highest index to which each query may attend, (N,) each.

    Examples
    --------
    >>> index_bounds(np.array([0, 5]), Reach("bidirectional", window=2))
    (array([-2,  3]), array([2, 7]))
    """
    low, high = np.full(len(index), -FAR), np.full(len(index), FAR)
    if reach.window is not None and reach.kind == "causal":
        low = np.maximum(low, index - reach.window + 1)
    elif reach.window is not None:
        low, high = np.maximum(low, index - reach.window), np.minimum(high, index + reach.window)
    if reach.chunk is not None:
        begin = index // reach.chunk * reach.chunk
        low, high = np.maximum(low, begin), np.minimum(high, begin + reach.chunk - 1)
    return low, high


def split_at_runs(mask: Mask, index: Int64Array) -> RowIntervals:
    """Return (query, start, end) of the intervals, split wherever the index does not rise by 1.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 3),), ((0, 1), (2, 3)), ()]])
    >>> split_at_runs(mask, np.array([0, 1, 1]))
    (array([0, 0, 1, 1]), array([0, 2, 0, 2]), array([2, 3, 1, 3]))
    """
    query, start, end = row_intervals(mask)
    breaks = np.flatnonzero(np.diff(index) != 1) + 1  # the first position of each run but the first
    first_break = np.searchsorted(breaks, start, "right")  # the first break after the start of each interval
    inside = np.searchsorted(breaks, end, "left") - first_break  # number of breaks strictly within each interval
    if not inside.any():
        return query, start, end
    pieces = inside + 1
    piece = index_in_row(pieces)
    next_break = np.repeat(first_break, pieces) + piece
    padded = np.append(breaks, mask.size)  # the last piece may have no break after it
    begins = np.where(piece == 0, np.repeat(start, pieces), padded[next_break - 1])
    ends = np.where(piece == np.repeat(inside, pieces), np.repeat(end, pieces), padded[next_break])
    return np.repeat(query, pieces), begins, ends


def _describe_conflict(batch: PackedBatch, index_in_sample: Int64Array, entry: int) -> str:
    """Describe a position that has different indices in two samples; ``entry`` is one of ``sample_position``."""
    position = int(batch.sample_position[entry])
    same_position = batch.sample_position == position
    other = int(np.flatnonzero(same_position & (index_in_sample != index_in_sample[entry]))[0])
    first, second = (int(sample) for sample in row_of_entry(batch.sample_offset)[[entry, other]])
    tokens = [
        f"token {index_in_sample[i]} of sample {batch.samples[sample]!r}"
        for i, sample in ((entry, first), (other, second))
    ]
    remedy = "pack such samples in separate groups" if first != second else "give the two different `kinds`"
    return f"position {position} is {tokens[0]} and {tokens[1]}, so a window or chunk cannot be cut for both; {remedy}"
