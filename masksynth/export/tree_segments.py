"""Trees of causal segments, for kernels that attend to packed sequences of variable length (flash-attention varlen).

Such a kernel knows no mask, only sequences: query i of n sees the first m - n + i + 1 of the m keys of its sequence. A
tree is cut into *segments*, maximal runs of positions each of which is the only parent of the next one that follows it
directly; the keys of a segment are the positions on the path from the root to its end, gathered from K and V. Every row
is exact, and the price is the copies: a path is gathered once for each segment that branches off it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.check_rows import check_rows, format_intervals
from masksynth.mask.csr import indptr, repeat_index, repeat_ranges, segment_sums
from masksynth.mask.equal_values import run_starts
from masksynth.mask.intervals import RowIntervals
from masksynth.mask.tree_rows import find_parents
from masksynth.mask.typing import Int32Array, Int64Array

MAX_GATHERED = 1 << 28
"""Most gathered keys (1 GiB of indices)."""


class TreeSegments(NamedTuple):
    """The arguments of a varlen kernel for N positions of a tree, in G segments with K gathered keys.

    Parameters
    ----------
    cu_seqlens_q : (G + 1,) int32
        Segment g has the queries ``cu_seqlens_q[g] .. cu_seqlens_q[g + 1] - 1``: all positions, in their order.
    cu_seqlens_k : (G + 1,) int32
        Its keys are ``kv_index[cu_seqlens_k[g] : cu_seqlens_k[g + 1]]``, of which its last query sees all, the one
        before all but the last, and so on.
    kv_index : (K,) int32
        Positions whose K and V are gathered: the paths from the roots to the ends of the segments.
    max_seqlen_q, max_seqlen_k : int
        The longest segment and the longest path.
    """

    cu_seqlens_q: Int32Array
    cu_seqlens_k: Int32Array
    kv_index: Int32Array
    max_seqlen_q: int
    max_seqlen_k: int


def to_tree_segments(mask: Mask, table: int = 0) -> TreeSegments:
    """Return the segments of a mask whose rows are paths of a tree, checked.

    Raises
    ------
    Unsupported
        Naming the first row that is not a path, if more than ``MAX_GATHERED`` keys would be gathered.

    Examples
    --------
    >>> segments = to_tree_segments(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 3),), ((0, 1), (3, 4))]]))
    >>> segments.cu_seqlens_q.tolist(), segments.cu_seqlens_k.tolist(), segments.kv_index.tolist()
    ([0, 3, 4], [0, 3, 5], [0, 1, 2, 0, 3])
    """
    segments = cut_tree(parents_of_mask(mask, table))
    check_tree_segments(mask, segments, table)
    return segments


def parents_of_mask(mask: Mask, table: int = 0) -> Int64Array:
    """Return the parent of each position of a tree, ``(N,)``, -1 for roots: the last earlier key of its row.

    Raises
    ------
    Unsupported
        Naming the first row that is not that of an earlier position with its own position added.
    """
    parent = find_parents(mask, table)
    wrong = (parent < -1) | (parent >= np.arange(mask.size))
    if wrong.any():
        row = int(wrong.argmax())
        keys = format_intervals(list(mask.intervals(row, table)))
        fact = f"row {row} attends to {keys}: not to itself and to what one earlier row attends to, as in a tree"
        raise Unsupported(f"cannot express: {fact}")
    return parent


def count_tree_keys(mask: Mask, table: int = 0) -> tuple[int, int]:
    """Return G and K, the numbers of segments and of gathered keys of a mask, without gathering.

    Examples
    --------
    >>> count_tree_keys(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 3),), ((0, 1), (3, 4))]]))
    (2, 5)
    """
    parent = parents_of_mask(mask, table)
    offset = mask.row_offset[table]
    length = segment_sums(mask.key_end.astype(np.int64) - mask.key_start, offset)  # of the path to each position
    last = np.append(parent[1:] != np.arange(len(parent) - 1), True)[: len(parent)]  # of its segment
    return int(last.sum()), int(length[last].sum())


def cut_tree(parent: Int64Array) -> TreeSegments:
    """Return the segments of a tree, or of several.

    Parameters
    ----------
    parent : (N,) int64
        Parent of each position, before it; -1 for a root.

    Raises
    ------
    Unsupported
        If more than ``MAX_GATHERED`` keys would be gathered.

    Examples
    --------
    >>> cut_tree(np.array([-1, 0, 0, 2])).kv_index.tolist()
    [0, 1, 0, 2, 3]
    """
    size = len(parent)
    opens = parent != np.arange(-1, size - 1)
    opens[:1] = True
    start = np.flatnonzero(opens)
    home = np.cumsum(opens) - 1  # segment of each position
    length = np.diff(start, append=size)
    above, owner, total = parent[start], np.arange(len(start)), size
    steps = [(owner, start, length)]
    while len(owner := owner[above >= 0]):  # one segment further up for all paths at once
        above = above[above >= 0]
        first = start[home[above]]
        steps.append((owner, first, above - first + 1))
        total += int(steps[-1][2].sum())
        if total > MAX_GATHERED:
            raise Unsupported(f"cannot express: more than {MAX_GATHERED:,} keys are gathered; pack shorter batches")
        above = parent[first]
    owner, first, count = (np.concatenate(column) for column in zip(*reversed(steps), strict=True))
    order = np.argsort(owner, kind="stable")  # segment after segment, from the root down
    keys = indptr(np.bincount(owner, count, len(start)).astype(np.int64))
    return TreeSegments(
        cu_seqlens_q=np.append(start, size).astype(np.int32),
        cu_seqlens_k=keys.astype(np.int32),
        kv_index=repeat_ranges(first[order], count[order]).astype(np.int32),
        max_seqlen_q=int(length.max(initial=0)),
        max_seqlen_k=int(np.diff(keys).max(initial=0)),
    )


def check_tree_segments(mask: Mask, segments: TreeSegments, table: int = 0) -> None:
    """Check that segments mean a table of the mask.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs, or what is wrong with the arrays.
    """
    check_rows(mask, table, segments_to_rows(segments, mask, table), "varlen")
    for name, lengths in (("max_seqlen_q", segments.cu_seqlens_q), ("max_seqlen_k", segments.cu_seqlens_k)):
        longest, stated = int(np.diff(lengths).max(initial=0)), getattr(segments, name)
        if stated != longest:
            raise WrongAnswer("varlen", f"{name} is {stated}, the longest has {longest}")


def segments_to_rows(segments: TreeSegments, mask: Mask, table: int = 0) -> RowIntervals:
    """Return the row intervals of segments, by their definition; ``mask`` gives N and bounds how much is written out.

    Raises
    ------
    WrongAnswer
        If the lengths do not fit together, an index is not a position, or the keys have far more runs than the mask.
    """
    _check_arrays(segments, mask.size)
    queries, keys = segments.cu_seqlens_q.astype(np.int64), segments.cu_seqlens_k.astype(np.int64)
    index = segments.kv_index.astype(np.int64)
    opens = run_starts(index - np.arange(len(index)))  # runs of consecutive positions
    opens[keys[:-1]] = True  # that end with their segment
    first = np.flatnonzero(opens)
    runs = np.searchsorted(first, keys)  # runs of each segment
    count = np.diff(queries)
    width = np.repeat(np.diff(runs), count)  # runs of the path of each query
    most = 64 * (int(np.diff(mask.row_offset[table]).sum()) + mask.size)
    if int(width.sum()) > most:
        fact = f"the paths have {int(width.sum()):,} runs in all (more than {most:,} for this mask)"
        raise WrongAnswer("varlen", fact)
    row, run = repeat_index(width), repeat_ranges(np.repeat(runs[:-1], count), width)
    # the last query of a segment sees its keys up to the last one, the query before it one less, ...
    stop = np.repeat(keys[1:] - queries[1:], count) + np.arange(mask.size) + 1
    begin, end = first[run], np.minimum(np.append(first[1:], len(index))[run], stop[row])
    seen = end > begin
    return row[seen], index[begin[seen]], index[begin[seen]] + (end - begin)[seen]


def _check_arrays(segments: TreeSegments, size: int) -> None:
    """Raise WrongAnswer if lengths do not fit together or an index is not one of ``size`` positions."""
    queries, keys, index = segments.cu_seqlens_q, segments.cu_seqlens_k, segments.kv_index
    for name, cuts, total in (("cu_seqlens_q", queries, size), ("cu_seqlens_k", keys, len(index))):
        if len(cuts) == 0 or cuts[0] != 0 or cuts[-1] != total or (np.diff(cuts.astype(np.int64)) <= 0).any():
            raise WrongAnswer("varlen", f"{name} does not increase strictly from 0 to {total}")
    if len(queries) != len(keys) or (np.diff(keys) < np.diff(queries)).any():
        raise WrongAnswer("varlen", "a segment has fewer keys than queries")
    if len(index) and (index.min() < 0 or index.max() >= size):
        raise WrongAnswer("varlen", f"kv_index has {index.min()} to {index.max()}, expected 0 to {size - 1}")


def describe_cost(segments: int, keys: int, size: int) -> str:
    """Return the price of segments in words.

    Examples
    --------
    >>> describe_cost(21, 2520, 252)
    '21 segments gather 2,520 keys, 10.00 for each position'
    """
    word = "segment gathers" if segments == 1 else "segments gather"
    return f"{segments:,} {word} {keys:,} keys, {keys / max(size, 1):.2f} for each position"
