"""What an order costs: blocks that hold a pair, blocks that hold some but not all, row intervals; and what no order can undercut."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.export.blocks import block_counts
from masksynth.mask import Mask
from masksynth.mask.intervals import count_covering, row_intervals
from masksynth.mask.typing import Int64Array

MAX_BLOCKS = 8192
"""Most blocks in a row of blocks: all of them are counted."""


class Counts(NamedTuple):
    """The cost of an order, compared from left to right; sums over the tables of a pattern.

    Parameters
    ----------
    nonempty : int
        B x B blocks that hold an allowed pair: a block-sparse kernel computes ``B * B * nonempty`` pairs.
    partial : int
        Those of them that are not full, so that the mask must be read inside (a ragged edge is never full).
    intervals : int
        T, the row intervals.
    """

    nonempty: int
    partial: int
    intervals: int


def counts(mask: Mask, block_size: int = 128) -> Counts:
    """The counts of a mask in the order it stands in.

    Raises
    ------
    InvalidInstance
        If the block size is not positive, or so small that there are more than ``MAX_BLOCKS`` blocks in a row.

    Examples
    --------
    >>> counts(Mask.from_dense(np.tril(np.ones((8, 8), bool))), 4)
    Counts(nonempty=3, partial=2, intervals=8)
    """
    check_block_size(block_size)
    blocks = -(-mask.size // block_size)
    if blocks > MAX_BLOCKS:
        fact = f"{mask.size} positions in blocks of {block_size} are {blocks} x {blocks} blocks, more than {MAX_BLOCKS} x {MAX_BLOCKS}"
        raise InvalidInstance(fact, "", f"take a block size of at least {-(-mask.size // MAX_BLOCKS)}")
    found = block_counts(mask, block_size)
    return Counts(found.full + found.partial, found.partial, len(mask.key_start))


def check_block_size(block_size: int) -> None:
    """Refuse a block size that is not a positive integer."""
    if not isinstance(block_size, int) or isinstance(block_size, bool) or block_size < 1:
        raise InvalidInstance(f"block_size={block_size!r} is not a positive integer", "", "use 128")


def row_sizes(mask: Mask, table: int = 0) -> Int64Array:
    """How many keys each query sees."""
    offset = mask.row_offset[table]
    sums = np.append(0, (mask.key_end.astype(np.int64) - mask.key_start).cumsum())
    sizes: Int64Array = sums[offset[1:]] - sums[offset[:-1]]
    return sizes


def column_sizes(mask: Mask, table: int = 0) -> Int64Array:
    """How many queries see each key."""
    return count_covering(row_intervals(mask, table), mask.size)


def sees_itself(mask: Mask, table: int = 0) -> NDArray[np.bool_]:
    """Which positions see themselves."""
    row, start, end = row_intervals(mask, table)
    return np.bincount(row[(start <= row) & (row < end)], minlength=mask.size) > 0


def bound(mask: Mask, block_size: int = 128) -> int:
    r"""A number of non-empty B x B blocks that no order of the positions undercuts, in O(T + N log N).

    For each table the largest of four, summed over the tables: `grouped` of rows and of columns, and `shared` of rows and of columns.

    **grouped.** Let s(q) be the number of keys of row q. A block row is a set G of at most B rows and meets at least
    ceil(max_{q in G} s(q) / B) blocks, because a block holds at most B keys. Summed over the block rows this is
    :math:`\sum_{k \ge 0} |\{G : \max_G s > kB\}| \ge \sum_{k \ge 0} \lceil |\{q : s(q) > kB\}| / B \rceil`, since sets of at most B rows
    need that many to hold the rows longer than kB. The last sum no longer depends on the partition, and equals
    the sum of ceil(s / B) over every B-th row of the rows sorted from long to short. It is at least ceil(pairs / B^2) and at least
    ceil(N / B) where no row is empty.

    **shared.** Call q private if it sees itself and nobody else sees it; there are r private positions. Let s'(q) be s(q) less one for
    a private q. A block row G sees max_G s' keys in one row, none of them private, and besides each private member's own key; so it meets
    at least (max_G s' + private members of G) / B blocks. Summed over the block rows, with
    :math:`\sum_G \max_G s' = \sum_{t \ge 1} |\{G : \max_G s' \ge t\}| \ge \sum_t \lceil |\{q : s'(q) \ge t\}| / B \rceil` as above, this
    is at least (M + r) / B, where M is the sum of s' over every B-th row of the rows sorted by s' from long to short.

    Both hold for columns by symmetry.

    Examples
    --------
    >>> bound(Mask.from_dense(np.tril(np.ones((8, 8), bool))), 4), bound(Mask.from_dense(np.eye(8, dtype=bool)), 4)
    (3, 2)
    """
    check_block_size(block_size)
    return sum(_bound(mask, table, block_size) for table in range(mask.tables))


def _bound(mask: Mask, table: int, block: int) -> int:
    rows, columns = row_sizes(mask, table), column_sizes(mask, table)
    own = sees_itself(mask, table)
    return max(
        grouped(rows, block),
        grouped(columns, block),
        shared(rows, own & (columns == 1), block),
        shared(columns, own & (rows == 1), block),
    )


def grouped(sizes: Int64Array, block: int) -> int:
    """The sum of ceil(s / B) over every B-th of the sizes, from large to small; see `bound`.

    Examples
    --------
    >>> grouped(np.array([1, 2, 3, 4, 5]), 2)
    6
    """
    return int((-(-np.sort(sizes)[::-1][::block] // block)).sum())


def shared(sizes: Int64Array, private: NDArray[np.bool_], block: int) -> int:
    """ceil((M + r) / B) of `bound`.

    Examples
    --------
    Two keys that all see, and four queries that only see themselves besides:

    >>> shared(np.array([2, 2, 3, 3, 3, 3]), np.array([False, False, True, True, True, True]), 2)
    5
    """
    most = int(np.sort(sizes - private)[::-1][::block].sum())
    return -(-(most + int(private.sum())) // block)
