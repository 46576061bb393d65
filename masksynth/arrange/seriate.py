"""Orders of general masks to start from: by sizes, along chains, along eigenvectors. Products with the mask are sums over intervals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from masksynth.arrange.measure import column_sizes, row_sizes
from masksynth.mask import Mask
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import Float64Array, Int64Array
from masksynth.merge.position_order import heavy_paths

MAX_ALLOWED = 1 << 23
"""Most allowed pairs for which chains are searched and blocks are improved."""
MAX_SERIATED = 1 << 19
"""Most intervals for which eigenvectors are computed."""
MAX_CHAINED = 4096
"""Most positions for which chains are searched."""
CHAINS, STEPS = 24, 40
"""Most chains taken out, and steps of the power iteration."""


def starting_orders(mask: Mask, seed: int = 0) -> Iterator[tuple[str, Int64Array]]:
    """(name, order) of every heuristic, the cheapest first."""
    every = np.arange(mask.size)
    rows, columns = row_sizes(mask), column_sizes(mask)
    paths = cover_paths(mask)
    yield "paths", np.concatenate(paths)
    yield "paths by viewers", np.concatenate(sorted(paths, key=lambda path: -float(columns[path].mean())))
    yield "paths by length", np.concatenate(sorted(paths, key=lambda path: -len(path)))
    yield "given", every
    yield "viewers", np.lexsort((every, -columns))
    yield "sizes", np.lexsort((every, rows))
    yield "sums", np.lexsort((every, rows - columns))
    if mask.pairs <= MAX_ALLOWED and mask.size <= MAX_CHAINED:
        chains = chain_cover(mask)
        yield "chains", np.concatenate(chains)
        yield "chains by viewers", np.concatenate(sorted(chains, key=lambda chain: -float(columns[chain].mean())))
    if len(mask.key_start) > MAX_SERIATED:
        return
    rank, both = eigen_ranks(mask, seed)
    yield "eigenvector", np.argsort(rank, kind="stable")
    yield "row and column eigenvectors", np.argsort(both, kind="stable")


def times(mask: Mask, x: Float64Array, table: int = 0) -> Float64Array:
    """``A @ x`` for the table A, in O((T + N) d) for d columns.

    Examples
    --------
    >>> times(Mask.from_dense(np.tril(np.ones((3, 3), bool))), np.array([[1.0], [2.0], [4.0]])).ravel().tolist()
    [1.0, 3.0, 7.0]
    """
    offset = mask.row_offset[table]
    part = slice(int(offset[0]), int(offset[-1]))
    sums = np.vstack([np.zeros((1, x.shape[1])), x.cumsum(axis=0)])
    total = np.vstack(
        [np.zeros((1, x.shape[1])), (sums[mask.key_end[part]] - sums[mask.key_start[part]]).cumsum(axis=0)]
    )
    result: Float64Array = total[offset[1:] - offset[0]] - total[offset[:-1] - offset[0]]
    return result


def times_transposed(mask: Mask, x: Float64Array, table: int = 0) -> Float64Array:
    """``A.T @ x`` for the table A.

    Examples
    --------
    >>> times_transposed(Mask.from_dense(np.tril(np.ones((3, 3), bool))), np.array([[1.0], [2.0], [4.0]])).ravel().tolist()
    [7.0, 6.0, 4.0]
    """
    row, start, end = row_intervals(mask, table)
    steps = [
        np.bincount(start, column[row], mask.size + 1) - np.bincount(end, column[row], mask.size + 1) for column in x.T
    ]
    return np.stack(steps, axis=1).cumsum(axis=0)[: mask.size]


def eigen_ranks(mask: Mask, seed: int = 0) -> tuple[Float64Array, Float64Array]:
    """The second eigenvector of the symmetric normalised mask, and that of its rows and columns side by side.

    With A the sum of the tables, R and C its row and column sums: the second eigenvector of D^-1/2 (A + A^T) D^-1/2, and the second left
    and right singular vectors of R^-1/2 A C^-1/2 (Dhillon, KDD 2001), added up; by orthogonal iteration.
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
        x = np.linalg.qr(x + sum(times(mask, z, t) + times_transposed(mask, z, t) for t in tables) / degree)[0]
        left = sum(times(mask, y / np.sqrt(columns), t) for t in tables) / np.sqrt(rows)
        y = np.linalg.qr(sum(times_transposed(mask, left / np.sqrt(rows), t) for t in tables) / np.sqrt(columns))[0]
    left = sum(times(mask, y / np.sqrt(columns), t) for t in tables) / rows
    both = y / np.sqrt(columns)
    return (x / degree)[:, 1], (
        both / np.linalg.norm(both, axis=0) + left / np.maximum(np.linalg.norm(left, axis=0), 1e-300)
    )[:, 1]


def cover_paths(mask: Mask) -> list[Int64Array]:
    """Heavy paths of what is a forest in a mask, in near-linear time.

    Positions of equal rows form a group; a group stands above another if its row is the other's row and its own members. Each group has at
    most one below, so the groups form a forest, and its heavy paths (`masksynth.merge.position_order`) become the paths of positions. Rows are
    compared by sums of random 64-bit words.

    Examples
    --------
    >>> wings = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]], bool)
    >>> [path.tolist() for path in cover_paths(Mask.from_dense(wings))]
    [[0, 2], [1, 3]]
    """
    rows, own = _words(mask)
    _, first, group = np.unique(rows, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    group, first = rank[group.reshape(-1)], np.sort(first)
    by = np.argsort(group, kind="stable")
    cut = np.append(0, np.bincount(group, minlength=len(first)).cumsum())
    sums = np.append(np.uint64(0), own[by].cumsum(dtype=np.uint64))
    wanted = rows[first] - (sums[cut[1:]] - sums[cut[:-1]])
    sorted_by = np.argsort(rows[first])
    at = sorted_by[np.minimum(np.searchsorted(rows[first][sorted_by], wanted), max(len(first) - 1, 0))]
    size = row_sizes(mask)[first]
    below = np.where((rows[first][at] == wanted) & (size[at] < size), at, -1)
    order = heavy_paths(below.tolist(), np.diff(cut).tolist(), size.tolist())
    parts = [by[cut[one] : cut[one + 1]] for one in order]
    breaks = [number for number, (one, two) in enumerate(pairwise(order), 1) if below[two] != one]
    return [np.concatenate(parts[a:b]) for a, b in pairwise([0, *breaks, len(parts)])]


def _words(mask: Mask) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """For each position the sum of random words over its rows in all tables, and the sum of its own words."""
    word = np.random.default_rng(0).integers(0, 2**64, (mask.tables, mask.size), np.uint64)
    rows = np.zeros(mask.size, np.uint64)
    for table in range(mask.tables):
        offset = mask.row_offset[table]
        part = slice(int(offset[0]), int(offset[-1]))
        sums = np.append(np.uint64(0), word[table].cumsum(dtype=np.uint64))
        total = np.append(np.uint64(0), (sums[mask.key_end[part]] - sums[mask.key_start[part]]).cumsum(dtype=np.uint64))
        rows += total[offset[1:] - offset[0]] - total[offset[:-1] - offset[0]]
    return rows, word.sum(axis=0, dtype=np.uint64)


def chain_cover(mask: Mask) -> list[Int64Array]:
    """Longest chains, one after another: q follows p if q sees p and has a larger row, or one of the same size and a later place.

    When chains have become short, or many, what is left follows by the sizes of its rows.

    Examples
    --------
    >>> wings = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]], bool)
    >>> [chain.tolist() for chain in chain_cover(Mask.from_dense(wings))]
    [[0, 2], [1, 3]]
    """
    sizes = row_sizes(mask)
    by = np.lexsort((np.arange(mask.size), sizes))
    place = np.empty(mask.size, np.int64)
    place[by] = np.arange(mask.size)
    keys = [np.sort(place[mask.row(query)]) for query in by.tolist()]
    below = [row[: np.searchsorted(row, at)] for at, row in enumerate(keys)]
    left = np.ones(mask.size, bool)
    chains: list[Int64Array] = []
    while len(chains) < CHAINS and left.any():
        chain = _longest(below, left)
        if len(chain) < 2:
            break
        left[chain] = False
        chains.append(by[chain])
    return [*chains, by[left]] if left.any() or not chains else chains


def _longest(below: list[Int64Array], left: NDArray[np.bool_]) -> Int64Array:
    """The longest chain among those that are left, lowest first."""
    length = np.zeros(len(left), np.int64)
    under = np.full(len(left), -1, np.int64)
    for at in np.flatnonzero(left).tolist():
        row = below[at]
        if len(row):
            best = len(row) - 1 - int(np.argmax(length[row][::-1]))
            if left[row[best]]:
                under[at], length[at] = row[best], length[row[best]]
        length[at] += 1
    chain = [int(np.argmax(length))]
    while under[chain[-1]] >= 0:
        chain.append(int(under[chain[-1]]))
    return np.array(chain[::-1], np.int64)
