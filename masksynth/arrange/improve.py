r"""Local search: exchanges of two positions between blocks, judged by what they do to every block that they touch.

The number of non-empty blocks is flat: only the last pair that leaves a block counts. So the search goes down
:math:`\sum_{IJ} m_{IJ} / (m_{IJ} + \tau)` for the pairs m in each block and falling tau, which rewards emptying the emptier blocks, and
ends with the counts themselves.
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
"""Exchanges tried in about a second."""
WIDTH = 24
"""Most positions of a block that an exchange is tried for, those that would rather leave first."""


@dataclass
class Table:
    """One table's pairs, by blocks.

    Parameters
    ----------
    pairs : (E,) int64
        The allowed pairs as ``q * N + k``, sorted.
    offset, keys : rows as lists of keys.
    back_offset, queries : columns as lists of queries.
    rows, columns : (N, R) float64
        The keys of each query in each block, and the queries of each key in each block.
    blocks : (R, R) float64
        The pairs in each block.
    """

    pairs: Int64Array
    offset: Int64Array
    keys: Int64Array
    back_offset: Int64Array
    queries: Int64Array
    rows: Float64Array
    columns: Float64Array
    blocks: Float64Array

    def sees(self, queries: Int64Array, keys: Int64Array) -> Float64Array:
        """``A[queries, keys]`` of equal shapes, or of shapes that broadcast."""
        wanted = queries * (len(self.offset) - 1) + keys
        at = np.minimum(np.searchsorted(self.pairs, wanted), max(len(self.pairs) - 1, 0))
        return (self.pairs[at] == wanted).astype(np.float64) if len(self.pairs) else np.zeros(wanted.shape)

    def move(self, position: int, old: int, new: int) -> None:
        """Take a position from one block into another."""
        seen = self.queries[self.back_offset[position] : self.back_offset[position + 1]]
        self.rows[seen, old] -= 1
        self.rows[seen, new] += 1
        sees = self.keys[self.offset[position] : self.offset[position + 1]]
        self.columns[sees, old] -= 1
        self.columns[sees, new] += 1


def table_of(mask: Mask, table: int, home: Int64Array, blocks: int) -> Table:
    """The pairs of a table, positions lying in the blocks ``home``."""
    size = mask.size
    query, key = expand(row_intervals(mask, table))
    by = np.argsort(key, kind="stable")
    offset, back = indptr(np.bincount(query, minlength=size)), indptr(np.bincount(key, minlength=size))
    rows = np.bincount(query * blocks + home[key], minlength=size * blocks).reshape(size, blocks).astype(np.float64)
    columns = np.bincount(key * blocks + home[query], minlength=size * blocks).reshape(size, blocks).astype(np.float64)
    grid: Float64Array = np.zeros((blocks, blocks))
    np.add.at(grid, home, rows)
    pairs: Int64Array = query * size + key
    return Table(pairs, offset, key, back, query[by], rows, columns, grid)


def improved(mask: Mask, order: Int64Array, block: int, effort: float = 1.0) -> tuple[Int64Array, float]:
    """An order of lower smoothed cost, by exchanges of positions between blocks, and the effort it took.

    Parameters
    ----------
    mask : Mask
    order : (N,) int64
    block : int
    effort : float
        Deterministic limit, in units of about a second.
    """
    blocks = -(-mask.size // block)
    home = np.empty(mask.size, np.int64)
    home[order] = np.arange(mask.size) // block
    tables = [table_of(mask, table, home, blocks) for table in range(mask.tables)]
    budget = effort * UNIT
    for score in (*_smooth(block), _counted(block, blocks * mask.tables)):
        budget = _descend(tables, home, score, budget)
    return np.lexsort((np.arange(mask.size), home)), effort - budget / UNIT


def _smooth(block: int) -> list[Score]:
    """Concave scores with falling tau."""
    return [lambda m, tau=block * block / share: m / (m + tau) for share in (4, 16, 64)]  # type: ignore[misc]


def _counted(block: int, blocks: int) -> Score:
    """Non-empty blocks, then partial ones, then (as a slope) emptier ones."""
    whole, least = float(block * block), 1.0 / (2 * blocks * blocks)
    return lambda m: (m > 0) + least * ((m > 0) & (m < whole)) + least * 0.25 * np.sqrt(m / whole)


def _descend(tables: list[Table], home: Int64Array, score: Score, budget: float) -> float:
    """Exchange positions of every two blocks while that lowers the score; what is left of the budget."""
    blocks = len(tables[0].blocks)
    work = 1.0 + (WIDTH * WIDTH * blocks * len(tables)) / 4_000
    again = True
    while again:
        again = False
        for one in range(blocks):
            for two in range(one + 1, blocks):
                while budget > 0 and _exchange(tables, home, one, two, score):
                    again = True
                    budget -= work
                budget -= work
                if budget <= 0:
                    return budget
    return budget


def _exchange(tables: list[Table], home: Int64Array, one: int, two: int, score: Score) -> bool:
    """The best exchange of a position of block ``one`` with one of block ``two``, made if it lowers the score."""
    left, right = np.flatnonzero(home == one), np.flatnonzero(home == two)
    left, right = _willing(tables, left, one, two, score), _willing(tables, right, two, one, score)
    gain = sum(_gain(table, left, right, one, two, score) for table in tables)
    best = int(np.argmin(gain))
    if np.asarray(gain).flat[best] > -1e-9:
        return False
    p, q = int(left[best // len(right)]), int(right[best % len(right)])
    for table in tables:
        table.move(p, one, two)
        table.move(q, two, one)
    home[p], home[q] = two, one
    for table in tables:
        for block in (one, two):
            members = home == block
            table.blocks[block] = table.rows[members].sum(axis=0)
            table.blocks[:, block] = table.columns[members].sum(axis=0)
    return True


def _willing(tables: list[Table], members: Int64Array, own: int, other: int, score: Score) -> Int64Array:
    """The ``WIDTH`` members for which moving alone, their own pairs aside, raises the score least."""
    if len(members) <= WIDTH:
        return members
    cost = np.zeros(len(members))
    for table in tables:
        for lines, grid in ((table.rows[members], table.blocks), (table.columns[members], table.blocks.T)):
            cost += (score(np.maximum(grid[own] - lines, 0)) + score(grid[other] + lines)).sum(axis=1)
    return members[np.argsort(cost, kind="stable")[:WIDTH]]


def _gain(table: Table, left: Int64Array, right: Int64Array, one: int, two: int, score: Score) -> Float64Array:
    """(left, right) changes of the score when a position p of block ``one`` and q of block ``two`` change places.

    The blocks that both lines cross are counted by inclusion and exclusion of the four pairs between p and q.
    """
    p, q = left[:, None], right[None]
    rows, columns, grid = table.rows, table.columns, table.blocks
    apart = np.ones(len(grid), bool)
    apart[[one, two]] = False
    change = np.zeros((len(left), len(right)))
    for lines, field in ((rows, grid), (columns, grid.T)):
        shift = lines[right][None] - lines[left][:, None]
        for block, sign in ((one, 1), (two, -1)):
            before = field[block]
            change += ((score(before + sign * shift) - score(before)) @ apart).astype(np.float64)
    pp, qq, pq, qp = table.sees(p, p), table.sees(q, q), table.sees(p, q), table.sees(q, p)

    def stay(own: int, a: Int64Array, b: Int64Array, aa: Float64Array, bb: Float64Array) -> Float64Array:
        moved = grid[own, own] - rows[a, own] - columns[a, own] + aa + rows[b, own] + columns[b, own] - pq - qp + bb
        return score(moved) - score(grid[own, own])

    def cross(i: int, j: int, a: Int64Array, b: Int64Array, aa: Float64Array, bb: Float64Array) -> Float64Array:
        moved = grid[i, j] - rows[a, j] - columns[b, i] + rows[b, j] + columns[a, i] + pq + qp - aa - bb
        return score(moved) - score(grid[i, j])

    corners = (
        stay(one, p, q, pp, qq)
        + stay(two, q, p, qq, pp)
        + cross(one, two, p, q, pp, qq)
        + cross(two, one, q, p, qq, pp)
    )
    return change + corners
