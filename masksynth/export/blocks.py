"""Block lists of a mask, as block-sparse attention kernels read them, and their independent check.

A kernel does not check its lists: a needed block that is missing, a partial block listed as full, or a block in both
lists gives wrong attention silently, and an eager run does not show it, since it ignores the lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from masksynth.errors import WrongAnswer, check_type
from masksynth.export.block_sizes import BlockSize, block_sizes, warn_of_large_lists
from masksynth.mask import Mask
from masksynth.mask.block_runs import MOST_CELLS, count_grid, iterate_block_runs, paint_runs
from masksynth.mask.intervals import gather_rows
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array


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
    (never at a ragged edge), partial iff some are. The lists take 16 R^2 bytes with their transposes for R rows of
    blocks (`list_bytes`); everything else that is held is a few rows of blocks.

    Parameters
    ----------
    mask : Mask
    table : int
        Table of the layer pattern, from 0.
    block_size : int or (int, int)
        (Q, K), or one number for both.

    Warns
    -----
    MasksynthWarning
        Before lists of more than `LARGE_LISTS` bytes are built, with their size and that of larger blocks.

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
    high, wide = count_grid(mask.size, rows, keys)
    warn_of_large_lists(mask.size, block_size)
    lists = _allocate_lists(high, wide)
    for part, runs in iterate_block_runs(mask, table, rows, keys, _rows_at_once(wide)):
        allowed, chunk = paint_runs(part, wide, runs), slice(part.start, part.stop)
        full = allowed == rows * keys
        _list_blocks((allowed > 0) & ~full, lists.partial_count[chunk], lists.partial_index[chunk])
        _list_blocks(full, lists.full_count[chunk], lists.full_index[chunk])
    return lists


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
    grid = count_grid(mask.size, rows, keys)
    _check_shapes(lists, grid)
    for part in _chunk_rows(*grid):
        _check_chunk(mask, BlockLists(*(array[part] for array in lists)), table, (rows, keys), part.start)


def _check_chunk(mask: Mask, lists: BlockLists, table: int, sizes: tuple[int, int], first: int) -> None:
    """Check the lists of the rows of blocks from ``first`` on, as ``check_blocks`` does."""
    rows, keys = sizes
    grid = lists.partial_index.shape
    partial = _read_rows(lists.partial_count, lists.partial_index, "partial", first)
    full = _read_rows(lists.full_count, lists.full_index, "full", first)
    top = first * rows
    query, start, end = gather_rows(mask, np.arange(top, min(top + grid[0] * rows, mask.size)), table)
    row = query // rows
    touched = _count_covering(row, start // keys, -(-end // keys), grid) > 0
    inner = -(-start // keys)  # first block that begins in the interval
    covered = _count_covering(row, inner, np.maximum(end // keys, inner), grid) == rows
    for fault, words in (
        (partial & full, "is listed as partial and as full, so it counts twice"),
        (touched & ~partial & ~full, "contains allowed pairs and is not listed"),
        (full & ~covered, "is listed as full and contains a forbidden pair"),
    ):
        if fault.any():
            block = _first_block(fault, first)
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
    high, wide = lists.partial_index.shape
    back = _allocate_lists(wide, high)
    for which in ("partial", "full"):
        listed = _read_list(lists, which, (high, wide)).T
        for part in _chunk_rows(wide, high):
            _list_blocks(listed[part], getattr(back, f"{which}_count")[part], getattr(back, f"{which}_index")[part])
    return back


def check_transposed(lists: BlockLists, back: BlockLists) -> None:
    """Check that ``back`` lists by key block exactly the blocks that ``lists`` lists by query block.

    Raises
    ------
    WrongAnswer
        Naming the first block that only one of them lists.
    """
    high, wide = lists.partial_index.shape
    for which in ("partial", "full"):
        forward = _read_list(lists, which, (high, wide))
        backward = _read_list(back, which, (wide, high), "transposed ")
        if (fault := forward != backward.T).any():
            block = _first_block(fault)
            fact = f"block {block} is in one of the {which} lists and not in the transposed one, or the reverse"
            raise WrongAnswer("block lists", fact)


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
    full = needed = 0
    for table in range(mask.tables):
        for _, runs in iterate_block_runs(mask, table, rows, keys):
            length = runs.end - runs.start
            needed += int(length.sum())
            full += int(length[runs.pairs == rows * keys].sum())
    high, wide = count_grid(mask.size, rows, keys)
    return BlockCounts(full, needed - full, mask.tables * high * wide)


def _rows_at_once(wide: int) -> int:
    """Return how many rows of ``wide`` blocks are held at once."""
    return max(1, MOST_CELLS // max(wide, 1))


def _chunk_rows(high: int, wide: int) -> Iterator[slice]:
    """Yield consecutive slices of ``high`` rows of ``wide`` blocks."""
    step = _rows_at_once(wide)
    for first in range(0, high, step):
        yield slice(first, min(first + step, high))


def _allocate_lists(high: int, wide: int) -> BlockLists:
    """Return lists of ``high`` rows of ``wide`` blocks, to be filled."""
    count, index = (high,), (high, wide)
    return BlockLists(*(np.empty(shape, np.int32) for shape in (count, index, count, index)))


def _list_blocks(listed: BoolArray, count: Int32Array, index: Int32Array) -> None:
    """Fill counts (R,) and indices (R, C) of a grid of listed blocks: listed blocks first, then the others."""
    count[:] = np.count_nonzero(listed, axis=1)
    index[:] = np.argsort(~listed, axis=1, kind="stable")  # a counting sort, since the keys are single bytes


def _check_shapes(lists: BlockLists, grid: tuple[int, int], name: str = "") -> None:
    """Raise WrongAnswer unless counts and indices have the shapes of lists over a grid of blocks."""
    for which in ("partial", "full"):
        count, index = getattr(lists, f"{which}_count"), getattr(lists, f"{which}_index")
        if count.shape != grid[:1] or index.shape != grid or (count < 0).any() or (count > grid[1]).any():
            shapes = f"shapes {count.shape} and {index.shape}"
            fact = f"{name}{which} lists of {shapes} do not fit a grid of {grid} blocks"
            raise WrongAnswer("block lists", fact)


def _read_list(lists: BlockLists, which: str, grid: tuple[int, int], name: str = "") -> BoolArray:
    """Return the blocks of the partial or of the full list as a boolean grid.

    Parameters
    ----------
    lists : BlockLists
    which : {"partial", "full"}
    grid : (Rq, Rk)
        Expected shape.
    name : str
        Put before the kind of list in messages.
    """
    _check_shapes(lists, grid, name)
    count, index = getattr(lists, f"{which}_count"), getattr(lists, f"{which}_index")
    parts = [_read_rows(count[part], index[part], name + which, part.start) for part in _chunk_rows(*grid)]
    return np.concatenate([np.zeros((0, grid[1]), bool), *parts])


def _read_rows(count: Int32Array, index: Int32Array, which: str, first: int) -> BoolArray:
    """Return the listed blocks of rows from ``first`` on as a boolean grid (R, C).

    Raises
    ------
    WrongAnswer
        Unless indices are distinct block numbers.
    """
    used = np.arange(index.shape[1]) < count[:, None]
    chosen = index[used]
    if ((chosen < 0) | (chosen >= index.shape[1])).any():
        wrong = int(chosen.min() if chosen.min() < 0 else chosen.max())
        raise WrongAnswer("block lists", f"{which} list: expected blocks 0 to {index.shape[1] - 1}, got {wrong}")
    listed = np.zeros(index.shape, bool)
    block = np.repeat(np.arange(len(count)) * index.shape[1], count) + chosen  # number of the block in the grid
    listed.ravel()[block] = True
    if np.count_nonzero(listed) < len(block):
        twice = np.bincount(block, minlength=listed.size).reshape(listed.shape) > 1
        raise WrongAnswer("block lists", f"block {_first_block(twice, first)} is listed twice in a {which} list")
    return listed


def _first_block(fault: BoolArray, first: int = 0) -> tuple[int, int]:
    """Return the first block that is true; row 0 of ``fault`` is row ``first``."""
    row, block = (int(x) for x in np.argwhere(fault)[0])
    return row + first, block


def _count_covering(row: Int64Array, start: Int64Array, end: Int64Array, grid: tuple[int, int]) -> Int64Array:
    """Return how many of the ranges of blocks (row, start <= j < end) contain each block, (Rq, Rk)."""
    width = grid[1] + 2
    opened, closed = (np.bincount(row * width + bound, minlength=grid[0] * width) for bound in (start, end))
    steps = opened - closed
    return steps.reshape(grid[0], width).cumsum(axis=1)[:, : grid[1]]
