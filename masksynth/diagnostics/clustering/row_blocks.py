"""Split a mask into blocks of rows, each with the range of keys that it needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance, Unsupported, check_type
from masksynth.mask import Mask
from masksynth.mask.algebra import attends_to_self
from masksynth.mask.csr import row_of_entry, segment_sums
from masksynth.mask.typing import Float64Array, Int64Array

ROWS = 64
"""Rows of a block."""
LARGEST_DENSE = 8192
"""Maximum number of positions whose pairs are all looked at."""


class Block(NamedTuple):
    """Rows ``start:end`` attend to keys ``low:high``, except where ``allowed`` is 0.

    ``allowed`` is (rows, last - first) of 0 and 1 for the keys ``low + first:low + last``, or None where there are no
    exceptions.
    """

    start: int
    end: int
    low: int
    high: int
    first: int
    last: int
    allowed: Float64Array | None


def blocks_of(mask: Mask) -> tuple[Block, ...]:
    """Return blocks of ``ROWS`` rows; empty rows may be in none.

    Raises
    ------
    InvalidInstance, Unsupported
        As ``check_mask``; and where the mask has more than ``LARGEST_DENSE`` positions.

    Examples
    --------
    >>> causal = Mask.from_dense(np.tri(3, dtype=bool))
    >>> [(block.start, block.end, block.low, block.high) for block in blocks_of(causal)]
    [(0, 3, 0, 3)]
    """
    check_mask(mask)
    if mask.size > LARGEST_DENSE:
        raise Unsupported(
            f"expected at most {LARGEST_DENSE:,} positions on a sphere, got {mask.size:,}; use the circle (--dim 2)"
        )
    result = (_block(mask, start, min(start + ROWS, mask.size)) for start in range(0, mask.size, ROWS))
    return tuple(block for block in result if block.high > block.low)


def check_mask(mask: Mask) -> None:
    """Raise InvalidInstance unless a mask has positions and exactly one table."""
    check_type(mask, Mask)
    if mask.size == 0:
        raise InvalidInstance("expected a mask with positions, got 0", "")
    if mask.tables > 1:
        fact = f"expected a mask of one table, got {mask.tables}"
        remedy = 'give one of the tables, which np.save("one.npy", mask.dense()[0]) writes'
        raise InvalidInstance(fact, "", remedy)


def _block(mask: Mask, start: int, end: int) -> Block:
    first, last = int(mask.row_offset[0, start]), int(mask.row_offset[0, end])
    if first == last:
        return Block(start, end, 0, 0, 0, 0, None)
    low, high = int(mask.key_start[first:last].min()), int(mask.key_end[first:last].max())
    rows = row_of_entry(mask.row_offset[0, start : end + 1])
    steps = np.zeros((end - start, high - low + 1))
    steps[rows, mask.key_start[first:last] - low] += 1
    steps[rows, mask.key_end[first:last] - low] -= 1
    allowed = np.cumsum(steps[:, :-1], axis=1)
    partial = np.flatnonzero(~allowed.all(axis=0))
    if not len(partial):
        return Block(start, end, low, high, 0, 0, None)
    left, right = int(partial[0]), int(partial[-1]) + 1
    if 2 * (right - left) > high - low:  # complete rows are multiplied faster than most of them
        left, right = 0, high - low
    return Block(start, end, low, high, left, right, np.ascontiguousarray(allowed[:, left:right]))


def count_other_keys(mask: Mask) -> Int64Array:
    """Return the number of keys of each row besides itself, shape (n,).

    Examples
    --------
    >>> count_other_keys(Mask.from_dense(np.tri(3, dtype=bool))).tolist()
    [0, 1, 2]
    """
    keys = segment_sums(mask.key_end.astype(np.int64) - mask.key_start, mask.row_offset[0])
    return np.asarray(keys - attends_to_self(mask), np.int64)


def causal_mask(n: int) -> Mask:
    """Return the causal mask of n positions, each of which attends to itself and all before it.

    Examples
    --------
    >>> causal_mask(3).pairs
    6
    """
    if n < 1:
        raise InvalidInstance(f"expected a positive number of positions, got {n}", "")
    return Mask(np.arange(n + 1)[None], np.zeros(n, np.int32), np.arange(1, n + 1, dtype=np.int32))
