"""Starting orders for general masks: by sizes, along chains, along eigenvectors.

Products with the mask are computed as sums over intervals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.arrange.order_cost import column_sizes, row_sizes
from masksynth.mask import Mask
from masksynth.mask.csr import indptr, prefix_sums, repeat_ranges, segment_sums
from masksynth.mask.equal_values import factorize_rows
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import BoolArray, Float64Array, Int64Array, UInt64Array
from masksynth.merge.position_order import heavy_paths

MAX_ALLOWED = 1 << 23
"""Number of allowed pairs up to which chains are searched and blocks are improved."""
MAX_SERIATED = 1 << 19
"""Number of intervals up to which eigenvectors are computed."""
MAX_CHAINED = 4096
"""Number of positions up to which chains are searched."""
CHAINS, STEPS = 24, 40
"""Maximal number of chains, and number of steps of the power iteration."""


class Paths(NamedTuple):
    """Paths of positions; path p is ``item[offset[p] : offset[p + 1]]`` and not empty, and each position is in one.

    Parameters
    ----------
    offset : (paths + 1,) int64
    item : (N,) int64
    """

    offset: Int64Array
    item: Int64Array

    def mean(self, value: Int64Array) -> Float64Array:
        """Return the mean of a value of each position over each path."""
        means: Float64Array = segment_sums(value[self.item], self.offset) / np.diff(self.offset)
        return means

    def sort(self, rank: NDArray[Any]) -> Int64Array:
        """Return the positions, path after path, paths of least rank first, and in order where ranks are equal."""
        order = np.argsort(rank, kind="stable")
        return self.item[repeat_ranges(self.offset[order], np.diff(self.offset)[order])]


def starting_orders(mask: Mask, seed: int = 0) -> Iterator[tuple[str, Int64Array]]:
    """Yield (name, order) of each heuristic, the cheapest first."""
    positions = np.arange(mask.size)
    rows, columns = row_sizes(mask), column_sizes(mask)
    paths = cover_paths(mask)
    yield "paths", paths.item
    yield "paths by viewers", paths.sort(-paths.mean(columns))
    yield "paths by length", paths.sort(-np.diff(paths.offset))
    yield "given", positions
    yield "viewers", np.lexsort((positions, -columns))
    yield "sizes", np.lexsort((positions, rows))
    yield "sums", np.lexsort((positions, rows - columns))
    if mask.pairs <= MAX_ALLOWED and mask.size <= MAX_CHAINED:
        chains = chain_cover(mask)
        yield "chains", chains.item
        yield "chains by viewers", chains.sort(-chains.mean(columns))
    if len(mask.key_start) > MAX_SERIATED:
        return
    rank, two_sided = eigen_ranks(mask, seed)
    yield "eigenvector", np.argsort(rank, kind="stable")
    yield "row and column eigenvectors", np.argsort(two_sided, kind="stable")


def multiply(mask: Mask, x: Float64Array, table: int = 0) -> Float64Array:
    """Return ``A @ x`` for a table A, in O((T + N) d).

    Parameters
    ----------
    mask : Mask
    x : (N, d) float64
    table : int

    Examples
    --------
    >>> multiply(Mask.from_dense(np.tril(np.ones((3, 3), bool))), np.array([[1.0], [2.0], [4.0]])).ravel().tolist()
    [1.0, 3.0, 7.0]
    """
    offset = mask.row_offset[table]
    entries = slice(int(offset[0]), int(offset[-1]))
    zero = np.zeros((1, x.shape[1]))
    sums = np.vstack([zero, x.cumsum(axis=0)])
    of_interval = sums[mask.key_end[entries]] - sums[mask.key_start[entries]]
    total = np.vstack([zero, of_interval.cumsum(axis=0)])
    result: Float64Array = total[offset[1:] - offset[0]] - total[offset[:-1] - offset[0]]
    return result


def multiply_transposed(mask: Mask, x: Float64Array, table: int = 0) -> Float64Array:
    """Return ``A.T @ x`` for a table A; parameters as for `multiply`.

    Examples
    --------
    >>> causal = Mask.from_dense(np.tril(np.ones((3, 3), bool)))
    >>> multiply_transposed(causal, np.array([[1.0], [2.0], [4.0]])).ravel().tolist()
    [7.0, 6.0, 4.0]
    """
    row, start, end = row_intervals(mask, table)
    changes = [  # each row adds its value from start on and removes it from end on
        np.bincount(start, column[row], mask.size + 1) - np.bincount(end, column[row], mask.size + 1) for column in x.T
    ]
    return np.stack(changes, axis=1).cumsum(axis=0)[: mask.size]


def eigen_ranks(mask: Mask, seed: int = 0) -> tuple[Float64Array, Float64Array]:
    """Return the second eigenvector of the symmetric normalised mask, and a two-sided one of its rows and columns.

    With A the sum of the tables, R and C its row and column sums: the second eigenvector of D^-1/2 (A + A^T) D^-1/2,
    and the sum of the second left and right singular vectors of R^-1/2 A C^-1/2 (Dhillon, KDD 2001); by orthogonal
    iteration.
    """
    rows = np.maximum(sum(row_sizes(mask, table) for table in range(mask.tables)), 1).astype(np.float64)[:, None]
    columns = np.maximum(sum(column_sizes(mask, table) for table in range(mask.tables)), 1).astype(np.float64)[:, None]
    tables = range(mask.tables)
    degree = np.sqrt(rows + columns)
    x = np.random.default_rng(seed).random((mask.size, 3))
    x[:, 0] = degree[:, 0]
    y = x.copy()
    y[:, 0] = np.sqrt(columns[:, 0])
    for _ in range(STEPS if mask.size > 3 else 0):
        z = x / degree
        x = np.linalg.qr(x + sum(multiply(mask, z, t) + multiply_transposed(mask, z, t) for t in tables) / degree)[0]
        left = sum(multiply(mask, y / np.sqrt(columns), t) for t in tables) / np.sqrt(rows)
        y = np.linalg.qr(sum(multiply_transposed(mask, left / np.sqrt(rows), t) for t in tables) / np.sqrt(columns))[0]
    left = sum(multiply(mask, y / np.sqrt(columns), t) for t in tables) / rows
    right = y / np.sqrt(columns)
    two_sided = right / np.linalg.norm(right, axis=0) + left / np.maximum(np.linalg.norm(left, axis=0), 1e-300)
    return (x / degree)[:, 1], two_sided[:, 1]


def cover_paths(mask: Mask) -> Paths:
    """Return heavy paths of the forest contained in a mask, in near-linear time.

    Positions with equal rows form a group; a group is above another if its row is the other's row plus its own members.
    Each group is above at most one other, so the groups form a forest, whose heavy paths
    (`masksynth.merge.position_order`) give paths of positions. Rows are compared by sums of random 64-bit words.

    Examples
    --------
    >>> wings = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]], bool)
    >>> [array.tolist() for array in cover_paths(Mask.from_dense(wings))]
    [[0, 2, 4], [0, 2, 1, 3]]
    """
    row_hash, own_hash = _hash_rows(mask)
    group = factorize_rows(row_hash)
    members = np.argsort(group, kind="stable")  # positions, group after group
    offset = indptr(np.bincount(group))
    first = members[offset[:-1]]
    # the row without the members of the group: the row of the group below, if there is one
    rest = row_hash[first] - segment_sums(own_hash[members], offset)
    sorted_groups = np.argsort(row_hash[first])
    index = np.minimum(np.searchsorted(row_hash[first][sorted_groups], rest), max(len(first) - 1, 0))
    candidate = sorted_groups[index]
    size = row_sizes(mask)[first]
    below = np.where((row_hash[first][candidate] == rest) & (size[candidate] < size), candidate, -1)
    order = heavy_paths(below.tolist(), np.diff(offset).tolist(), size.tolist())
    groups, length = np.array(order, np.int64), np.diff(offset)
    begins = np.append(True, below[groups[1:]] != groups[:-1])[: len(groups)]  # the group before is not the one below
    ends = prefix_sums(length[groups])
    item = members[repeat_ranges(offset[groups], length[groups])]
    return Paths(np.append(ends[:-1][begins], len(item)), item)


def _hash_rows(mask: Mask) -> tuple[UInt64Array, UInt64Array]:
    """Return for each position the sum of random words over its rows in all tables, and the sum of its own words."""
    word = np.random.default_rng(0).integers(0, 2**64, (mask.tables, mask.size), np.uint64)
    rows = np.zeros(mask.size, np.uint64)
    for table in range(mask.tables):
        sums = prefix_sums(word[table])
        rows += segment_sums(sums[mask.key_end] - sums[mask.key_start], mask.row_offset[table])
    return rows, word.sum(axis=0, dtype=np.uint64)


def chain_cover(mask: Mask) -> Paths:
    """Return longest chains, repeatedly.

    Q follows p if q attends to p and has a larger row, or an equally large one and a later position.

    Once chains are short, or there are ``CHAINS`` of them, the remaining positions follow, sorted by the sizes of their
    rows.

    Examples
    --------
    >>> wings = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]], bool)
    >>> [array.tolist() for array in chain_cover(Mask.from_dense(wings))]
    [[0, 2, 4], [0, 2, 1, 3]]
    """
    sizes = row_sizes(mask)
    by_size = np.lexsort((np.arange(mask.size), sizes))
    rank = np.empty(mask.size, np.int64)
    rank[by_size] = np.arange(mask.size)
    keys = [np.sort(rank[mask.row(query)]) for query in by_size.tolist()]
    below = [row[: np.searchsorted(row, number)] for number, row in enumerate(keys)]
    remaining = np.ones(mask.size, bool)
    chains: list[Int64Array] = []
    while len(chains) < CHAINS and remaining.any():
        chain = _longest_chain(below, remaining)
        if len(chain) < 2:
            break
        remaining[chain] = False
        chains.append(by_size[chain])
    parts = [*chains, by_size[remaining]] if remaining.any() else chains
    return Paths(indptr([len(part) for part in parts]), np.concatenate([by_size[:0], *parts]))


def _longest_chain(below: list[Int64Array], remaining: BoolArray) -> Int64Array:
    """Return the longest chain of the remaining positions (as ranks), lowest first."""
    length = np.zeros(len(remaining), np.int64)
    predecessor = np.full(len(remaining), -1, np.int64)
    for number in np.flatnonzero(remaining).tolist():
        row = below[number]
        if len(row):
            best = len(row) - 1 - int(np.argmax(length[row][::-1]))  # ties: the last one
            if remaining[row[best]]:
                predecessor[number], length[number] = row[best], length[row[best]]
        length[number] += 1
    chain = [int(np.argmax(length))]
    while predecessor[chain[-1]] >= 0:
        chain.append(int(predecessor[chain[-1]]))
    return np.array(chain[::-1], np.int64)
