"""Decide which positions are reachable through layers of attention.

The question is always: does query q reach a member of a set s of positions? With N positions, T intervals and H
questions, in order of cost:

* direct attention, for all questions at once: O(intervals of the queried rows x log);
* transitive masks (trees, chains, documents, cliques: what `reach_bounds.is_transitive` recognises in O(T + N log N)):
  everything reachable is attended to directly, so there is nothing else to do;
* bounds (`reach_bounds`): in a causal mask a set that lies above q is out of reach, and with few keys from the future
  it still is for nearly all q;
* breadth-first search for the rest (`masksynth.audit.shortest_paths`), up to ``ENTRIES / N`` queries at a time,
  O(N + intervals met) for each query and layer, until ``BUDGET`` entries have been touched. Questions that remain are
  reported as undecided.

Nothing here is N x N.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import indptr, repeat_index, row_of_entry
from masksynth.mask.intervals import gather_rows, row_intervals
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array

ENTRIES = 1 << 23
"""Entries held in memory at once by the search."""
CHUNK = 1 << 22
"""Intervals expanded at once."""
FAR = np.iinfo(np.int32).max
"""Number of hops to a position that has not been reached."""
ROUNDS = 64
"""Rounds over all positions at once before positions are visited one by one."""


class Sets(NamedTuple):
    """Sets of positions in CSR form: set s contains ``item[offset[s] : offset[s + 1]]``, ascending."""

    offset: Int64Array
    item: Int64Array


def build_sets(groups: Sequence[Sequence[int]]) -> Sets:
    """Build sets from lists of positions; repetitions are dropped.

    Examples
    --------
    >>> build_sets([[2, 1], []])
    Sets(offset=array([0, 2, 2]), item=array([1, 2]))
    """
    count = np.array([len(group) for group in groups], np.int64)
    item = np.fromiter(chain.from_iterable(groups), np.int64, int(count.sum()))
    pairs = np.unique(np.column_stack([repeat_index(count), item]), axis=0)
    return Sets(indptr(np.bincount(pairs[:, 0], minlength=len(groups))), pairs[:, 1])


def tables_used(mask: Mask, layers: int | None) -> range:
    """Return the tables of the layer pattern that a model of this many layers uses (None: any number)."""
    return range(mask.tables if layers is None else min(mask.tables, layers))


def first_attended(
    mask: Mask, query: Int64Array, which: Int64Array, sets: Sets, layers: int | None = None
) -> Int64Array:
    """Return for each question the lowest member of its set that the query attends to in some table, or -1.

    Parameters
    ----------
    mask : Mask
    query, which : (H,) int64
        Question i: does ``query[i]`` attend to a member of set ``which[i]``?
    sets : Sets
    layers : int, optional
        Layers of the model; tables that they do not use are ignored. None: all tables.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]])
    >>> first_attended(mask, np.array([2, 1]), np.array([0, 0]), build_sets([[0, 2]])).tolist()
    [2, 0]
    """
    width = mask.size + 1
    code = row_of_entry(sets.offset) * width + sets.item  # (set, member) as one integer, ascending
    lowest = np.full(len(query), FAR, np.int64)
    for table in tables_used(mask, layers):
        for first, last in _batches(np.diff(mask.row_offset[table])[query]):
            number, start, end = gather_rows(mask, query[first:last], table)
            number += first
            # the first member at or above the start of the interval, a member of the interval if it lies below the end
            member = np.append(code, FAR * width)[np.searchsorted(code, which[number] * width + start)]
            hit = member < which[number] * width + end
            np.minimum.at(lowest, number[hit], member[hit] % width)
    return np.where(lowest == FAR, -1, lowest)


def _batches(lengths: Int64Array) -> Iterator[tuple[int, int]]:
    """Yield ranges [first, last) of consecutive rows with at most ``CHUNK`` entries in all, or of one row."""
    total, first = indptr(lengths), 0
    while first < len(lengths):
        last = int(np.searchsorted(total, total[first] + CHUNK, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last


def nearest_key(mask: Mask) -> Int64Array:
    """Return for each position the last key before it that it attends to in some table; -1 if there is none.

    Examples
    --------
    >>> nearest_key(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3))]])).tolist()
    [-1, 0, 0]
    """
    nearest = np.full(mask.size, -1, np.int64)
    for table in range(mask.tables):
        query, start, end = row_intervals(mask, table)
        before = start < query
        np.maximum.at(nearest, query[before], np.minimum(end, query)[before] - 1)
    return nearest


def keys_of_rows(mask: Mask, table: int, chosen: BoolArray) -> BoolArray:
    """Return for each line the union of the keys of its chosen rows.

    Parameters
    ----------
    mask : Mask
    table : int
    chosen : (m, N) bool
        ``chosen[i, q]``: row q is part of the union of line i.

    Returns
    -------
    (m, N) bool

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]])
    >>> keys_of_rows(mask, 0, np.array([[False, False, True]])).tolist()
    [[False, True, True]]
    """
    width = mask.size + 1
    line, query = np.nonzero(chosen)
    # +1 where an interval starts and -1 where it ends; the running sum counts the intervals over each key
    change = np.zeros(len(chosen) * width, np.int32)
    for first, last in _batches(np.diff(mask.row_offset[table])[query]):
        number, start, end = gather_rows(mask, query[first:last], table)
        base = line[first + number] * width
        change += np.bincount(base + start, minlength=len(change)).astype(np.int32)
        change -= np.bincount(base + end, minlength=len(change)).astype(np.int32)
    covered: BoolArray = change.reshape(len(chosen), width)[:, :-1].cumsum(axis=1, dtype=np.int32) > 0
    return covered


def reachable_from(mask: Mask, sources: Int64Array, layers: int | None) -> BoolArray:
    """Return the positions that some source reaches within the layers, sources included.

    Sources are the positions of labels; every other position is dead. Each round takes O(N + intervals met). At any
    depth, what ``ROUNDS`` rounds have not finished is visited one position after another, each once and each interval
    once, so that a chain of N positions does not cost N^2.

    Parameters
    ----------
    mask : Mask
    sources : (m,) int64
        Positions.
    layers : int, optional
        None: at any depth.

    Returns
    -------
    (N,) bool

    Examples
    --------
    >>> reachable_from(Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]]), np.array([1]), None).tolist()
    [True, True, False]
    """
    live = np.zeros((1, mask.size), bool)
    live[0, sources] = True
    if layers is None or layers >= mask.tables * (mask.size + 1):
        return _reachable_at_any_depth(mask, live)
    unchanged = 0  # layers since a position was added; a complete pattern without any ends the loop
    for layer in range(layers, 0, -1):
        added = keys_of_rows(mask, (layer - 1) % mask.tables, live) & ~live
        live |= added
        unchanged = 0 if added.any() else unchanged + 1
        if unchanged == mask.tables:
            break
    reachable: BoolArray = live[0]
    return reachable


def _reachable_at_any_depth(mask: Mask, live: BoolArray) -> BoolArray:
    """Return the positions reached from those in ``live``, shape (1, N), which is extended in place."""
    frontier = live.copy()
    row: BoolArray = live[0]
    for _ in range(ROUNDS):
        keys = np.zeros_like(live)
        for table in range(mask.tables):
            keys |= keys_of_rows(mask, table, frontier)
        frontier = keys & ~live
        live |= frontier
        if not frontier.any():
            return row
    hops = np.where(row, 0, FAR).astype(np.int32)
    reachable: BoolArray = count_hops(mask, hops, np.flatnonzero(frontier[0]).tolist(), None) < FAR
    return reachable


def count_hops(mask: Mask, hops: Int32Array, queue: list[int], layers: int | None) -> Int32Array:
    """Return the fewest hops to every position, visiting one position after another: O(N + T) steps in all.

    Parameters
    ----------
    mask : Mask
    hops : (N,) int32
        Hops to the positions reached so far, ``FAR`` elsewhere.
    queue : list of int
        Reached positions whose rows are still to be followed, nearest first; extended in place.
    layers : int, optional
        Most hops. None: no limit.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]])
    >>> count_hops(mask, np.array([FAR, FAR, 0], np.int32), [2], None).tolist()
    [2, 1, 0]
    """
    # after[k] leads to the first unreached position from k on (union-find with path halving)
    after = [*np.where(hops < FAR, np.arange(1, mask.size + 1), np.arange(mask.size)).tolist(), mask.size]
    tables = [_row_lists(mask, table) for table in tables_used(mask, layers)]
    result = hops.tolist()
    for query in queue:
        step = result[query] + 1
        if layers is not None and step > layers:
            break
        for offset, start, end in tables:
            for interval in range(offset[query], offset[query + 1]):
                key = start[interval]
                while key < end[interval]:
                    while after[key] != key:
                        after[key] = after[after[key]]
                        key = after[key]
                    if key < end[interval]:
                        after[key], result[key] = key + 1, step
                        queue.append(key)
    return np.array(result, np.int32)


def _row_lists(mask: Mask, table: int) -> tuple[list[int], list[int], list[int]]:
    """Return the row pointers, starts and ends of one table as lists."""
    offset = mask.row_offset[table]
    _, start, end = row_intervals(mask, table)
    return (offset - offset[0]).tolist(), start.tolist(), end.tolist()
