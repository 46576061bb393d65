"""Lay out the positions and rows of a slice of a prefix forest, depth first: block after block, run after run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import Int32Array, Int64Array
from masksynth.pack.label_runs import Runs
from masksynth.pack.prefix import Forest, nearest_smaller


@dataclass(frozen=True, eq=False)
class Piece:
    """n positions that train some samples, isolated from all others.

    Parameters
    ----------
    samples : (s,) int64
        Indices into the table, ascending.
    source : (n,) int64
        Flat index of a token with the identity of each position.
    row_offset : (n + 1,) int64
    key_start, key_end : (t,) int32
        Row intervals, as those of a Mask of one table.
    live : (u,) int64
        Flat indices of the live tokens of the samples, ascending.
    position : (u,) int64
        The position of each of them.
    """

    samples: Int64Array
    source: Int64Array
    row_offset: Int64Array
    key_start: Int32Array
    key_end: Int32Array
    live: Int64Array
    position: Int64Array


@dataclass(frozen=True, eq=False)
class Layout:
    """The positions of a forest's S samples, depth first, in blocks of consecutive ones.

    A block has the positions of a sample that are new, and those of the samples after it that extend one another. The
    path of each of these samples consists of the block's runs, the last of which ends where the sample does.

    Parameters
    ----------
    block : (S,) int64
        Block of each sample of the forest.
    first, size : (B,) int64
        First position, and number of positions, of each block; 0 for that of a sample without live tokens.
    cut : (B + 1,) int64
        Row pointers of the blocks into the runs.
    low, base, count : (R,) int64
        The runs of each block from the root down: tokens ``low, ..., low + count - 1`` have the positions ``base, ...``
        No two runs of a block touch.
    """

    block: Int64Array
    first: Int64Array
    size: Int64Array
    cut: Int64Array
    low: Int64Array
    base: Int64Array
    count: Int64Array


def lay_out(forest: Forest) -> Layout:
    """Return the layout of a forest, or of consecutive samples of one, the first of which shares nothing.

    The tokens that a block's first sample shares lie on the path of the last block before it that shares less.

    Examples
    --------
    >>> layout = lay_out(Forest(np.arange(3), length=np.array([2, 3, 2]), shared=np.array([0, 2, 1])))
    >>> layout.block.tolist(), layout.size.tolist(), layout.cut.tolist()
    ([0, 0, 1], [3, 1], [0, 1, 3])
    >>> layout.low.tolist(), layout.base.tolist(), layout.count.tolist()
    ([0, 0, 1], [0, 0, 3], [3, 1, 1])
    """
    length, shared = forest.length, forest.shared
    opens = np.ones(len(length), bool)
    opens[1:] = (shared[1:] < length[:-1]) | (shared[1:] == 0)  # does not continue where the sample before it ends
    head = np.flatnonzero(opens)
    size = np.add.reduceat(length - shared, head) if len(head) else head
    start, low = np.cumsum(size) - size, shared[head]
    above = nearest_smaller(low)
    owner = np.flatnonzero(size)
    ancestor, high = owner, low[owner] + size[owner]
    width = np.zeros(len(head), np.int64)
    steps = []
    while len(owner):  # one step up the trie for all paths at once
        begin = low[ancestor]
        steps.append((owner, begin, start[ancestor], high - begin))
        width[owner] += 1
        below_root = begin > 0
        owner, high, ancestor = owner[below_root], begin[below_root], above[ancestor[below_root]]
    cut = indptr(width)
    runs = np.empty((3, int(cut[-1])), np.int64)
    for step, (owner, *columns) in enumerate(steps, 1):
        runs[:, cut[owner + 1] - step] = columns  # from the root down: the first steps are the last runs
    return Layout(np.cumsum(opens) - 1, start, size, cut, *runs)


def build_mask(layout: Layout) -> Mask:
    """Return the mask of all positions: position q attends to the path from the root to q, one interval for each run.

    Parameters
    ----------
    layout : Layout

    Examples
    --------
    >>> layout = lay_out(Forest(np.arange(2), length=np.array([3, 2]), shared=np.array([0, 1])))
    >>> print(build_mask(layout))
    ■ · · ·
    ■ ■ · ·
    ■ ■ ■ ·
    ■ · · ■
    """
    width = np.diff(layout.cut)
    offset = indptr(np.repeat(width, layout.size))
    begin, end = layout.base.astype(np.int32), (layout.base + layout.count).astype(np.int32)
    cut, size = layout.cut.tolist(), layout.size.tolist()
    # the rows of a block differ in the last interval alone, which ends with the position itself
    key_start, key_end = (_tile_slices(bound, cut, size) for bound in (begin, end))
    key_end[offset[1:] - 1] = np.arange(1, len(offset), dtype=np.int32)
    # valid: the runs of a block ascend from the root down, and no two touch
    return Mask.from_valid_arrays(offset[None], key_start, key_end)


def _tile_slices(bound: Int32Array, cut: list[int], times: list[int]) -> Int32Array:
    """Return ``bound[cut[i] : cut[i + 1]]``, repeated ``times[i]`` times, for each i; as bytes, which is fastest."""
    text = bound.tobytes()
    parts = [text[4 * a : 4 * b] * n for a, b, n in zip(cut[:-1], cut[1:], times, strict=True)]
    return np.frombuffer(bytearray().join(parts), np.int32)


def paths_of_samples(layout: Layout, forest: Forest, order: Int64Array) -> Runs:
    """Return the runs of positions on each sample's path, from the root down.

    Parameters
    ----------
    layout : Layout
    forest : Forest
    order : (S,) int64
        The samples of the forest, in the order in which their paths follow one another.
    """
    block = layout.block[order]
    runs = np.diff(layout.cut)[block]
    entry = repeat_ranges(layout.cut[block], runs)
    cut, count = indptr(runs), layout.count[entry]
    final = cut[1:][runs > 0] - 1
    count[final] = forest.length[order][runs > 0] - layout.low[entry[final]]  # the last run ends where the sample does
    return Runs(layout.base[entry], count, cut)


def slice_layout(layout: Layout, low: int, high: int) -> Layout:
    """Return the layout of the samples ``low <= i < high`` by themselves; the first of them shares nothing."""
    block = layout.block[low:high]
    blocks = slice(int(block[0]), int(block[-1]) + 1)
    cut = layout.cut[blocks.start : blocks.stop + 1]
    runs = slice(int(cut[0]), int(cut[-1]))
    first, low_of_run, count = layout.first[blocks], layout.low[runs], layout.count[runs]
    base = layout.base[runs] - first[0]
    return Layout(block - block[0], first - first[0], layout.size[blocks], cut - cut[0], low_of_run, base, count)
