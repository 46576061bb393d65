"""The difference of two masks: pairs, rows, and whether information flows differently."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

import numpy as np

from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.mask.algebra import check_same_size, difference, select_table
from masksynth.statistics.hasse import row_sizes
from masksynth.statistics.reachability import convergence

FIRST_ROWS = 5
"""How many rows that differ are listed."""


@dataclass(frozen=True)
class Row:
    """A row that differs: intervals of keys that only one of the two masks allows."""

    table: int
    query: int
    only_first: tuple[tuple[int, int], ...]
    only_second: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Difference:
    """What distinguishes two masks.

    Parameters
    ----------
    tables : int
        Over how many tables they were compared: the least common multiple of the lengths of their patterns.
    only_first, only_second : int
        Pairs that one mask allows and the other does not, over all tables.
    rows : int
        Rows that differ, over all tables.
    first_rows : tuple of Row
        The first of them.
    flow_only_first, flow_only_second : int or None
        The same for what reaches what through any number of layers; None where that was not computed.
    note : str
        Why not.
    """

    tables: int
    only_first: int
    only_second: int
    rows: int
    first_rows: tuple[Row, ...]
    flow_only_first: int | None
    flow_only_second: int | None
    note: str


def compare(one: Mask, other: Mask) -> Difference:
    """Compare two masks pair by pair and flow by flow.

    Raises
    ------
    InvalidInstance
        If they differ in length.

    Examples
    --------
    Two masks that differ and yet let the same information through:

    >>> causal = np.tril(np.ones((4, 4), bool))
    >>> found = compare(Mask.from_dense(causal), Mask.from_dense(np.triu(causal, -1)))
    >>> found.only_first, found.rows, found.first_rows[0].only_first, found.flow_only_first
    (3, 2, ((0, 1),), 0)
    """
    check_same_size(one, other)
    tables = lcm(one.tables, other.tables)
    only_first = only_second = rows = 0
    listed: list[Row] = []
    for table in range(tables):
        first, second = select_table(one, table % one.tables), select_table(other, table % other.tables)
        mine, theirs = difference(first, second), difference(second, first)
        differ = np.flatnonzero(row_sizes(mine) + row_sizes(theirs))
        only_first, only_second, rows = only_first + mine.pairs, only_second + theirs.pairs, rows + len(differ)
        chosen = differ[: FIRST_ROWS - len(listed)].tolist()
        listed += [Row(table, query, mine.intervals(query), theirs.intervals(query)) for query in chosen]
    flow_first, flow_second, note = _flows(one, other)
    return Difference(tables, only_first, only_second, rows, tuple(listed), flow_first, flow_second, note)


def _flows(one: Mask, other: Mask) -> tuple[int | None, int | None, str]:
    try:
        mine, theirs = convergence(one).flow, convergence(other).flow
    except Unsupported as error:
        return None, None, str(error)
    return difference(mine, theirs).pairs, difference(theirs, mine).pairs, ""
