"""Colour refinement on interval rows, near-linear: the checker's own.

The multiset of colours in a row is compared by a hash: every colour has two random 64-bit words, and a row has the sum
of the words of its keys (modulo 2**64, from prefix sums, so that no interval is expanded). Different sums *prove*
different multisets. Equal sums of different multisets of fewer than 2**31 keys have probability below 2**-64; the words
are drawn from the SHA-256 of everything that is checked, so no answer can be made to fit them, and equal answers get
equal verdicts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.typing import AnyArray, Int64Array, UInt64Array
from masksynth.verify.ragged import prefix_sums


def draw(count: int, *checked: bytes) -> UInt64Array:
    """Return two random words for each of ``count`` colours, ``(count, 2)``, seeded by the bytes that are checked."""
    digest = hashlib.sha256()
    for part in checked:
        digest.update(hashlib.sha256(part).digest())
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest.digest())))
    return generator.integers(0, 2**64, size=(count, 2), dtype=np.uint64)


def row_sums(rows: Mask, table: int, value: AnyArray) -> AnyArray:
    """Return the sum of the keys' values over each row of a table.

    Parameters
    ----------
    rows : Mask
    table : int
    value : (n,) or (n, c) array
        Unsigned sums are modulo 2**64.

    Examples
    --------
    >>> row_sums(Mask.from_intervals([[[(0, 1)], [(0, 2)], [(0, 1), (2, 3)]]]), 0, np.array([1, 10, 100]))
    array([  1,  11, 101])
    """
    bounds = rows.row_offset[table]
    part = slice(int(bounds[0]), int(bounds[-1]))
    below = prefix_sums(value)  # sums over the keys below each key
    before = prefix_sums(below[rows.key_end[part]] - below[rows.key_start[part]])  # over the intervals before each one
    total: AnyArray = before[bounds[1:] - bounds[0]] - before[bounds[:-1] - bounds[0]]
    return total


def ranks(*columns: AnyArray) -> Int64Array:
    """Return for each row of the columns its rank, 0, 1, ..., among the distinct rows in lexicographic order.

    Examples
    --------
    >>> ranks(np.array([7, 3, 7]), np.array([0, 5, 0]))
    array([1, 0, 1])
    """
    order = np.lexsort(columns[::-1])
    is_new = np.zeros(len(order), bool)  # differs from the row before in sorted order
    for column in columns:
        is_new[1:] |= column[order][1:] != column[order][:-1]
    rank = np.empty(len(order), np.int64)
    rank[order] = is_new.cumsum()
    return rank


def first_colours(identities: Iterable[Hashable]) -> Int64Array:
    """Return integer codes of the identities, in order of first appearance."""
    codes: dict[Hashable, int] = {}
    return np.fromiter((codes.setdefault(identity, len(codes)) for identity in identities), np.int64)


def levels(colour: Int64Array, sides: Sequence[Mask], words: UInt64Array, layers: int) -> list[Int64Array]:
    """Return the colours after 0, 1, ... layers, until they are stable; the last entry holds for all later layers.

    Layer l reads table (l - 1) mod P. The colouring is stable once no table of the pattern has refined it.

    Parameters
    ----------
    colour : (n,) int64
        Colours before the first layer of the positions of all sides, one side after another.
    sides : sequence of Mask
        Relations of P tables each, over disjoint sets of positions, which are coloured together.
    words : (n, 2) uint64
        See `draw`.
    layers : int
    """
    cuts = np.cumsum([side.size for side in sides])[:-1]
    colours = [colour]
    unchanged = 0
    for layer in range(1, layers + 1):
        table = (layer - 1) % sides[0].tables
        value = words[colours[-1]]
        sums = np.concatenate(
            [row_sums(side, table, part) for side, part in zip(sides, np.split(value, cuts), strict=True)]
        )
        colours.append(ranks(colours[-1], *sums.T))
        unchanged = unchanged + 1 if colours[-1].max(initial=0) == colours[-2].max(initial=0) else 0
        if unchanged == sides[0].tables:
            break
    return colours


def most_in_a_row(rows: Mask, table: int, queries: Int64Array, colour: Int64Array, bound: Int64Array) -> Int64Array:
    """Return for each colour the largest number of its keys in one row of ``queries``, at least 1.

    Only colours with a bound above 1 are counted, and each only until its bound is reached.

    Parameters
    ----------
    rows : Mask
    table : int
    queries : (m,) int64
    colour : (n,) int64
    bound : (colours,) int64
        Upper bounds, at least 1.

    Examples
    --------
    >>> rows = Mask.from_intervals([[[(0, 1)], [(0, 2)], [(1, 3)]]])
    >>> most_in_a_row(rows, 0, np.arange(3), np.array([0, 0, 1]), np.array([2, 1])).tolist()
    [2, 1]
    """
    most = np.ones(len(bound), np.int64)
    open_keys = np.flatnonzero(bound[colour] > 1)  # keys of colours whose bound is not reached
    size = row_sums(rows, table, np.isin(np.arange(rows.size), open_keys).astype(np.int64))[queries]
    for query in queries[np.argsort(-size, kind="stable")][: int((size > 1).sum())]:  # rows with most open keys first
        if not len(open_keys):
            break
        ends = np.searchsorted(open_keys, np.array(rows.intervals(int(query), table)))
        keys = np.concatenate([open_keys[start:end] for start, end in ends])
        present, count = np.unique(colour[keys], return_counts=True)
        most[present] = np.maximum(most[present], count)
        if (most[present] >= bound[present]).any():
            open_keys = open_keys[most[colour[open_keys]] < bound[colour[open_keys]]]
    return most
