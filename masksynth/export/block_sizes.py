"""Block sizes, and the bytes of block lists: R x R, in any library, because a kernel reads them so."""

from __future__ import annotations

import warnings

from masksynth.errors import InvalidInstance, MasksynthWarning
from masksynth.mask.block_runs import count_grid

BlockSize = int | tuple[int, int]

LARGE_LISTS = 1 << 29
"""Bytes of block lists above which larger blocks are offered."""


def block_sizes(block_size: BlockSize) -> tuple[int, int]:
    """Return (queries, keys) of a block; raise InvalidInstance if one is below 1."""
    rows, keys = (block_size, block_size) if isinstance(block_size, int) else block_size
    if rows < 1 or keys < 1 or isinstance(rows, bool) or isinstance(keys, bool):
        raise InvalidInstance(
            f"block size: expected positive integers, got {block_size}", remedy="use 128 or (256, 128)"
        )
    return rows, keys


def list_bytes(size: int, block_size: BlockSize = 128) -> int:
    """Return the bytes of the block lists of ``size`` positions and their transposes, in int32 as a BlockMask has them.

    Two counts for each row and each column of blocks, and four index grids of Rq x Rk: 8 (Rq + Rk) + 16 Rq Rk.

    Examples
    --------
    >>> list_bytes(131_072), list_bytes(1_048_576), list_bytes(1_048_576, 512)
    (16793600, 1073872896, 67141632)
    """
    high, wide = count_grid(size, *block_sizes(block_size))
    return 16 * high * wide + 8 * (high + wide)


def describe_large_lists(size: int, block_size: BlockSize = 128) -> str:
    """Return the size of block lists above ``LARGE_LISTS`` bytes, and larger blocks that stay below it; else "".

    Examples
    --------
    >>> describe_large_lists(1_048_576)
    'lists of 8,192 x 8,192 blocks need 1,073,872,896 bytes; those of 256 x 256 pairs need 268,500,992'
    >>> describe_large_lists(131_072)
    ''
    """
    rows, keys = block_sizes(block_size)
    if (needed := list_bytes(size, block_size)) <= LARGE_LISTS:
        return ""
    larger = (2 * rows, 2 * keys)
    while list_bytes(size, larger) > LARGE_LISTS:
        larger = (2 * larger[0], 2 * larger[1])
    high, wide = count_grid(size, rows, keys)
    offer = f"those of {larger[0]} x {larger[1]} pairs need {list_bytes(size, larger):,}"
    return f"lists of {high:,} x {wide:,} blocks need {needed:,} bytes; {offer}"


def warn_of_large_lists(size: int, block_size: BlockSize) -> None:
    """Warn, before block lists are built, if they are large."""
    if text := describe_large_lists(size, block_size):
        warnings.warn(text, MasksynthWarning, stacklevel=3)
