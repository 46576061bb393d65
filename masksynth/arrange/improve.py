r"""Local search: exchanges of two positions between blocks, evaluated on every block that changes.

The number of non-empty blocks is flat: only the last pair that leaves a block changes it. So the search minimises
:math:`\sum_{IJ} m_{IJ} / (m_{IJ} + \tau)` for the pairs m in each block and decreasing tau, which rewards emptying the
emptier blocks, and finally the counts themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import indptr
from masksynth.mask.intervals import expand, row_intervals
from masksynth.mask.typing import Float64Array, Int64Array

Score = Callable[[Float64Array], Float64Array]
UNIT = 4e3
"""Number of exchanges tried in about a second."""
WIDTH = 24
"""Number of positions of a block for which exchanges are tried: those whose move costs least."""


@dataclass
class Table:
    """The pairs of one table, counted by blocks; R is the number of block rows.

    Parameters
    ----------
    pairs : (E,) int64
        Allowed pairs as ``q * N + k``, sorted.
    offset, keys : (N + 1,), (E,) int64
        Keys of each query, in CSR form.
    column_offset, queries : (N + 1,), (E,) int64
        Queries of each key, in CSR form.
    rows, columns : (N, R) float64
        Number of keys of each query in each block, and of queries of each key in each block.
    blocks : (R, R) float64
        Number of pairs in each block.
    """

    pairs: Int64Array
    offset: Int64Array
    keys: Int64Array
    column_offset: Int64Array
    queries: Int64Array
    rows: Float64Array
    columns: Float64Array
    blocks: Float64Array

    def look_up(self, queries: Int64Array, keys: Int64Array) -> Float64Array:
        """Return ``A[queries, keys]`` for index arrays that broadcast."""
        pairs = queries * (len(self.offset) - 1) + keys
        index = np.minimum(np.searchsorted(self.pairs, pairs), max(len(self.pairs) - 1, 0))
        return (self.pairs[index] == pairs).astype(np.float64) if len(self.pairs) else np.zeros(pairs.shape)

    def move(self, position: int, old: int, new: int) -> None:
        """Move a position from block ``old`` to block ``new``."""
        queries = self.queries[self.column_offset[position] : self.column_offset[position + 1]]
        self.rows[queries, old] -= 1
        self.rows[queries, new] += 1
        keys = self.keys[self.offset[position] : self.offset[position + 1]]
        self.columns[keys, old] -= 1
        self.columns[keys, new] += 1


def build_table(mask: Mask, table: int, home: Int64Array, blocks: int) -> Table:
    """Return the pairs of a table, counted by blocks.

    Parameters
    ----------
    mask : Mask
    table : int
    home : (N,) int64
        Block of each position.
    blocks : int
        R.
    """
    size = mask.size
    query, key = expand(row_intervals(mask, table))
    by_key = np.argsort(key, kind="stable")
    offset, column_offset = indptr(np.bincount(query, minlength=size)), indptr(np.bincount(key, minlength=size))
    rows = np.bincount(query * blocks + home[key], minlength=size * blocks).reshape(size, blocks).astype(np.float64)
    columns = np.bincount(key * blocks + home[query], minlength=size * blocks).reshape(size, blocks).astype(np.float64)
    grid: Float64Array = np.zeros((blocks, blocks))
    np.add.at(grid, home, rows)
    pairs: Int64Array = query * size + key
    return Table(pairs, offset, key, column_offset, query[by_key], rows, columns, grid)


def improve_order(mask: Mask, order: Int64Array, block: int, effort: float = 1.0) -> tuple[Int64Array, float]:
    """Return an order of lower smoothed cost, found by exchanges of positions between blocks, and the effort spent.

    Parameters
    ----------
    mask : Mask
    order : (N,) int64
        Order to start from.
    block : int
        B.
    effort : float
        Deterministic limit, in units of about a second.
    """
    blocks = -(-mask.size // block)
    home = np.empty(mask.size, np.int64)
    home[order] = np.arange(mask.size) // block
    tables = [build_table(mask, table, home, blocks) for table in range(mask.tables)]
    budget = effort * UNIT
    for score in (*_smooth_scores(block), _exact_score(block, blocks * mask.tables)):
        budget = _descend(tables, home, score, budget)
    return np.lexsort((np.arange(mask.size), home)), effort - budget / UNIT


def _smooth_scores(block: int) -> list[Score]:
    """Return concave scores of the number of pairs in a block, with decreasing tau."""
    return [lambda m, tau=block * block / share: m / (m + tau) for share in (4, 16, 64)]  # type: ignore[misc]


def _exact_score(block: int, blocks: int) -> Score:
    """Return the score that counts non-empty blocks, then partial ones, then prefers emptier ones."""
    full, small = float(block * block), 1.0 / (2 * blocks * blocks)
    return lambda m: (m > 0) + small * ((m > 0) & (m < full)) + small * 0.25 * np.sqrt(m / full)


def _descend(tables: list[Table], home: Int64Array, score: Score, budget: float) -> float:
    """Exchange positions of each pair of blocks while that lowers the score; return what is left of the budget."""
    blocks = len(tables[0].blocks)
    work = 1.0 + (WIDTH * WIDTH * blocks * len(tables)) / 4_000
    improving = True
    while improving:
        improving = False
        for first in range(blocks):
            for second in range(first + 1, blocks):
                while budget > 0 and _exchange(tables, home, first, second, score):
                    improving = True
                    budget -= work
                budget -= work
                if budget <= 0:
                    return budget
    return budget


def _exchange(tables: list[Table], home: Int64Array, first: int, second: int, score: Score) -> bool:
    """Make the best exchange between two blocks if it lowers the score; return whether it does."""
    left = _select_movable(tables, np.flatnonzero(home == first), first, second, score)
    right = _select_movable(tables, np.flatnonzero(home == second), second, first, score)
    changes = sum(_score_changes(table, left, right, first, second, score) for table in tables)
    best = int(np.argmin(changes))
    if np.asarray(changes).flat[best] > -1e-9:
        return False
    p, q = int(left[best // len(right)]), int(right[best % len(right)])
    for table in tables:
        table.move(p, first, second)
        table.move(q, second, first)
    home[p], home[q] = second, first
    for table in tables:
        for block in (first, second):
            members = home == block
            table.blocks[block] = table.rows[members].sum(axis=0)
            table.blocks[:, block] = table.columns[members].sum(axis=0)
    return True


def _select_movable(tables: list[Table], members: Int64Array, own: int, other: int, score: Score) -> Int64Array:
    """Return the ``WIDTH`` members of block ``own`` whose move to ``other`` raises the score least, loops ignored."""
    if len(members) <= WIDTH:
        return members
    cost = np.zeros(len(members))
    for table in tables:
        for lines, grid in ((table.rows[members], table.blocks), (table.columns[members], table.blocks.T)):
            cost += (score(np.maximum(grid[own] - lines, 0)) + score(grid[other] + lines)).sum(axis=1)
    return members[np.argsort(cost, kind="stable")[:WIDTH]]


def _score_changes(
    table: Table, left: Int64Array, right: Int64Array, first: int, second: int, score: Score
) -> Float64Array:
    """Return the change of the score for each exchange of a position p in ``left`` and q in ``right``.

    The four blocks in rows and columns of both are counted by inclusion and exclusion of the four pairs between p and
    q.

    Parameters
    ----------
    table : Table
    left, right : (p,), (q,) int64
        Positions of block ``first``, and of block ``second``.
    first, second : int
    score : callable

    Returns
    -------
    (p, q) float64
    """
    p, q = left[:, None], right[None]
    rows, columns, grid = table.rows, table.columns, table.blocks
    others = np.ones(len(grid), bool)
    others[[first, second]] = False
    change = np.zeros((len(left), len(right)))
    for lines, field in ((rows, grid), (columns, grid.T)):
        shift = lines[right][None] - lines[left][:, None]
        for block, sign in ((first, 1), (second, -1)):
            before = field[block]
            change += ((score(before + sign * shift) - score(before)) @ others).astype(np.float64)
    pp, qq, pq, qp = (table.look_up(a, b) for a, b in ((p, p), (q, q), (p, q), (q, p)))

    def change_within(own: int, a: Int64Array, b: Int64Array, aa: Float64Array, bb: Float64Array) -> Float64Array:
        moved = grid[own, own] - rows[a, own] - columns[a, own] + aa + rows[b, own] + columns[b, own] - pq - qp + bb
        return score(moved) - score(grid[own, own])

    def change_between(
        i: int, j: int, a: Int64Array, b: Int64Array, aa: Float64Array, bb: Float64Array
    ) -> Float64Array:
        moved = grid[i, j] - rows[a, j] - columns[b, i] + rows[b, j] + columns[a, i] + pq + qp - aa - bb
        return score(moved) - score(grid[i, j])

    corners = (
        change_within(first, p, q, pp, qq)
        + change_within(second, q, p, qq, pp)
        + change_between(first, second, p, q, pp, qq)
        + change_between(second, first, q, p, qq, pp)
    )
    return change + corners
