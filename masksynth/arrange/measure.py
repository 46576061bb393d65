"""The cost of an order (non-empty blocks, partial blocks, row intervals), and a lower bound for all orders."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance, check_type
from masksynth.export.blocks import block_counts
from masksynth.mask import Mask
from masksynth.mask.csr import segment_sums
from masksynth.mask.intervals import count_covering, row_intervals
from masksynth.mask.typing import BoolArray, Int64Array


class Counts(NamedTuple):
    """The cost of an order, compared lexicographically; sums over the tables of a layer pattern.

    Parameters
    ----------
    nonempty : int
        Number of B x B blocks with an allowed pair: a block-sparse kernel computes ``B * B * nonempty`` pairs.
    partial : int
        Number of those that are not full, in which the kernel must read the mask (a ragged border is never full).
    intervals : int
        T, the number of row intervals.
    """

    nonempty: int
    partial: int
    intervals: int


def counts(mask: Mask, block_size: int = 128) -> Counts:
    """Return the cost of a mask in its given order.

    Parameters
    ----------
    mask : Mask
    block_size : int
        B.

    Raises
    ------
    InvalidInstance
        If the block size is not positive.

    Examples
    --------
    >>> counts(Mask.from_dense(np.tril(np.ones((8, 8), bool))), 4)
    Counts(nonempty=3, partial=2, intervals=8)
    """
    check_type(mask, Mask)
    check_block_size(block_size)
    of_kind = block_counts(mask, block_size)
    return Counts(of_kind.full + of_kind.partial, of_kind.partial, len(mask.key_start))


def check_block_size(block_size: int) -> None:
    """Raise InvalidInstance if the block size is not a positive integer."""
    if not isinstance(block_size, int) or isinstance(block_size, bool) or block_size < 1:
        raise InvalidInstance(f"block_size: expected a positive integer, got {block_size!r}", "", "use 128")


def row_sizes(mask: Mask, table: int = 0) -> Int64Array:
    """Return the number of keys of each query, shape (N,)."""
    offset = mask.row_offset[table]
    sizes: Int64Array = segment_sums(mask.key_end.astype(np.int64) - mask.key_start, offset)
    return sizes


def column_sizes(mask: Mask, table: int = 0) -> Int64Array:
    """Return the number of queries that attend to each key, shape (N,)."""
    return count_covering(row_intervals(mask, table), mask.size)


def sees_itself(mask: Mask, table: int = 0) -> BoolArray:
    """Return whether each position attends to itself, shape (N,)."""
    row, start, end = row_intervals(mask, table)
    return np.bincount(row[(start <= row) & (row < end)], minlength=mask.size) > 0


def bound(mask: Mask, block_size: int = 128) -> int:
    r"""Return a lower bound on the number of non-empty B x B blocks of any order, in O(T + N log N).

    For each table the largest of four bounds, summed over the tables: `bound_by_sizes` of rows and of columns, and
    `bound_by_private` of rows and of columns.

    **Sizes.** Let s(q) be the number of keys of row q. A block row is a set G of at most B rows; it meets at least
    ceil(max_{q in G} s(q) / B) blocks, because a block has at most B keys. Summed over the block rows this is
    :math:`\sum_{k \ge 0} |\{G : \max_G s > kB\}| \ge \sum_{k \ge 0} \lceil |\{q : s(q) > kB\}| / B \rceil`, since that
    many sets of at most B rows are needed to cover the rows longer than kB. The last sum does not depend on the
    partition, and equals the sum of ceil(s / B) over every B-th row of the rows sorted from long to short. It is at
    least ceil(pairs / B^2) and at least ceil(N / B) if no row is empty.

    **Private keys.** Call q private if it attends to itself and no other position attends to it; let r be the number of
    private positions, and s'(q) = s(q) - 1 for them, s(q) for others. A block row G has the max_G s' keys of one row,
    none of them private, and in addition the key of each private member; so it meets at least (max_G s' + private
    members of G) / B blocks. Summed over the block rows, with :math:`\sum_G \max_G s' = \sum_{t \ge 1} |\{G : \max_G s'
    \ge t\}| \ge \sum_t \lceil |\{q : s'(q) \ge t\}| / B \rceil` as above, this is at least (M + r) / B, where M is the
    sum of s' over every B-th row of the rows sorted by s' from long to short.

    Both hold for columns by symmetry.

    Examples
    --------
    >>> bound(Mask.from_dense(np.tril(np.ones((8, 8), bool))), 4), bound(Mask.from_dense(np.eye(8, dtype=bool)), 4)
    (3, 2)
    """
    check_type(mask, Mask)
    check_block_size(block_size)
    return sum(_bound_table(mask, table, block_size) for table in range(mask.tables))


def _bound_table(mask: Mask, table: int, block: int) -> int:
    rows, columns = row_sizes(mask, table), column_sizes(mask, table)
    has_self = sees_itself(mask, table)
    return max(
        bound_by_sizes(rows, block),
        bound_by_sizes(columns, block),
        bound_by_private(rows, has_self & (columns == 1), block),
        bound_by_private(columns, has_self & (rows == 1), block),
    )


def bound_by_sizes(sizes: Int64Array, block: int) -> int:
    """Return the sum of ceil(s / B) over every B-th of the sizes in descending order; see `bound`.

    Examples
    --------
    >>> bound_by_sizes(np.array([1, 2, 3, 4, 5]), 2)
    6
    """
    return int((-(-np.sort(sizes)[::-1][::block] // block)).sum())


def bound_by_private(sizes: Int64Array, private: BoolArray, block: int) -> int:
    """Return ceil((M + r) / B); see `bound`.

    Examples
    --------
    Two keys that all queries attend to, and four queries that also attend to themselves:

    >>> bound_by_private(np.array([2, 2, 3, 3, 3, 3]), np.array([False, False, True, True, True, True]), 2)
    5
    """
    most = int(np.sort(sizes - private)[::-1][::block].sum())
    return -(-(most + int(private.sum())) // block)
