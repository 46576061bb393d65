"""What can flow from position to position through the layers of a model: each layer keeps a position's own state and adds its row's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask

Marks = NDArray[np.bool_]


def outputs_of(mask: Mask, keys: Marks, layers: int | None) -> Marks:
    """The positions whose outputs may depend on one of ``keys`` after ``layers`` layers (None: any number); O(N + T) for each layer.

    Layer l, counted from 0, uses table l mod P.

    Examples
    --------
    >>> chain = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),), ((2, 4),)]])
    >>> [outputs_of(chain, np.arange(4) == 0, layers).tolist() for layers in (1, None)]
    [[True, True, False, False], [True, True, True, True]]
    """
    for marked in _states(mask, keys, layers):
        found = marked
    return found


def inputs_of(mask: Mask, queries: Marks, layers: int | None) -> Marks:
    """The positions on whose inputs one of the outputs of ``queries`` may depend after ``layers`` layers (None: any number).

    Examples
    --------
    >>> chain = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),), ((2, 4),)]])
    >>> inputs_of(chain, np.arange(4) == 3, 2).tolist()
    [False, True, True, True]
    """
    marked = queries.copy()
    for table in _tables(mask, layers, backwards=True):
        marked = marked | keys_of(mask, table, marked)
        if layers is None and table == 0 and not _grows(mask, marked):
            break
    return marked


def hops(mask: Mask, query: int, key: int, layers: int | None) -> tuple[int, ...]:
    """A way ``(key, ..., query)`` with the fewest layers, one hop for each; ``()`` if there is none.

    Examples
    --------
    >>> chain = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),), ((2, 4),)]])
    >>> hops(chain, 3, 0, None), hops(chain, 3, 0, 2)
    ((0, 1, 2, 3), ())
    """
    states = _until(mask, query, key, layers)
    way = [query] if states else []
    for layer in range(len(states) - 2, -1, -1):
        if not states[layer][way[0]]:
            row = mask.row(way[0], layer % mask.tables)
            way.insert(0, int(row[np.argmax(states[layer][row])]))
    return tuple(way)


def depth(mask: Mask, query: int, key: int) -> int | None:
    """After how many layers output ``query`` may depend on input ``key``; None: never.

    Examples
    --------
    >>> chain = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),), ((2, 4),)]])
    >>> depth(chain, 3, 0), depth(chain, 0, 3)
    (3, None)
    """
    states = _until(mask, query, key, None)
    return len(states) - 1 if states else None


def _until(mask: Mask, query: int, key: int, layers: int | None) -> list[Marks]:
    """What is marked after each layer until the query is; nothing if it never is."""
    states: list[Marks] = []
    for marked in _states(mask, np.arange(mask.size) == key, layers):
        states.append(marked)
        if marked[query]:
            return states
    return []


def _states(mask: Mask, marked: Marks, layers: int | None) -> Iterator[Marks]:
    """What is marked at first and after each layer; without a number of layers, until a whole round of the pattern adds nothing."""
    quiet = 0
    marked = marked.copy()
    yield marked
    for table in _tables(mask, layers):
        after = marked.copy()
        after[rows_with(mask, table, marked)] = True
        quiet = quiet + 1 if int(after.sum()) == int(marked.sum()) else 0
        marked = after
        yield marked
        if layers is None and quiet >= mask.tables:
            return


def _tables(mask: Mask, layers: int | None, backwards: bool = False) -> Iterator[int]:
    if layers is not None:
        order = range(layers - 1, -1, -1) if backwards else range(layers)
        yield from (layer % mask.tables for layer in order)
        return
    while True:
        yield from range(mask.tables - 1, -1, -1) if backwards else range(mask.tables)


def _grows(mask: Mask, marked: Marks) -> bool:
    return any((keys_of(mask, table, marked) & ~marked).any() for table in range(mask.tables))


def rows_with(mask: Mask, table: int, marked: Marks) -> NDArray[np.int64]:
    """The rows of a table that allow a marked key."""
    start, end = _bounds(mask, table)
    before = np.concatenate([[0], np.cumsum(marked)])
    return np.repeat(np.arange(mask.size), np.diff(mask.row_offset[table]))[before[end] > before[start]]


def keys_of(mask: Mask, table: int, marked: Marks) -> Marks:
    """The keys that the marked rows of a table allow."""
    start, end = _bounds(mask, table)
    rows = np.repeat(marked, np.diff(mask.row_offset[table]))
    steps = [np.bincount(each[rows], minlength=mask.size + 1) for each in (start, end)]
    keys: Marks = np.cumsum(steps[0] - steps[1])[:-1] > 0
    return keys


def _bounds(mask: Mask, table: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    part = slice(int(mask.row_offset[table, 0]), int(mask.row_offset[table, -1]))
    return mask.key_start[part], mask.key_end[part]
