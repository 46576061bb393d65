"""Follow a mask through the layers of a model: each layer keeps a position's own state and adds that of its row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import prefix_sums
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import BoolArray, Int64Array


def reachable_outputs(mask: Mask, keys: BoolArray, layers: int | None) -> BoolArray:
    """Return the positions whose outputs may depend on one of ``keys``, (N,) bool; O(N + T) per layer.

    Parameters
    ----------
    mask : Mask
        Layer l, counted from 0, uses table l mod P.
    keys : (N,) bool
    layers : int or None
        Number of layers; None: any number.

    Examples
    --------
    >>> chain = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),), ((2, 4),)]])
    >>> [reachable_outputs(chain, np.arange(4) == 0, layers).tolist() for layers in (1, None)]
    [[True, True, False, False], [True, True, True, True]]
    """
    for reached in _states(mask, keys, layers):
        last = reached
    return last


def reachable_inputs(mask: Mask, queries: BoolArray, layers: int | None) -> BoolArray:
    """Return the positions on whose inputs one of the outputs of ``queries`` may depend, (N,) bool.

    Parameters
    ----------
    mask : Mask
    queries : (N,) bool
    layers : int or None
        Number of layers; None: any number.

    Examples
    --------
    >>> chain = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),), ((2, 4),)]])
    >>> reachable_inputs(chain, np.arange(4) == 3, 2).tolist()
    [False, True, True, True]
    """
    reached = queries.copy()
    for table in _tables(mask, layers, backwards=True):
        reached = reached | keys_of_rows(mask, table, reached)
        if layers is None and table == 0 and not _grows(mask, reached):
            break
    return reached


def shortest_path(mask: Mask, query: int, key: int, layers: int | None) -> tuple[int, ...]:
    """Return a path ``(key, ..., query)`` with the fewest layers, one hop per layer; ``()`` if there is none.

    Examples
    --------
    >>> chain = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),), ((2, 4),)]])
    >>> shortest_path(chain, 3, 0, None), shortest_path(chain, 3, 0, 2)
    ((0, 1, 2, 3), ())
    """
    states = _states_until(mask, query, key, layers)
    path = [query] if states else []
    for layer in range(len(states) - 2, -1, -1):
        if not states[layer][path[0]]:  # reached in this layer only: through a key that was reached before
            row = mask.row(path[0], layer % mask.tables)
            path.insert(0, int(row[np.argmax(states[layer][row])]))
    return tuple(path)


def depth(mask: Mask, query: int, key: int) -> int | None:
    """Return after how many layers output ``query`` may depend on input ``key``; None: never.

    Examples
    --------
    >>> chain = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),), ((2, 4),)]])
    >>> depth(chain, 3, 0), depth(chain, 0, 3)
    (3, None)
    """
    states = _states_until(mask, query, key, None)
    return len(states) - 1 if states else None


def _states_until(mask: Mask, query: int, key: int, layers: int | None) -> list[BoolArray]:
    """Return the reached positions after each layer until the query is reached; an empty list if it never is."""
    states: list[BoolArray] = []
    for reached in _states(mask, np.arange(mask.size) == key, layers):
        states.append(reached)
        if reached[query]:
            return states
    return []


def _states(mask: Mask, reached: BoolArray, layers: int | None) -> Iterator[BoolArray]:
    """Yield the reached positions at first and after each layer; without a number of layers, up to the fixed point."""
    unchanged = 0  # number of layers in a row that added nothing
    reached = reached.copy()
    yield reached
    for table in _tables(mask, layers):
        after = reached.copy()
        after[rows_with_keys(mask, table, reached)] = True
        unchanged = unchanged + 1 if int(after.sum()) == int(reached.sum()) else 0
        reached = after
        yield reached
        if layers is None and unchanged >= mask.tables:
            return


def _tables(mask: Mask, layers: int | None, backwards: bool = False) -> Iterator[int]:
    if layers is not None:
        order = range(layers - 1, -1, -1) if backwards else range(layers)
        yield from (layer % mask.tables for layer in order)
        return
    while True:
        yield from range(mask.tables - 1, -1, -1) if backwards else range(mask.tables)


def _grows(mask: Mask, reached: BoolArray) -> bool:
    return any((keys_of_rows(mask, table, reached) & ~reached).any() for table in range(mask.tables))


def rows_with_keys(mask: Mask, table: int, keys: BoolArray) -> Int64Array:
    """Return the rows of a table that have one of the keys, once per interval that has one."""
    query, start, end = row_intervals(mask, table)
    before = prefix_sums(keys.astype(np.int64))  # number of the keys before each position
    return query[before[end] > before[start]]


def keys_of_rows(mask: Mask, table: int, queries: BoolArray) -> BoolArray:
    """Return the union of the given rows of a table, (N,) bool."""
    query, start, end = row_intervals(mask, table)
    chosen = queries[query]
    # +1 at starts and -1 at ends: the prefix sum counts the intervals that cover a key
    changes = np.bincount(start[chosen], minlength=mask.size + 1) - np.bincount(end[chosen], minlength=mask.size + 1)
    covered: BoolArray = np.cumsum(changes)[:-1] > 0
    return covered
