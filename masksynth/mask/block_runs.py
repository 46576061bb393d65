"""Allowed pairs of the blocks of a mask, as runs of neighbouring blocks; nothing here grows with the number of blocks.

For each row of blocks the number of allowed pairs is a step function of the key block. It is stored by its steps, so
that time and memory follow the intervals and the non-empty blocks of a mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import repeat_ranges
from masksynth.mask.equal_values import run_starts
from masksynth.mask.intervals import check_table, coalesce_sorted
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array

MOST_INTERVALS = 1 << 17
"""Intervals that are read at once, if a row of blocks does not have more."""
MOST_CELLS = 1 << 22
"""Blocks of a grid that are held at once, if a row of blocks does not have more."""
CELLS_PER_INTERVAL = 4
"""Cells for each interval from which adding in an array takes longer than sorting."""


Bounds = list[tuple[Int64Array, Int32Array]]
"""For the ends of intervals, and for their starts: (code of the block that holds each, number of its keys below it)."""


class BlockRuns(NamedTuple):
    """Runs of neighbouring blocks of one row of blocks with equal numbers of allowed pairs, none of them empty.

    Parameters
    ----------
    row : (runs,) int64
        Row of blocks, ascending.
    start, end : (runs,) int64
        Key blocks ``start <= j < end``, ascending and disjoint in each row.
    pairs : (runs,) int64
        Number of allowed pairs in each block of the run, at least 1.
    """

    row: Int64Array
    start: Int64Array
    end: Int64Array
    pairs: Int64Array

    def select(self, chosen: BoolArray) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Return the blocks of the chosen runs as (row, start, end), with runs that touch merged."""
        row, start, end = coalesce_sorted(self.row[chosen], self.start[chosen], self.end[chosen])
        return row, start, end


def count_grid(size: int, queries: int, keys: int) -> tuple[int, int]:
    """Return (Rq, Rk), the number of blocks of ``queries`` x ``keys`` pairs along queries and along keys."""
    return -(-size // queries), -(-size // keys)


def iterate_block_runs(
    mask: Mask, table: int, queries: int, keys: int, most_rows: int | None = None
) -> Iterator[tuple[range, BlockRuns]]:
    """Yield rows of blocks of one table, and the runs of those rows; O(T log T) in all for T intervals.

    The rows come in order and are complete: rows without an allowed pair are in a range too.

    Parameters
    ----------
    mask : Mask
    table : int
    queries, keys : int
        Rows and columns of a block.
    most_rows : int, optional
        Maximum number of rows of blocks that are yielded at once.

    Examples
    --------
    >>> causal = Mask.from_dense(np.tril(np.ones((5, 5), bool)))
    >>> [(rows, [part.tolist() for part in runs]) for rows, runs in iterate_block_runs(causal, 0, 2, 2)]
    [(range(0, 3), [[0, 1, 1, 2, 2], [0, 0, 1, 0, 2], [1, 1, 2, 2, 3], [3, 4, 3, 2, 1]])]
    """
    offset = mask.row_offset[check_table(mask, table)]
    count = count_grid(mask.size, queries, keys)[0]
    borders = np.minimum(np.arange(count + 1, dtype=np.int64) * queries, mask.size)
    before = offset[borders]  # intervals before each row of blocks
    first = 0
    while first < count:
        fitting = int(np.searchsorted(before, before[first] + MOST_INTERVALS, "right")) - 1
        last = max(first + 1, min(fitting, first + (most_rows or count), count))
        yield range(first, last), _find_runs(mask, offset[borders[first] : borders[last] + 1], first, queries, keys)
        first = last


def _find_runs(mask: Mask, offset: Int64Array, first: int, queries: int, keys: int) -> BlockRuns:
    """Return the runs of rows of blocks from ``first`` on, whose mask rows have the row pointers ``offset``.

    The number of keys below x in block j is K for j < x // K, x mod K for j = x // K, and 0 beyond. Its difference
    along j is nonzero in two blocks, so each interval changes the number of pairs at four blocks, by sums of 0 in all.
    """
    width = count_grid(mask.size, queries, keys)[1] + 2
    intervals = np.diff(np.append(offset[:-1:queries], offset[-1]))  # of each row of blocks
    row = np.repeat(np.arange(len(intervals)) * width, intervals)
    ends: Bounds = []
    for bounds in (mask.key_end, mask.key_start):
        bound = bounds[offset[0] : offset[-1]]
        block = bound // np.int32(keys)
        ends.append((row + block, bound - block * np.int32(keys)))
    is_dense = len(intervals) * width <= CELLS_PER_INTERVAL * len(row)
    code, step = (_add_in_array if is_dense else _add_sorted)(ends, keys, len(intervals) * width)
    pairs = step.cumsum()  # the steps of each row of blocks sum to 0, so that every row begins at 0
    inside = np.flatnonzero(pairs > 0)  # the last sum is 0, so that each of these has a successor
    at, start = np.divmod(code[inside], width)
    return BlockRuns(at + first, start, start + code[inside + 1] - code[inside], pairs[inside])


def _add_in_array(ends: Bounds, keys: int, cells: int) -> tuple[Int64Array, Int64Array]:
    """Return the steps of `_find_runs` by adding in an array with an entry for each code."""
    (last, rest_of_end), (first, rest_of_start) = ends
    step = keys * (np.bincount(first, minlength=cells) - np.bincount(last, minlength=cells))
    # integers far below 2^53, exact in float64
    kept = np.bincount(last, rest_of_end, cells) - np.bincount(first, rest_of_start, cells)
    whole = kept.astype(np.int64)
    step += whole
    step[1:] -= whole[:-1]
    changed = np.flatnonzero(step)
    return changed, step[changed]


def _add_sorted(ends: Bounds, keys: int, _: int) -> tuple[Int64Array, Int64Array]:
    """Return the steps of `_find_runs` by sorting the codes."""
    codes, steps = [], []
    for (code, rest), sign in zip(ends, (1, -1), strict=True):
        begins = np.flatnonzero(run_starts(code))  # intervals of one block follow one another: sum them before sorting
        kept = np.add.reduceat(rest, begins, dtype=np.int64) if len(begins) else np.zeros(0, np.int64)
        entries = np.diff(begins, append=len(code))
        codes += [code[begins], code[begins] + 1]
        steps += [sign * (kept - keys * entries), -sign * kept]
    return sum_by_code(np.concatenate(codes), np.concatenate(steps))


def sum_by_code(codes: Int64Array, values: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the distinct codes, ascending, whose values do not sum to 0, and these sums.

    Examples
    --------
    >>> [part.tolist() for part in sum_by_code(np.array([7, 2, 7, 5]), np.array([1, 1, -1, 3]))]
    [[2, 5], [1, 3]]
    """
    order = np.argsort(codes)
    codes, values = codes[order], values[order]
    begins = np.flatnonzero(run_starts(codes))
    sums = np.add.reduceat(values, begins) if len(begins) else values
    nonzero = sums != 0
    return codes[begins][nonzero], sums[nonzero]


def block_runs(mask: Mask, table: int, queries: int, keys: int) -> BlockRuns:
    """Return the runs of all rows of blocks of one table.

    Examples
    --------
    >>> [part.tolist() for part in block_runs(Mask.from_dense(np.ones((4, 4), bool)), 0, 2, 2)]
    [[0, 1], [0, 0], [2, 2], [4, 4]]
    """
    parts = [runs for _, runs in iterate_block_runs(mask, table, queries, keys)]
    parts = parts or [BlockRuns(*(np.zeros(0, np.int64) for _ in BlockRuns._fields))]
    return BlockRuns(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def paint_runs(rows: range, width: int, runs: BlockRuns) -> Int64Array:
    """Return the number of allowed pairs in each block of some rows of blocks, (len(rows), width) int64.

    Examples
    --------
    >>> paint_runs(range(2, 3), 4, BlockRuns(*(np.array([x]) for x in (2, 1, 3, 9)))).tolist()
    [[0, 9, 9, 0]]
    """
    grid = np.zeros((len(rows), width), np.int64)
    length = runs.end - runs.start
    grid.ravel()[repeat_ranges((runs.row - rows.start) * width + runs.start, length)] = np.repeat(runs.pairs, length)
    return grid


def block_pairs(mask: Mask, table: int, queries: int, keys: int) -> Int64Array:
    """Return the number of allowed pairs in each block of ``queries`` x ``keys`` pairs, (Rq, Rk) int64.

    Examples
    --------
    >>> block_pairs(Mask.from_dense(np.tril(np.ones((5, 5), bool))), 0, 2, 2).tolist()
    [[3, 0, 0], [4, 3, 0], [2, 2, 1]]
    """
    high, wide = count_grid(mask.size, queries, keys)
    return paint_runs(range(high), wide, block_runs(mask, table, queries, keys))
