"""Who sees whom through layers: one direct look at all rows, a proof that deeper looks are needless, and a bounded search where it fails.

All of it works on row intervals. With N positions, T intervals and H questions (does query q reach a member of set s?):

* direct: O(intervals of the asked rows x log), at once for all questions;
* closed masks (trees, chains, documents, cliques, whatever `closed` recognises in O(T + N log N)): what is reached is seen directly, done;
* bounds: in a causal mask a set that lies above q is out of reach, and with few keys from the future still for nearly all q;
* the rest (`masksynth.audit.shortest_paths`): breadth first from up to ``ENTRIES / N`` queries at a time, O(N + intervals met) for each query and
  layer, until ``BUDGET`` entries have been touched. What is left then is reported as not decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask
from masksynth.verify.colour_refinement import draw, row_sums
from masksynth.verify.interval_sets import chunks, holds, prefix, ranges, runs_of

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
ENTRIES = 1 << 23
"""Entries that are held at once."""
CHUNK = 1 << 22
FAR = np.iinfo(np.int32).max


class Sets(NamedTuple):
    """Set s holds the positions ``item[offset[s] : offset[s + 1]]``, rising."""

    offset: Ints
    item: Ints


def sets_of(groups: Sequence[Sequence[int]]) -> Sets:
    """Sets from lists of positions.

    Examples
    --------
    >>> sets_of([[2, 1], []])
    Sets(offset=array([0, 2, 2]), item=array([1, 2]))
    """
    count = np.array([len(group) for group in groups], np.int64)
    item = np.fromiter(chain.from_iterable(groups), np.int64, int(count.sum()))
    pairs = np.unique(np.column_stack([np.repeat(np.arange(len(groups)), count), item]), axis=0)
    return Sets(prefix(np.bincount(pairs[:, 0], minlength=len(groups))), pairs[:, 1])


def tables_used(mask: Mask, layers: int | None) -> range:
    """The tables that some layer reads."""
    return range(mask.tables if layers is None else min(mask.tables, layers))


def seen_directly(mask: Mask, query: Ints, which: Ints, sets: Sets, layers: int | None = None) -> Ints:
    """For each question the lowest member of set ``which[i]`` that row ``query[i]`` holds in some table, or -1.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]])
    >>> seen_directly(mask, np.array([2, 1]), np.array([0, 0]), sets_of([[0, 2]])).tolist()
    [2, 0]
    """
    width = mask.size + 1
    code = np.repeat(np.arange(len(sets.offset) - 1), np.diff(sets.offset)) * width + sets.item
    found = np.full(len(query), FAR, np.int64)
    for table in tables_used(mask, layers):
        rows = runs_of(mask, table)
        count = np.diff(rows.offset)[query]
        for first, last in chunks(prefix(count), CHUNK, len(query)):
            at = ranges(rows.offset[query[first:last]], count[first:last])
            owner = np.repeat(np.arange(first, last), count[first:last])
            place = np.searchsorted(code, which[owner] * width + rows.start[at])
            member = np.append(code, FAR * width)[place]
            hit = member < which[owner] * width + rows.end[at]
            np.minimum.at(found, owner[hit], member[hit] % width)
    return np.where(found == FAR, -1, found)


def sees_itself(mask: Mask, table: int) -> Bools:
    """Which rows hold their own position."""
    number = np.arange(mask.size)
    return holds(runs_of(mask, table), number, number, max(mask.size, 1))


def nearest_key(mask: Mask) -> Ints:
    """Return for each position the nearest key before it in its rows, over all tables; -1 where there is none.

    Examples
    --------
    >>> nearest_key(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3))]])).tolist()
    [-1, 0, 0]
    """
    found = np.full(mask.size, -1, np.int64)
    for table in range(mask.tables):
        rows = runs_of(mask, table)
        query = np.repeat(np.arange(mask.size), np.diff(rows.offset))
        before = rows.start < query
        np.maximum.at(found, query[before], np.minimum(rows.end, query)[before] - 1)
    return found


def closed(mask: Mask) -> bool:
    """Whether rows are recognised as closed: what a position reaches through any number of layers it sees directly, or is itself.

    A row, with its own position, is closed if it is the disjoint union of all positions that have this same row and of the row of some
    position, if that is closed. Sums of random words decide (see `masksynth.verify.colour_refinement`). True is right; False means not recognised.

    Examples
    --------
    >>> closed(Mask.from_dense(np.tril(np.ones((5, 5), bool)))), closed(Mask.from_dense(~np.eye(3, dtype=bool)))
    (True, True)
    >>> closed(Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]]))
    False
    """
    if mask.size == 0:
        return True
    words = draw(mask.size, mask.row_offset.tobytes(), mask.key_start.tobytes(), mask.key_end.tobytes())
    first = _own_rows(mask, 0, words)
    if any((_own_rows(mask, table, words) != first).any() for table in range(1, mask.tables)):
        return False
    number, group = np.unique(first, axis=0, return_inverse=True)
    group = group.ravel()
    total = np.zeros_like(number)
    np.add.at(total, group, words)
    rest = number - total
    empty = (rest == 0).all(axis=1)
    pair = np.dtype([("a", np.uint64), ("b", np.uint64)])
    known, sought = (np.ascontiguousarray(part).view(pair).ravel() for part in (number, rest))
    place = np.minimum(np.searchsorted(known, sought), len(known) - 1)
    return bool((empty | (known[place] == sought)).all()) and _falling(mask, group, place, empty)


def _own_rows(mask: Mask, table: int, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sums of all rows, each with its own position."""
    sums: NDArray[np.uint64] = row_sums(mask, table, words)
    return sums + np.where(sees_itself(mask, table)[:, None], np.uint64(0), words)


def _falling(mask: Mask, group: Ints, place: Ints, empty: Bools) -> bool:
    """Rows get smaller from each to the one that it is built upon, so that none is built upon itself."""
    size = row_sums(mask, 0, np.ones(mask.size, np.int64)) + ~sees_itself(mask, 0)
    length = np.zeros(len(empty), np.int64)
    length[group] = size
    return bool((empty | (length[place] < length)).all())


def bounds(mask: Mask) -> tuple[Ints, Ints]:
    """For each position no less than the lowest, no more than the highest position that it reaches at any depth, by two prefix maxima.

    Whoever stands at or below x goes up by a key of a row at or below x alone, so the highest key of those rows, asked again until it
    stays, is above all that x reaches. A causal mask with one key from the future thus needs no search beyond the few rows below that key.

    Examples
    --------
    >>> low, high = bounds(Mask.from_intervals([[((0, 1),), ((0, 2), (3, 4)), ((0, 3),), ((0, 4),), ((0, 5),)]]))
    >>> low.tolist(), high.tolist()
    ([0, 0, 0, 0, 0], [0, 3, 3, 3, 4])
    """
    number = np.arange(mask.size)
    low, high = number.copy(), number.copy()
    for table in range(mask.tables):
        rows = runs_of(mask, table)
        full = np.flatnonzero(np.diff(rows.offset) > 0)
        low[full] = np.minimum(low[full], rows.start[rows.offset[full]])
        high[full] = np.maximum(high[full], rows.end[rows.offset[full + 1] - 1] - 1)
    return _repeated(np.minimum.accumulate(low[::-1])[::-1]), _repeated(np.maximum.accumulate(high))


def _repeated(step: Ints) -> Ints:
    """The end of x, step[x], step[step[x]], ..., which moves one way."""
    while ((after := step[step]) != step).any():
        step = after
    return step


def spread(mask: Mask, table: int, chosen: Bools) -> Bools:
    """``(m, N)``: the keys of the rows chosen in each line.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]])
    >>> spread(mask, 0, np.array([[False, False, True]])).tolist()
    [[False, True, True]]
    """
    rows, width = runs_of(mask, table), mask.size + 1
    line, query = np.nonzero(chosen)
    count = np.diff(rows.offset)[query]
    steps = np.zeros(len(chosen) * width, np.int32)
    for first, last in chunks(prefix(count), CHUNK, len(query)):
        at = ranges(rows.offset[query[first:last]], count[first:last])
        base = np.repeat(line[first:last], count[first:last]) * width
        steps += np.bincount(base + rows.start[at], minlength=len(steps)).astype(np.int32)
        steps -= np.bincount(base + rows.end[at], minlength=len(steps)).astype(np.int32)
    found: Bools = steps.reshape(len(chosen), width)[:, :-1].cumsum(axis=1, dtype=np.int32) > 0
    return found


ROUNDS = 64
"""Rounds of all positions at once, before positions are taken one by one."""


def depended_on(mask: Mask, sources: Ints, layers: int | None) -> Bools:
    """Which positions some source reads, itself included, within the layers: the positions that are not dead.

    Each round takes O(N + intervals met). At any depth, what ``ROUNDS`` rounds have not finished is walked one position after the other,
    each once and each interval once, so that a chain of N positions costs no N^2.

    Examples
    --------
    >>> depended_on(Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]]), np.array([1]), None).tolist()
    [True, True, False]
    """
    live = np.zeros((1, mask.size), bool)
    live[0, sources] = True
    if layers is None or layers >= mask.tables * (mask.size + 1):
        return _at_any_depth(mask, live)
    quiet = 0
    for layer in range(layers, 0, -1):
        found = spread(mask, (layer - 1) % mask.tables, live) & ~live
        live |= found
        quiet = 0 if found.any() else quiet + 1
        if quiet == mask.tables:
            break
    within: Bools = live[0]
    return within


def _at_any_depth(mask: Mask, live: Bools) -> Bools:
    fresh = live.copy()
    row: Bools = live[0]
    for _ in range(ROUNDS):
        found = np.zeros_like(live)
        for table in range(mask.tables):
            found |= spread(mask, table, fresh)
        fresh = found & ~live
        live |= fresh
        if not fresh.any():
            return row
    known = np.where(row, 0, FAR).astype(np.int32)
    within: Bools = walked(mask, known, np.flatnonzero(fresh[0]).tolist(), None) < FAR
    return within


def walked(mask: Mask, hops: NDArray[np.int32], todo: list[int], layers: int | None) -> NDArray[np.int32]:
    """Fewest hops to every position, one position after the other, O(N + T) steps: from ``todo``, whose hops are known, as others may be.

    ``after[k]`` leads to the first position from k on whose hops are not known (path halving).

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]])
    >>> walked(mask, np.array([FAR, FAR, 0], np.int32), [2], None).tolist()
    [2, 1, 0]
    """
    after = [*np.where(hops < FAR, np.arange(1, mask.size + 1), np.arange(mask.size)).tolist(), mask.size]
    tables = [[part.tolist() for part in runs_of(mask, table)] for table in tables_used(mask, layers)]
    found = hops.tolist()
    for query in todo:
        step = found[query] + 1
        if layers is not None and step > layers:
            break
        for offset, start, end in tables:
            for at in range(offset[query], offset[query + 1]):
                key = start[at]
                while key < end[at]:
                    while after[key] != key:
                        after[key] = after[after[key]]
                        key = after[key]
                    if key < end[at]:
                        after[key], found[key] = key + 1, step
                        todo.append(key)
    return np.array(found, np.int32)
