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
