"""A closed mask as chains: its classes, chains of classes, and for each class the prefix of every chain that it sees.

A down-set meets a chain in a prefix, so that the row of a class is one number for each chain that it meets. Chains are the heavy paths
of the forest "class -> its highest key": on trees, log2(n) of them meet a row at most.

References
----------
D. D. Sleator, R. E. Tarjan, "A data structure for dynamic trees", J. Computer and System Sciences 26 (1983).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.mask.algebra import attends_to_self
from masksynth.mask.csr import expand_ranges
from masksynth.mask.typing import Int64Array

MOST = 50_000_000
"""Edges, or (class, chain) pairs, that fit in memory with room to work."""


class Chains(NamedTuple):
    """Classes in *slots* 0 .. c - 1, chain after chain, each chain upwards without a gap.

    Parameters
    ----------
    offset, member : (c + 1,), (n,) int64
        The positions of slot s are ``member[offset[s]:offset[s + 1]]``, ascending; the first one represents the class.
    chain, start : (c,), (chains + 1,) int64
        Chain of each slot; chain i holds the slots from ``start[i]`` up to ``start[i + 1]``.
    parent : (c,) int64
        A highest class below each class, -1 below a minimal one; within a chain it is the slot before.
    size : (c,) int64
        Number of classes that each class sees, itself included.
    query, top : (entries,) int64
        Slot ``query`` sees another chain up to slot ``top``; sorted by query, then top.
    """

    offset: Int64Array
    member: Int64Array
    chain: Int64Array
    start: Int64Array
    parent: Int64Array
    size: Int64Array
    query: Int64Array
    top: Int64Array

    @property
    def first(self) -> Int64Array:
        """The representative of each slot."""
        return self.member[self.offset[:-1]]

    def seen(self, query: Int64Array, chain: Int64Array) -> Int64Array:
        """The top of each ``chain`` in the row of each slot ``query``, -1 where they do not meet.

        Examples
        --------
        >>> chains = chains_of(Mask.from_dense(np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]], bool)))
        >>> chains.first.tolist(), chains.seen(np.array([2, 2, 0]), np.array([0, 1, 1])).tolist()
        ([0, 1, 2], [0, 2, -1])
        """
        chains = len(self.start) - 1
        known = self.query * chains + self.chain[self.top] if len(self.top) else np.zeros(1, np.int64) - 1
        at = np.minimum(np.searchsorted(known, query * chains + chain), len(known) - 1)
        other = np.where(known[at] == query * chains + chain, self.top[at] if len(self.top) else -1, -1)
        return np.where(self.chain[query] == chain, query, other)


def chains_of(mask: Mask) -> Chains:
    """Split a closed mask into classes and chains.

    Raises
    ------
    InvalidInstance
        If the mask is a pattern of several tables, or no preorder as far as sizes of rows tell.
    Unsupported
        If more than 50 million (class, chain) pairs meet.

    Examples
    --------
    Positions 0 and 1 see each other; position 2 sees all.

    >>> chains = chains_of(Mask.from_intervals([[[(0, 2)], [(0, 2)], [(0, 3)]]]))
    >>> chains.offset.tolist(), chains.member.tolist(), chains.start.tolist(), chains.size.tolist()
    ([0, 2, 3], [0, 1, 2], [0, 2], [1, 2])
    """
    if mask.tables != 1:
        raise InvalidInstance(
            f"a pattern of {mask.tables} tables has no chains", "", "give the flow as one closed table"
        )
    _check_reflexive(mask)
    group = _equal_rows(mask)
    first = np.unique(group, return_index=True)[1]
    query, start, end = _quotient_rows(mask, group, first)
    size = np.ones(len(first), np.int64) + np.bincount(query, end - start, len(first)).astype(np.int64)
    parent = _highest(query, start, end, size)
    if (size[parent] >= size)[parent >= 0].any():
        raise _open()
    node, head = _heavy_paths(parent, size)
    slot = np.empty_like(node)
    slot[node] = np.arange(len(node))
    begins = np.flatnonzero(head)
    chain = np.cumsum(head) - 1
    entry, top = _tops(query, start, end, slot, chain)
    _check_sizes(entry, top, size[node], chain, begins)
    members = np.argsort(slot[group], kind="stable")
    offset = np.append(0, np.cumsum(np.bincount(slot[group], minlength=len(node))))
    up = np.where(parent[node] < 0, -1, slot[parent[node]])
    foreign = chain[entry] != chain[top]
    return Chains(offset, members, chain, np.append(begins, len(node)), up, size[node], entry[foreign], top[foreign])


def _check_reflexive(mask: Mask) -> None:
    has_self = attends_to_self(mask)
    if not has_self.all():
        raise InvalidInstance(
            f"position {has_self.argmin()} does not see itself",
            "",
            "close it first: masksynth.posets.closure(relation)",
        )


def _open() -> InvalidInstance:
    return InvalidInstance("the mask is not transitive", "", "close it first: masksynth.posets.closure(relation)")


def _equal_rows(mask: Mask) -> Int64Array:
    """Number of each position's row among the different rows, by first appearance: q and k see each other iff their rows are equal."""
    stored = np.column_stack([mask.key_start, mask.key_end]).astype(np.int32).tobytes()
    bounds = (8 * mask.row_offset[0]).tolist()
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(stored[begin:end], len(numbers)) for begin, end in pairwise(bounds)], np.int64)


def _quotient_rows(mask: Mask, group: Int64Array, first: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Rows of the representatives over the classes, each without its own class, as intervals (query, start, end)."""
    owner, at = expand_ranges(mask.row_offset[0, first], mask.row_offset[0, first + 1])
    start, end = np.searchsorted(first, mask.key_start[at]), np.searchsorted(first, mask.key_end[at])
    _check_unions(mask, group, first, (owner, at), (start, end))
    own = (start <= owner) & (owner < end)
    cut = np.where(own, owner, end)
    query = np.concatenate([owner, owner[own]])
    start, end = np.concatenate([start, owner[own] + 1]), np.concatenate([cut, end[own]])
    kept = np.flatnonzero(start < end)
    kept = kept[np.lexsort((start[kept], query[kept]))]
    return query[kept], start[kept], end[kept]


def _check_unions(
    mask: Mask,
    group: Int64Array,
    first: Int64Array,
    rows: tuple[Int64Array, Int64Array],
    classes: tuple[Int64Array, Int64Array],
) -> None:
    """A row of a closed mask is a union of classes: fixed 64-bit weights of its positions and of its classes have equal sums."""
    weight = np.random.default_rng(0).integers(0, 2**64, mask.size, np.uint64)
    whole = np.zeros(len(first), np.uint64)
    np.add.at(whole, group, weight)
    by_position, by_class = (np.concatenate([np.zeros(1, np.uint64), np.cumsum(each)]) for each in (weight, whole))
    owner, at = rows
    difference = (
        by_position[mask.key_end[at]] - by_position[mask.key_start[at]] - (by_class[classes[1]] - by_class[classes[0]])
    )
    total = np.zeros(len(first), np.uint64)
    np.add.at(total, owner, difference)
    if total.any():
        raise _open()


def _highest(query: Int64Array, start: Int64Array, end: Int64Array, size: Int64Array) -> Int64Array:
    """The key of each class that sees most, -1 where there is none: nothing lies between, so it is a cover.

    Range maxima over a table of the best in windows of 1, 2, 4, ... classes.
    """
    code = size * len(size) + np.arange(len(size))
    table = [code]
    while 2 << (len(table) - 1) <= len(size):
        half = 1 << (len(table) - 1)
        table.append(np.maximum(table[-1][:-half], table[-1][half:]))
    level = np.frexp((end - start).astype(float))[1] - 1
    best = np.empty(len(query), np.int64)
    for number, row in enumerate(table):
        at = np.flatnonzero(level == number)
        best[at] = np.maximum(row[start[at]], row[end[at] - (1 << number)])
    found = np.full(len(size), -1, np.int64)
    if len(query):
        begins = np.flatnonzero(np.diff(query, prepend=-1))
        found[query[begins]] = np.maximum.reduceat(best, begins) % len(size)
    return found


def _heavy_paths(parent: Int64Array, size: Int64Array) -> tuple[Int64Array, NDArray[np.bool_]]:
    """Classes path after path, each upwards, and where paths begin. Paths come by the size of their heads."""
    up, order = parent.tolist(), np.argsort(size, kind="stable").tolist()
    weight, heavy = [1] * len(up), [-1] * len(up)
    for node in reversed(order):
        if (below := up[node]) >= 0:
            weight[below] += weight[node]
            if heavy[below] < 0 or weight[heavy[below]] < weight[node]:
                heavy[below] = node
    path: list[int] = []
    begins = np.zeros(len(up), bool)
    for head in order:
        if up[head] < 0 or heavy[up[head]] != head:
            begins[len(path)] = True
            while head >= 0:
                path.append(head)
                head = heavy[head]
    return np.array(path, np.int64), begins


def _tops(
    query: Int64Array, start: Int64Array, end: Int64Array, slot: Int64Array, chain: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """The top slot of each chain in each row, without the class itself, as (query slot, top slot), sorted.

    Classes that follow one another along a chain form runs; in a run, the last class of an interval is the highest.
    """
    consecutive = np.zeros(len(slot), bool)
    consecutive[1:] = (np.diff(slot) == 1) & (np.diff(chain[slot]) == 0)
    run = np.cumsum(~consecutive) - 1
    finish = np.append(np.flatnonzero(~consecutive)[1:], len(slot))
    meetings = int((run[end - 1] - run[start] + 1).sum()) if len(query) else 0
    if meetings > MOST:
        raise Unsupported(
            f"{meetings} pairs of a row and a chain are more than {MOST}; number the positions chain after chain"
        )
    owner, number = expand_ranges(run[start], run[end - 1] + 1)
    top = slot[np.minimum(finish[number], end[owner]) - 1]
    code = np.unique(slot[query[owner]] * len(slot) + top)
    entry, top = np.divmod(code, len(slot))
    last = np.ones(len(code), bool)
    last[:-1] = (entry[1:] != entry[:-1]) | (chain[top[1:]] != chain[top[:-1]])
    return entry[last], top[last]


def _check_sizes(entry: Int64Array, top: Int64Array, size: Int64Array, chain: Int64Array, begins: Int64Array) -> None:
    """A row of a closed mask is the union of the prefixes below its tops."""
    counted = 1 + np.bincount(entry, top - begins[chain[top]] + 1, len(size)).astype(np.int64)
    if (counted != size).any():
        raise _open()
