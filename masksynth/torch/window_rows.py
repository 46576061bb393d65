"""Cut the rows of a mask to a sliding window or to a chunk, by the index of each token in its sample.

A model with a window of W lets token i of a sample see token j only if ``i - j < W`` (encoders: ``|i - j| <= W``), a
model with chunks of C only if ``i // C == j // C``. The stored rows of a merged batch know neither. They are cut here
on their intervals: positions between whose indices the steps are 1 form a run, an interval within a run holds
consecutive indices, so each cut moves its two ends. The work is linear in rows, intervals and runs that the intervals
cross; in a prefix tree every interval lies in one run (``docs/theory.md``, section 11).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.pack.batch import PackedBatch

Ints = NDArray[np.int64]
FAR = np.int64(2**62)
"""Beyond the index of any token."""


@dataclass(frozen=True)
class Reach:
    """Which tokens of its own sample a token sees in one layer of a model.

    Parameters
    ----------
    kind : {"causal", "bidirectional"}
        Whether a token sees only earlier tokens, by the model's own default.
    window : int, optional
        W: causal layers see j with ``i - j < W``, bidirectional ones j with ``|i - j| <= W``.
    chunk : int, optional
        C: only j with ``i // C == j // C`` are seen.

    Raises
    ------
    InvalidInstance
        For a window or chunk that is no whole number above 0 (a bidirectional window may be 0).
    """

    kind: Literal["causal", "bidirectional"] = "causal"
    window: int | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        least = {"window": 1 if self.kind == "causal" else 0, "chunk": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < bound):
                fact = f"{name}: expected an integer from {bound}, got {value!r}"
                raise InvalidInstance(fact, "", "give the model's own number")

    @property
    def limited(self) -> bool:
        """Whether there is a window or a chunk."""
        return self.window is not None or self.chunk is not None

    def cuts(self, length: int) -> bool:
        """Whether the window or chunk forbids some pair of a sample of so many tokens.

        Examples
        --------
        >>> [Reach(window=4).cuts(4), Reach(window=4).cuts(5), Reach("bidirectional", window=4).cuts(5), Reach().cuts(9)]
        [False, True, False, False]
        """
        sizes = () if self.window is None else (self.window + (self.kind == "bidirectional"),)
        return any(size < length for size in (*sizes, *(() if self.chunk is None else (self.chunk,))))

    def __str__(self) -> str:
        parts: list[str] = [self.kind]
        parts += [f"window {self.window}"] if self.window is not None else []
        parts += [f"chunk {self.chunk}"] if self.chunk is not None else []
        return ", ".join(parts)


def token_index(batch: PackedBatch) -> Ints:
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
    begin = np.cumsum(live + dead) - (live + dead)
    is_live = np.ones(int((live + dead).sum()), bool)
    is_live[batch.dead_index + np.repeat(begin, dead)] = False
    index_in_sample = np.flatnonzero(is_live) - np.repeat(begin, live)
    index = batch.position_ids.copy()
    index[batch.sample_position] = index_in_sample
    differs = index[batch.sample_position] != index_in_sample
    if differs.any():
        raise Unsupported(_conflict(batch, index_in_sample, int(np.argmax(differs))))
    return index


def index_to_cut(batch: PackedBatch, reaches: Collection[Reach]) -> Ints | None:
    """Return the index of each position's token in its sample, or None where no sample is longer than a window or chunk.

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


def cut_mask(mask: Mask, index: Ints, reach: Reach) -> Mask:
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
    return _rows(query[kept], first[kept], last[kept], mask.size)


def index_bounds(index: Ints, reach: Reach) -> tuple[Ints, Ints]:
    """Return the lowest and the highest index that each query may see, (N,) each.

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


def split_at_runs(mask: Mask, index: Ints) -> tuple[Ints, Ints, Ints]:
    """Return (query, start, end) of the intervals, cut where the index does not go on by 1.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 3),), ((0, 1), (2, 3)), ()]])
    >>> split_at_runs(mask, np.array([0, 1, 1]))
    (array([0, 0, 1, 1]), array([0, 2, 0, 2]), array([2, 3, 1, 3]))
    """
    start, end = mask.key_start.astype(np.int64), mask.key_end.astype(np.int64)
    query = np.repeat(np.arange(mask.size), np.diff(mask.row_offset[0]))
    breaks = np.flatnonzero(np.diff(index) != 1) + 1  # the first position of each run but the first
    first = np.searchsorted(breaks, start, "right")
    inside = np.searchsorted(breaks, end, "left") - first  # breaks strictly within the interval
    if not inside.any():
        return query, start, end
    pieces = inside + 1
    piece = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    at = np.repeat(first, pieces) + piece
    padded = np.append(breaks, mask.size)
    begins = np.where(piece == 0, np.repeat(start, pieces), padded[at - 1])
    ends = np.where(piece == np.repeat(inside, pieces), np.repeat(end, pieces), padded[at])
    return np.repeat(query, pieces), begins, ends


def _rows(query: Ints, start: Ints, end: Ints, size: int) -> Mask:
    """Return the mask of sorted, disjoint intervals, of which those that touch become one."""
    opens = np.ones(len(query), bool)
    opens[1:] = (query[1:] != query[:-1]) | (start[1:] != end[:-1])
    closes = np.append(opens[1:], True)[: len(opens)]
    offset = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(query[opens], minlength=size), out=offset[1:])
    return Mask(offset[None], start[opens].astype(np.int32), end[closes].astype(np.int32))


def _conflict(batch: PackedBatch, index_in_sample: Ints, at: int) -> str:
    """Name a position that is one token of one sample and another token of another."""
    position = int(batch.sample_position[at])
    other = int(np.flatnonzero((batch.sample_position == position) & (index_in_sample != index_in_sample[at]))[0])
    sample = np.searchsorted(batch.sample_offset, [at, other], "right") - 1
    names = [batch.samples[number] for number in sample.tolist()]
    words = [f"token {index_in_sample[i]} of sample {name!r}" for i, name in zip((at, other), names, strict=True)]
    apart = "pack such samples in groups of their own" if sample[0] != sample[1] else "give the two different `kinds`"
    return f"position {position} is {words[0]} and {words[1]}, so a window or chunk cannot be cut for both; {apart}"
