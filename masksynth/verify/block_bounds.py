r"""Check an order of positions: its number of non-empty blocks, and that no order can have fewer than is claimed.

The lower bound is computed from its theorems (docs/arrange.md) once more: sizes and private keys of rows and columns,
connected components, and the depth of forests.
"""

from __future__ import annotations

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.verify.interval_sets import Lists, Sets, find_different, row_sets, select_sets, unite_listed
from masksynth.verify.ragged import (
    distinct,
    mask_rows,
    prefix_sums,
    repeat_ranges,
    row_of_entry,
    split_rows,
    sum_over_rows,
)

CHUNK = 1 << 22
"""Maximum number of runs of keys that are held at once, if one row of blocks does not have more."""


def check_arrangement(mask: Mask, order: Int64Array, nonempty: int, bound: int, block_size: int = 128) -> None:
    """Check an order, its number of non-empty blocks, and the lower bound for all orders.

    Parameters
    ----------
    mask : Mask
        In the given order.
    order : (N,) integers
        Position i of the arranged mask is position ``order[i]``.
    nonempty : int
        Claimed number of non-empty blocks, over all tables.
    bound : int
        Claimed lower bound on the non-empty blocks of any order. One that a search has proved is not checked here.
    block_size : int
        B.

    Raises
    ------
    WrongAnswer
        If ``order`` is not a permutation, a count is wrong, or the bound is higher than what the theorems prove.

    Examples
    --------
    >>> mask = Mask.from_dense(np.tril(np.ones((8, 8), bool)))
    >>> check_arrangement(mask, np.arange(8), 3, 3, 4)
    >>> check_arrangement(mask, np.arange(8), 3, 4, 4)
    Traceback (most recent call last):
    masksynth.errors.WrongAnswer: arrangement: claims at least 4 non-empty blocks, only 3 are proved
    """
    order = np.asarray(order)
    if order.shape != (mask.size,) or not np.array_equal(np.sort(order), np.arange(mask.size)):
        raise WrongAnswer("arrangement", f"the order is not a permutation of {mask.size} positions")
    counted = sum(count_nonempty(mask, order, block_size, table) for table in range(mask.tables))
    if counted != nonempty:
        raise WrongAnswer("arrangement", f"claims {nonempty} non-empty blocks, {counted} are counted")
    if bound > (proved := least_nonempty(mask, block_size)):
        raise WrongAnswer("arrangement", f"claims at least {bound} non-empty blocks, only {proved} are proved")


def count_nonempty(mask: Mask, order: Int64Array, block: int, table: int = 0) -> int:
    """Return the number of non-empty blocks of one table in the given order.

    The rows of each row of blocks are united; the keys of the union are read in runs of keys of one block.

    Examples
    --------
    >>> count_nonempty(Mask.from_dense(np.tril(np.ones((8, 8), bool))), np.arange(8)[::-1], 4)
    3
    """
    if not mask.size:
        return 0
    blocks = -(-mask.size // block)
    members = Lists(np.minimum(np.arange(blocks + 1) * block, mask.size), order.astype(np.int32))
    united = unite_listed(members, row_sets(mask, table), mask.size + 1)
    home = np.empty(mask.size, np.int64)
    home[order] = np.arange(mask.size) // block  # block of each key
    run = np.cumsum(np.diff(home, prepend=home[0]) != 0)  # number of the run of each key
    block_of_run = home[np.flatnonzero(np.diff(run, prepend=-1))]
    first, last = run[united.start], run[united.end - 1]
    total, counted = prefix_sums(last - first + 1)[united.offset], 0
    for begin, end in split_rows(total, CHUNK, blocks):
        entries = slice(int(united.offset[begin]), int(united.offset[end]))
        runs = repeat_ranges(first[entries], last[entries] - first[entries] + 1)
        counted += len(distinct(row_of_entry(total[begin : end + 1]) * blocks + block_of_run[runs]))
    return counted


def least_nonempty(mask: Mask, block: int) -> int:
    """Return the lower bound of the theorems on the non-empty blocks of any order, over all tables.

    Examples
    --------
    >>> least_nonempty(Mask.from_dense(np.kron(np.eye(2), np.tril(np.ones((6, 6)))) > 0), 4)
    5
    """
    return sum(_least_of_table(mask, table, block) for table in range(mask.tables))


def _least_of_table(mask: Mask, table: int, block: int) -> int:
    """Return the largest of the bounds of one table."""
    query, start, end = rows = mask_rows(mask, table)
    keys = sum_over_rows(rows, np.ones(mask.size, np.int64))
    readers = (np.bincount(start, minlength=mask.size + 1) - np.bincount(end, minlength=mask.size + 1)).cumsum()[:-1]
    own = np.bincount(query[(start <= query) & (query < end)], minlength=mask.size) > 0
    blocks, selves = -(-mask.size // block), int(own.sum())
    component = np.bincount(_components(mask, table), minlength=mask.size)
    joined = -(-selves // block) + blocks - min(blocks, _most_groups(component[component > 0], block))
    if _is_forest(mask, table, keys, own):
        joined += _sum_of_sets(keys, block, block, 2)
    return max(
        joined,
        *(_sum_of_sets(sizes, block, block, 0) for sizes in (keys, readers)),
        *(
            -(-(_sum_of_sets(sizes - private, 1, block, 0) + int(private.sum())) // block)
            for sizes, private in ((keys, own & (readers == 1)), (readers, own & (keys == 1)))
        ),
    )


def _sum_of_sets(sizes: Int64Array, step: int, block: int, least: int) -> int:
    """Return the sum over k >= ``least`` of ceil(n_k / B), n_k being how many of the sizes exceed k * ``step``."""
    count = np.bincount(-(-sizes // step), minlength=1)  # sizes whose quotient, rounded up, is 0, 1, ...
    exceeding = len(sizes) - count.cumsum()
    return int((-(-exceeding[least:] // block)).sum())


def _most_groups(sizes: Int64Array, block: int) -> int:
    """Return a number that groups of components do not exceed whose sizes sum to multiples of B, but for one.

    A group has one component that is a multiple, two whose remainders add up to B, or at least three.
    """
    remainder = np.bincount(sizes % block, minlength=block)
    opposite = np.minimum(remainder[1:], remainder[:0:-1])  # for each remainder, and so each pair twice
    if block % 2 == 0:
        opposite[block // 2 - 1] = remainder[block // 2] // 2 * 2  # two of them make a pair, which is not seen twice
    single, double = int(remainder[0]), int(opposite.sum()) // 2
    ragged = int(sizes.sum() % block > 0)
    return min(len(sizes), ragged + single + double + (len(sizes) - ragged - single - 2 * double) // 3)


def _components(mask: Mask, table: int) -> Int64Array:
    """Return a representative of the connected component of each position, queries being joined with their keys."""
    query, start, end = mask_rows(mask, table)
    covered = np.zeros(mask.size + 1, np.int64)  # how many intervals hold this key and the next
    np.add.at(covered, start, 1)
    np.add.at(covered, end - 1, -1)
    inner = np.flatnonzero(covered.cumsum())
    left, right = np.append(query, inner), np.append(start, inner + 1)
    lowest = np.arange(mask.size)
    while True:
        before = lowest.copy()
        low = np.minimum(lowest[left], lowest[right])
        for ends in (left, right):
            np.minimum.at(lowest, lowest[ends], low)  # the representative moves, and its members follow below
        while not np.array_equal(lowest, lowest[lowest]):
            lowest = lowest[lowest]
        if np.array_equal(lowest, before):
            return lowest


def _is_forest(mask: Mask, table: int, keys: Int64Array, own: BoolArray) -> bool:
    """Return whether each row is its own position and the row of a parent, the key whose row is the longest.

    Parameters
    ----------
    mask : Mask
    table : int
    keys : (N,) int64
        Number of keys of each row.
    own : (N,) bool
        Whether each row contains its own position.
    """
    if not own.all():
        return False
    others = _without_own(row_sets(mask, table))
    filled = np.flatnonzero(np.diff(others.offset))
    if not len(filled):
        return True
    longest = _largest_in_ranges(keys * mask.size + np.arange(mask.size), others)
    parent = np.maximum.reduceat(longest, others.offset[filled]) % mask.size
    # The row of a parent is shorter, so that no chain of parents is a cycle.
    return not find_different(select_sets(others, filled), select_sets(row_sets(mask, table), parent)).any()


def _without_own(rows: Sets) -> Sets:
    """Return each row without its own position; rows contain it."""
    query = row_of_entry(rows.offset)
    holds = (rows.start <= query) & (query < rows.end)
    pieces = 1 + holds
    split = repeat_ranges(np.zeros_like(query), pieces) > 0  # second piece of an interval that holds the position
    index = np.repeat(np.arange(len(query)), pieces)
    start = np.where(split, query[index] + 1, rows.start[index])
    end = np.where(holds[index] & ~split, query[index], rows.end[index])
    kept = start < end
    count = np.bincount(query[index][kept], minlength=len(rows.offset) - 1)
    return Sets(prefix_sums(count), start[kept], end[kept])


def _largest_in_ranges(value: Int64Array, ranges: Sets) -> Int64Array:
    """Return the largest value of each interval, from the largest of 1, 2, 4, ... consecutive values."""
    length, step = ranges.end - ranges.start, 1
    largest = np.empty(len(length), np.int64)
    while step <= int(length.max(initial=0)):
        chosen = np.flatnonzero((length >= step) & (length < 2 * step))
        largest[chosen] = np.maximum(value[ranges.start[chosen]], value[ranges.end[chosen] - step])
        value = np.maximum(value[:-step], value[step:])
        step *= 2
    return largest
