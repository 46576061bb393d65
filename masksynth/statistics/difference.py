"""The difference of two masks: pairs, rows, and pairs that are reachable through layers."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

import numpy as np

from masksynth.errors import Unsupported, check_type
from masksynth.mask import Mask
from masksynth.mask.algebra import check_same_size, difference, select_table
from masksynth.statistics.hasse import count_keys
from masksynth.statistics.reachability import convergence

FIRST_ROWS = 5
"""Number of differing rows that are listed."""


@dataclass(frozen=True)
class Row:
    """A row that differs.

    Parameters
    ----------
    table, query : int
    only_first, only_second : tuple of (int, int)
        Intervals of keys that only this mask allows.
    """

    table: int
    query: int
    only_first: tuple[tuple[int, int], ...]
    only_second: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Difference:
    """The difference of two masks.

    Parameters
    ----------
    tables : int
        Number of tables compared: the least common multiple of the lengths of the two layer patterns.
    only_first, only_second : int
        Number of pairs that only this mask allows, over all tables.
    rows : int
        Number of rows that differ, over all tables.
    first_rows : tuple of Row
        The first of them.
    flow_only_first, flow_only_second : int or None
        Number of pairs that are reachable, through any number of layers, only under this mask; None if not computed.
    note : str
        Why it was not computed.
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
    """Compare two masks: allowed pairs, rows, and reachable pairs.

    Parameters
    ----------
    one, other : Mask
        Of equal size; layer patterns may differ in length.

    Raises
    ------
    InvalidInstance
        If they differ in size.

    Examples
    --------
    Two masks that differ, under which the same pairs are reachable:

    >>> causal = np.tril(np.ones((4, 4), bool))
    >>> found = compare(Mask.from_dense(causal), Mask.from_dense(np.triu(causal, -1)))
    >>> found.only_first, found.rows, found.first_rows[0].only_first, found.flow_only_first
    (3, 2, ((0, 1),), 0)
    """
    check_type(one, Mask)
    check_type(other, Mask)
    check_same_size(one, other)
    tables = lcm(one.tables, other.tables)
    only_first = only_second = rows = 0
    listed: list[Row] = []
    for table in range(tables):
        first, second = select_table(one, table % one.tables), select_table(other, table % other.tables)
        first_only, second_only = difference(first, second), difference(second, first)
        differing = np.flatnonzero(count_keys(first_only) + count_keys(second_only))
        only_first += first_only.pairs
        only_second += second_only.pairs
        rows += len(differing)
        listed += [
            Row(table, query, first_only.intervals(query), second_only.intervals(query))
            for query in differing[: FIRST_ROWS - len(listed)].tolist()
        ]
    flow_first, flow_second, note = _compare_flows(one, other)
    return Difference(tables, only_first, only_second, rows, tuple(listed), flow_first, flow_second, note)


def _compare_flows(one: Mask, other: Mask) -> tuple[int | None, int | None, str]:
    """Return the number of pairs reachable under one mask only, for each mask; or None and the reason."""
    try:
        first, second = convergence(one).flow, convergence(other).flow
    except Unsupported as error:
        return None, None, str(error)
    return difference(first, second).pairs, difference(second, first).pairs, ""
