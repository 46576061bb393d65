"""Block lists of a mask, as block-sparse attention kernels read them, and their independent check.

A kernel trusts its lists: a needed block that is missing, a partial block called full, or a block in both lists gives wrong attention
without a word, and an eager run hides it because it ignores the lists. Hence the check.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export.row_intervals import Ints, rows_of
from masksynth.mask import Mask

BlockSize = int | tuple[int, int]


class BlockLists(NamedTuple):
    """For each of Rq block rows, which of the Rk key blocks hold some (partial) or only (full) allowed pairs.

    Indices have full width: row i lists ``index[i, : count[i]]`` in rising order, and the unlisted blocks follow in rising order.
    """

    partial_count: NDArray[np.int32]
    partial_index: NDArray[np.int32]
    full_count: NDArray[np.int32]
    full_index: NDArray[np.int32]


def block_lists(mask: Mask, table: int = 0, block_size: BlockSize = 128) -> BlockLists:
    """The block lists of one table of a mask.

    Block (i, j) covers queries iQ .. iQ + Q - 1 and keys jK .. jK + K - 1. It is full iff all QK pairs are allowed (never at a ragged
    edge), partial iff some are. Takes O(T + R^2) time and memory for T intervals and R block rows; no (N, N) array.

    Parameters
    ----------
    mask : Mask
    table : int
        Which table of the pattern.
    block_size : int or (int, int)
        (Q, K), or one number for both.

    Examples
    --------
    >>> lists = block_lists(Mask.from_dense(np.tril(np.ones((5, 5), bool))), block_size=2)
    >>> lists.partial_count.tolist(), lists.partial_index.tolist()
    ([1, 1, 3], [[0, 1, 2], [1, 0, 2], [0, 1, 2]])
    >>> lists.full_count.tolist(), lists.full_index[1].tolist()
    ([0, 1, 0], [0, 1, 2])
    """
    rows, keys = block_sizes(block_size)
    allowed = block_pairs(mask, table, rows, keys)
    full = allowed == rows * keys
    return BlockLists(*_ordered((allowed > 0) & ~full), *_ordered(full))


def check_blocks(mask: Mask, lists: BlockLists, table: int = 0, block_size: BlockSize = 128) -> None:
    """Check that attention computed from the lists is attention under the mask.

    Every allowed pair lies in a listed block, full blocks hold allowed pairs only, no block is listed twice or in both lists, and every
    index names a block. Block counts are not used: a block is touched iff an interval meets it, and full iff each of its rows has one
    interval that covers it (intervals of a row never touch).

    Raises
    ------
    WrongAnswer
        Naming the table and the first offending block.
    """
    rows, keys = block_sizes(block_size)
    grid = (-(-mask.size // rows), -(-mask.size // keys))
    partial = _listed(lists.partial_count, lists.partial_index, grid, "partial")
    full = _listed(lists.full_count, lists.full_index, grid, "full")
    query, start, end = rows_of(mask, table)
    touched = _spans(query // rows, start // keys, -(-end // keys), grid) > 0
    covered = _spans(query // rows, -(-start // keys), np.maximum(end // keys, -(-start // keys)), grid) == rows
    for fault, words in (
        (partial & full, "is listed as partial and as full, so it counts twice"),
        (touched & ~partial & ~full, "holds allowed pairs and is not listed"),
        (full & ~covered, "is listed as full and holds a forbidden pair"),
    ):
        if fault.any():
            place = tuple(int(x) for x in np.argwhere(fault)[0])
            raise WrongAnswer("block lists", f"table {table}: block {place} of {rows} x {keys} pairs {words}")


def transposed_lists(lists: BlockLists) -> BlockLists:
    """The same blocks listed by key block, as backward passes read them: which query blocks hold some or only allowed pairs.

    Examples
    --------
    >>> lists = block_lists(Mask.from_dense(np.tril(np.ones((5, 5), bool))), block_size=2)
    >>> back = transposed_lists(lists)
    >>> back.partial_count.tolist(), back.partial_index[1].tolist(), back.full_count.tolist()
    ([2, 2, 1], [1, 2, 0], [1, 0, 0])
    """
    grid = lists.partial_index.shape
    partial = _listed(lists.partial_count, lists.partial_index, grid, "partial")
    full = _listed(lists.full_count, lists.full_index, grid, "full")
    return BlockLists(*_ordered(partial.T), *_ordered(full.T))


def check_transposed(lists: BlockLists, back: BlockLists) -> None:
    """Check that ``back`` lists by key block exactly the blocks that ``lists`` lists by query block, partial and full.

    Raises
    ------
    WrongAnswer
        Naming the first block that only one of them lists.
    """
    high, wide = lists.partial_index.shape
    for which in ("partial", "full"):
        forward = _listed(getattr(lists, f"{which}_count"), getattr(lists, f"{which}_index"), (high, wide), which)
        backward = _listed(
            getattr(back, f"{which}_count"), getattr(back, f"{which}_index"), (wide, high), f"transposed {which}"
        )
        if (fault := forward != backward.T).any():
            place = tuple(int(x) for x in np.argwhere(fault)[0])
            raise WrongAnswer(
                "block lists",
                f"block {place} is in one of the {which} lists and not in the transposed one, or the reverse",
            )


def block_sizes(block_size: BlockSize) -> tuple[int, int]:
    """(queries, keys) of a block; InvalidInstance where one is below 1."""
    rows, keys = (block_size, block_size) if isinstance(block_size, int) else block_size
    if rows < 1 or keys < 1 or isinstance(rows, bool) or isinstance(keys, bool):
        raise InvalidInstance(f"block size {block_size} is not positive", remedy="use 128 or (256, 128)")
    return rows, keys


class BlockCounts(NamedTuple):
    """How many blocks hold allowed pairs only, some and not only, and how many there are; over all tables."""

    full: int
    partial: int
    all: int


def block_counts(mask: Mask, block_size: BlockSize = 128) -> BlockCounts:
    """Count the blocks of a mask without listing them.

    Raises
    ------
    InvalidInstance
        If the block size is not positive.

    Examples
    --------
    >>> block_counts(Mask.from_dense(np.tril(np.ones((4, 4), bool))), 2)
    BlockCounts(full=1, partial=2, all=4)
    """
    rows, keys = block_sizes(block_size)
    full = some = total = 0
    for table in range(mask.tables):
        allowed = block_pairs(mask, table, rows, keys)
        full += int((allowed == rows * keys).sum())
        some += int((allowed > 0).sum())
        total += allowed.size
    return BlockCounts(full, some - full, total)


def block_pairs(mask: Mask, table: int, rows: int, keys: int) -> NDArray[np.int64]:
    """Number of allowed pairs in each block of ``rows`` x ``keys``.

    The keys below x that fall in block j are K for j < x // K, x mod K for j = x // K, and none beyond: two steps of a difference array.

    Examples
    --------
    >>> block_pairs(Mask.from_dense(np.tril(np.ones((5, 5), bool))), 0, 2, 2).tolist()
    [[3, 0, 0], [4, 3, 0], [2, 2, 1]]
    """
    grid = (-(-mask.size // rows), -(-mask.size // keys))
    query, start, end = rows_of(mask, table)
    lines, width = query // rows * (grid[1] + 2), grid[1] + 2
    steps = np.zeros(grid[0] * width)
    for bound, sign in ((end, 1), (start, -1)):
        block, rest = np.divmod(bound, keys)
        block += lines
        steps += np.bincount(block, sign * (rest - keys), len(steps))
        steps += np.bincount(block + 1, -sign * rest, len(steps))
    return steps.astype(np.int64).reshape(grid[0], width).cumsum(axis=1)[:, : grid[1]]


def _ordered(listed: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Counts and full-width indices of a grid of listed blocks: each block's place is the number of its like before it."""
    count = listed.sum(axis=1, dtype=np.int32)
    before = listed.cumsum(axis=1, dtype=np.int32) - 1
    number = np.broadcast_to(np.arange(listed.shape[1], dtype=np.int32), listed.shape)
    place = np.where(listed, before, count[:, None] + number - before - 1)
    index = np.empty(listed.shape, np.int32)
    np.put_along_axis(index, place.astype(np.intp), number, axis=1)
    return count, index


def _listed(count: NDArray[np.int32], index: NDArray[np.int32], grid: tuple[int, int], which: str) -> NDArray[np.bool_]:
    """The listed blocks as a boolean grid, after checking that indices are distinct block numbers."""
    if count.shape != grid[:1] or index.shape != grid or (count < 0).any() or (count > grid[1]).any():
        raise WrongAnswer(
            "block lists", f"{which} lists of shapes {count.shape} and {index.shape} do not fit a grid of {grid} blocks"
        )
    used = np.arange(grid[1]) < count[:, None]
    row, chosen = np.nonzero(used)[0], index[used]
    if ((chosen < 0) | (chosen >= grid[1])).any():
        raise WrongAnswer("block lists", f"a {which} list names a block outside 0..{grid[1] - 1}")
    times = np.bincount(row * grid[1] + chosen, minlength=grid[0] * grid[1]).reshape(grid)
    if (times > 1).any():
        raise WrongAnswer(
            "block lists", f"block {tuple(int(x) for x in np.argwhere(times > 1)[0])} stands twice in a {which} list"
        )
    return times > 0


def _spans(row: Ints, start: Ints, end: Ints, grid: tuple[int, int]) -> Ints:
    """How many of the spans (row, start <= j < end) hold each block."""
    width, line = grid[1] + 2, row * (grid[1] + 2)
    steps = np.bincount(line + start, minlength=grid[0] * width) - np.bincount(line + end, minlength=grid[0] * width)
    return steps.reshape(grid[0], width).cumsum(axis=1)[:, : grid[1]]
