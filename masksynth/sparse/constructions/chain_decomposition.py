"""Decompose a closed mask into classes, chains of classes, and the prefix of every chain that each class reaches.

A down-set meets a chain in a prefix, so the row of a class is one number for each chain that it meets. Chains are the
heavy paths of the forest "class -> its highest key": on trees a row meets at most log2(n) of them.

References
----------
D. D. Sleator, R. E. Tarjan, "A data structure for dynamic trees", J. Computer and System Sciences 26 (1983).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.mask.csr import expand_ranges, indptr, prefix_sums, row_of_entry
from masksynth.mask.equal_values import distinct
from masksynth.mask.typing import BoolArray, Int64Array

ENTRY_LIMIT = 50_000_000
"""Maximum number of edges, or (class, chain) pairs, for which there is enough memory."""


class Chains(NamedTuple):
    """Classes in *slots* 0 .. c - 1, one chain after another, each chain in ascending order without gaps.

    Parameters
    ----------
    offset, member : (c + 1,), (n,) int64
        CSR of the classes: slot s holds positions ``member[offset[s]:offset[s + 1]]``, ascending; the first is the
        representative.
    chain, start : (c,), (chains + 1,) int64
        Chain of each slot; chain i holds the slots ``start[i] <= s < start[i + 1]``.
    parent : (c,) int64
        Slot of a highest class below each class, -1 for a minimal class; within a chain it is the slot before.
    size : (c,) int64
        Number of classes that each class reaches, itself included.
    query, top : (entries,) int64
        Slot ``query`` reaches another chain up to slot ``top``; sorted by query, then top.
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
        """The representative position of each slot."""
        return self.member[self.offset[:-1]]

    def highest(self, query: Int64Array, chain: Int64Array) -> Int64Array:
        """Return the highest slot of each ``chain`` in the row of each slot ``query``; -1 if the row does not meet it.

        Examples
        --------
        >>> chains = decompose_chains(Mask.from_dense(np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]], bool)))
        >>> chains.first.tolist(), chains.highest(np.array([2, 2, 0]), np.array([0, 1, 1])).tolist()
        ([0, 1, 2], [0, 2, -1])
        """
        chains = len(self.start) - 1
        if not len(self.top):
            return np.where(self.chain[query] == chain, query, -1)
        code = self.query * chains + self.chain[self.top]  # ascending, since entries are sorted
        index = np.minimum(np.searchsorted(code, query * chains + chain), len(code) - 1)
        other = np.where(code[index] == query * chains + chain, self.top[index], -1)
        return np.where(self.chain[query] == chain, query, other)


def decompose_chains(mask: Mask) -> Chains:
    """Split a closed mask into classes (strongly connected components) and chains of classes.

    Raises
    ------
    InvalidInstance
        If the mask has several tables, or is not a preorder (as far as the sizes of its rows show).
    Unsupported
        If rows meet chains more than 50 million times.

    Examples
    --------
    Positions 0 and 1 attend to each other; position 2 attends to all.

    >>> chains = decompose_chains(Mask.from_intervals([[[(0, 2)], [(0, 2)], [(0, 3)]]]))
    >>> chains.offset.tolist(), chains.member.tolist(), chains.start.tolist(), chains.size.tolist()
    ([0, 2, 3], [0, 1, 2], [0, 2], [1, 2])
    """
    if mask.tables != 1:
        raise InvalidInstance(f"expected one closed table, got {mask.tables} tables", "", "give the flow as one table")
    _check_reflexive(mask)
    group = _equal_rows(mask)
    first = np.unique(group, return_index=True)[1]
    query, start, end = _quotient_rows(mask, group, first)
    size = np.ones(len(first), np.int64) + np.bincount(query, end - start, len(first)).astype(np.int64)
    parent = _highest(query, start, end, size)
    if (size[parent] >= size)[parent >= 0].any():
        raise _not_transitive()
    node, head = _heavy_paths(parent, size)
    slot = np.empty_like(node)
    slot[node] = np.arange(len(node))  # inverse permutation: slot of each class
    begins = np.flatnonzero(head)
    chain = np.cumsum(head) - 1
    entry, top = _tops(query, start, end, slot, chain)
    _check_sizes(entry, top, size[node], chain, begins)
    members = np.argsort(slot[group], kind="stable")
    offset = indptr(np.bincount(slot[group], minlength=len(node)))
    parent_slot = np.where(parent[node] < 0, -1, slot[parent[node]])
    foreign = chain[entry] != chain[top]  # within its own chain a class reaches all slots below
    return Chains(
        offset, members, chain, np.append(begins, len(node)), parent_slot, size[node], entry[foreign], top[foreign]
    )


def _check_reflexive(mask: Mask) -> None:
    query = row_of_entry(mask.row_offset[0])
    is_reflexive = np.zeros(mask.size, bool)
    is_reflexive[query[(mask.key_start <= query) & (query < mask.key_end)]] = True
    if not is_reflexive.all():
        fact = f"position {is_reflexive.argmin()} does not attend to itself"
        raise InvalidInstance(fact, "", "close it first: masksynth.posets.closure(relation)")


def _not_transitive() -> InvalidInstance:
    return InvalidInstance("the mask is not transitive", "", "close it first: masksynth.posets.closure(relation)")


def _equal_rows(mask: Mask) -> Int64Array:
    """Return the class of each position, by first appearance: mutually related positions have equal rows."""
    content = np.column_stack([mask.key_start, mask.key_end]).astype(np.int32).tobytes()
    bounds = (8 * mask.row_offset[0]).tolist()
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(content[begin:end], len(numbers)) for begin, end in pairwise(bounds)], np.int64)


def _quotient_rows(mask: Mask, group: Int64Array, first: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return the rows of the classes over the classes, without the diagonal, as intervals (query, start, end)."""
    row, index = expand_ranges(mask.row_offset[0, first], mask.row_offset[0, first + 1])
    # A class lies in an interval iff its representative does: the class numbers of an interval are a range.
    start, end = np.searchsorted(first, mask.key_start[index]), np.searchsorted(first, mask.key_end[index])
    _check_unions(mask, group, first, (row, index), (start, end))
    has_own = (start <= row) & (row < end)  # split the interval that contains the class itself
    cut = np.where(has_own, row, end)
    query = np.concatenate([row, row[has_own]])
    start, end = np.concatenate([start, row[has_own] + 1]), np.concatenate([cut, end[has_own]])
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
    """Raise unless each row is a union of classes, judged by sums of random 64-bit weights of positions."""
    weight = np.random.default_rng(0).integers(0, 2**64, mask.size, np.uint64)
    class_weight = np.zeros(len(first), np.uint64)
    np.add.at(class_weight, group, weight)
    position_sums, class_sums = prefix_sums(weight), prefix_sums(class_weight)  # modulo 2^64
    row, index = rows
    of_positions = position_sums[mask.key_end[index]] - position_sums[mask.key_start[index]]
    of_classes = class_sums[classes[1]] - class_sums[classes[0]]
    total = np.zeros(len(first), np.uint64)
    np.add.at(total, row, of_positions - of_classes)
    if total.any():
        raise _not_transitive()


def _highest(query: Int64Array, start: Int64Array, end: Int64Array, size: Int64Array) -> Int64Array:
    """Return the key of each class that reaches most classes, -1 if there is none; it is a cover.

    Range maxima use a sparse table: the best class in each range of 1, 2, 4, ... classes.
    """
    code = size * len(size) + np.arange(len(size))  # sorts by size, then by class
    table = [code]
    while 2 << (len(table) - 1) <= len(size):
        half = 1 << (len(table) - 1)
        table.append(np.maximum(table[-1][:-half], table[-1][half:]))
    level = np.frexp((end - start).astype(float))[1] - 1  # floor(log2(length))
    best = np.empty(len(query), np.int64)
    for number, maxima in enumerate(table):
        index = np.flatnonzero(level == number)  # two overlapping ranges of 2^number cover the interval
        best[index] = np.maximum(maxima[start[index]], maxima[end[index] - (1 << number)])
    highest = np.full(len(size), -1, np.int64)
    if len(query):
        begins = np.flatnonzero(np.diff(query, prepend=-1))  # first interval of each row
        highest[query[begins]] = np.maximum.reduceat(best, begins) % len(size)
    return highest


def _heavy_paths(parent: Int64Array, size: Int64Array) -> tuple[Int64Array, BoolArray]:
    """Return the classes, one heavy path after another in ascending order, and where paths begin.

    Paths are sorted by the size of their lowest class.
    """
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
    """Return the highest slot of each chain in each row, without the class itself, as (query slot, top slot), sorted.

    Consecutive classes that follow one another along a chain form runs; the last class of a run in an interval is the
    highest.
    """
    consecutive = np.zeros(len(slot), bool)
    consecutive[1:] = (np.diff(slot) == 1) & (np.diff(chain[slot]) == 0)
    run = np.cumsum(~consecutive) - 1
    finish = np.append(np.flatnonzero(~consecutive)[1:], len(slot))
    meetings = int((run[end - 1] - run[start] + 1).sum()) if len(query) else 0
    if meetings > ENTRY_LIMIT:
        raise Unsupported(
            f"{meetings} pairs of a row and a chain are more than {ENTRY_LIMIT}; number the positions chain by chain"
        )
    owner, number = expand_ranges(run[start], run[end - 1] + 1)
    top = slot[np.minimum(finish[number], end[owner]) - 1]
    code = distinct(slot[query[owner]] * len(slot) + top)
    entry, top = np.divmod(code, len(slot))
    last = np.ones(len(code), bool)
    last[:-1] = (entry[1:] != entry[:-1]) | (chain[top[1:]] != chain[top[:-1]])
    return entry[last], top[last]


def _check_sizes(entry: Int64Array, top: Int64Array, size: Int64Array, chain: Int64Array, begins: Int64Array) -> None:
    """Raise unless each row is the union of the prefixes below its tops."""
    counted = 1 + np.bincount(entry, top - begins[chain[top]] + 1, len(size)).astype(np.int64)
    if (counted != size).any():
        raise _not_transitive()
