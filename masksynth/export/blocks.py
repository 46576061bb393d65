"""Block lists of a mask, as block-sparse attention kernels read them, and their independent check.

A kernel does not check its lists: a needed block that is missing, a partial block listed as full, or a block in both
lists gives wrong attention silently, and an eager run does not show it, since it ignores the lists.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance, WrongAnswer, check_type
from masksynth.mask import Mask
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array

BlockSize = int | tuple[int, int]


class BlockLists(NamedTuple):
    """For each of Rq rows of blocks, which of the Rk key blocks contain some (partial) or only (full) allowed pairs.

    Parameters
    ----------
    partial_count, full_count : (Rq,) int32
        Number of listed blocks.
    partial_index, full_index : (Rq, Rk) int32
        Row i lists ``index[i, : count[i]]`` in increasing order; the other blocks follow in increasing order.
    """

    partial_count: Int32Array
    partial_index: Int32Array
    full_count: Int32Array
    full_index: Int32Array


def block_lists(mask: Mask, table: int = 0, block_size: BlockSize = 128) -> BlockLists:
    """Return the block lists of one table of a mask.

    Block (i, j) covers queries iQ .. iQ + Q - 1 and keys jK .. jK + K - 1. It is full iff all QK pairs are allowed
    (never at a ragged edge), partial iff some are. Takes O(T + R^2) time and memory for T intervals and R rows of
    blocks.

    Parameters
    ----------
    mask : Mask
    table : int
        Table of the layer pattern, from 0.
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
    check_type(mask, Mask)
    rows, keys = block_sizes(block_size)
    allowed = block_pairs(mask, table, rows, keys)
    full = allowed == rows * keys
    return BlockLists(*_list_blocks((allowed > 0) & ~full), *_list_blocks(full))


def check_blocks(mask: Mask, lists: BlockLists, table: int = 0, block_size: BlockSize = 128) -> None:
    """Check that attention computed from block lists is attention under a table of the mask.

    Every allowed pair is in a listed block, full blocks contain allowed pairs only, no block is listed twice or in both
    lists, and every index is that of a block. Pairs are not counted: a block is needed iff an interval meets it, and
    full iff each of its rows has an interval that covers it (intervals of a row never touch).

    Raises
    ------
    WrongAnswer
        Naming the table and the first offending block.
    """
    rows, keys = block_sizes(block_size)
    grid = (-(-mask.size // rows), -(-mask.size // keys))
    partial = _read_list(lists.partial_count, lists.partial_index, grid, "partial")
    full = _read_list(lists.full_count, lists.full_index, grid, "full")
    query, start, end = row_intervals(mask, table)
    touched = _count_covering(query // rows, start // keys, -(-end // keys), grid) > 0
    covered = (
        _count_covering(query // rows, -(-start // keys), np.maximum(end // keys, -(-start // keys)), grid) == rows
    )
    for fault, words in (
        (partial & full, "is listed as partial and as full, so it counts twice"),
        (touched & ~partial & ~full, "contains allowed pairs and is not listed"),
        (full & ~covered, "is listed as full and contains a forbidden pair"),
    ):
        if fault.any():
            block = tuple(int(x) for x in np.argwhere(fault)[0])
            raise WrongAnswer("block lists", f"table {table}: block {block} of {rows} x {keys} pairs {words}")


def transposed_lists(lists: BlockLists) -> BlockLists:
    """Return the same blocks listed by key block, as backward passes read them.

    Examples
    --------
    >>> lists = block_lists(Mask.from_dense(np.tril(np.ones((5, 5), bool))), block_size=2)
    >>> back = transposed_lists(lists)
    >>> back.partial_count.tolist(), back.partial_index[1].tolist(), back.full_count.tolist()
    ([2, 2, 1], [1, 2, 0], [1, 0, 0])
    """
    grid = lists.partial_index.shape
    partial = _read_list(lists.partial_count, lists.partial_index, grid, "partial")
    full = _read_list(lists.full_count, lists.full_index, grid, "full")
    return BlockLists(*_list_blocks(partial.T), *_list_blocks(full.T))


def check_transposed(lists: BlockLists, back: BlockLists) -> None:
    """Check that ``back`` lists by key block exactly the blocks that ``lists`` lists by query block.

    Raises
    ------
    WrongAnswer
        Naming the first block that only one of them lists.
    """
    high, wide = lists.partial_index.shape
    for which in ("partial", "full"):
        forward = _read_list(getattr(lists, f"{which}_count"), getattr(lists, f"{which}_index"), (high, wide), which)
        backward = _read_list(
            getattr(back, f"{which}_count"), getattr(back, f"{which}_index"), (wide, high), f"transposed {which}"
        )
        if (fault := forward != backward.T).any():
            block = tuple(int(x) for x in np.argwhere(fault)[0])
            fact = f"block {block} is in one of the {which} lists and not in the transposed one, or the reverse"
            raise WrongAnswer("block lists", fact)


def block_sizes(block_size: BlockSize) -> tuple[int, int]:
    """Return (queries, keys) of a block; raise InvalidInstance if one is below 1."""
    rows, keys = (block_size, block_size) if isinstance(block_size, int) else block_size
    if rows < 1 or keys < 1 or isinstance(rows, bool) or isinstance(keys, bool):
        raise InvalidInstance(
            f"block size: expected positive integers, got {block_size}", remedy="use 128 or (256, 128)"
        )
    return rows, keys


class BlockCounts(NamedTuple):
    """Number of blocks with allowed pairs only, with allowed and forbidden pairs, and of all; over all tables."""

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
    full = needed = total = 0
    for table in range(mask.tables):
        allowed = block_pairs(mask, table, rows, keys)
        full += int((allowed == rows * keys).sum())
        needed += int((allowed > 0).sum())
        total += allowed.size
    return BlockCounts(full, needed - full, total)


def block_pairs(mask: Mask, table: int, rows: int, keys: int) -> Int64Array:
    """Return the number of allowed pairs in each block of ``rows`` queries x ``keys`` keys, (Rq, Rk) int64.

    The number of keys below x in block j is K for j < x // K, x mod K for j = x // K, and 0 beyond. Its difference
    along j is nonzero in two blocks, so each interval changes four entries of a difference array.

    Examples
    --------
    >>> block_pairs(Mask.from_dense(np.tril(np.ones((5, 5), bool))), 0, 2, 2).tolist()
    [[3, 0, 0], [4, 3, 0], [2, 2, 1]]
    """
    grid = (-(-mask.size // rows), -(-mask.size // keys))
    query, start, end = row_intervals(mask, table)
    width = grid[1] + 2
    first_block = query // rows * width
    steps = np.zeros(grid[0] * width)  # sums of integers below 2^53, exact in float64
    for bound, sign in ((end, 1), (start, -1)):
        block, offset = np.divmod(bound, keys)
        block += first_block
        steps += np.bincount(block, sign * (offset - keys), len(steps))
        steps += np.bincount(block + 1, -sign * offset, len(steps))
    return steps.astype(np.int64).reshape(grid[0], width).cumsum(axis=1)[:, : grid[1]]


def _list_blocks(listed: BoolArray) -> tuple[Int32Array, Int32Array]:
    """Return count (R,) and index (R, C) of a grid of listed blocks: listed blocks first, then the others."""
    count = listed.sum(axis=1, dtype=np.int32)
    before = listed.cumsum(axis=1, dtype=np.int32) - 1
    number = np.broadcast_to(np.arange(listed.shape[1], dtype=np.int32), listed.shape)
    # The rank of a listed block is the number of listed blocks before it; unlisted blocks follow all listed ones.
    rank = np.where(listed, before, count[:, None] + number - before - 1)
    index = np.empty(listed.shape, np.int32)
    np.put_along_axis(index, rank.astype(np.intp), number, axis=1)
    return count, index


def _read_list(count: Int32Array, index: Int32Array, grid: tuple[int, int], which: str) -> BoolArray:
    """Return the listed blocks as a boolean grid; raise WrongAnswer unless indices are distinct block numbers.

    Parameters
    ----------
    count : (Rq,) int32
    index : (Rq, Rk) int32
    grid : (Rq, Rk)
    which : str
        Which list, for messages.
    """
    if count.shape != grid[:1] or index.shape != grid or (count < 0).any() or (count > grid[1]).any():
        raise WrongAnswer(
            "block lists", f"{which} lists of shapes {count.shape} and {index.shape} do not fit a grid of {grid} blocks"
        )
    used = np.arange(grid[1]) < count[:, None]
    row, chosen = np.nonzero(used)[0], index[used]
    if ((chosen < 0) | (chosen >= grid[1])).any():
        wrong = int(chosen.min() if chosen.min() < 0 else chosen.max())
        raise WrongAnswer("block lists", f"{which} list: expected blocks 0 to {grid[1] - 1}, got {wrong}")
    times = np.bincount(row * grid[1] + chosen, minlength=grid[0] * grid[1]).reshape(grid)
    if (times > 1).any():
        block = tuple(int(x) for x in np.argwhere(times > 1)[0])
        raise WrongAnswer("block lists", f"block {block} is listed twice in a {which} list")
    return times > 0


def _count_covering(row: Int64Array, start: Int64Array, end: Int64Array, grid: tuple[int, int]) -> Int64Array:
    """Return how many of the ranges of blocks (row, start <= j < end) contain each block, (Rq, Rk)."""
    width = grid[1] + 2
    opened, closed = (np.bincount(row * width + bound, minlength=grid[0] * width) for bound in (start, end))
    steps = opened - closed
    return steps.reshape(grid[0], width).cumsum(axis=1)[:, : grid[1]]
