"""Colour refinement on interval rows, near-linear, on the checker's own account.

The multiset of colours in a row is compared through a sum: every colour draws two random 64-bit words, a row adds up the words of its
keys (modulo 2**64, over prefix sums, so that no interval is ever expanded). Different sums *prove* different multisets, whatever was
drawn. Equal sums of different multisets of fewer than 2**31 keys have probability below 2**-64: the words are drawn from the SHA-256 of
everything that is checked, so no answer can be made to fit them, and the same answer always gets the same verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]


def draw(count: int, *checked: bytes) -> Words:
    """Two random words for each of ``count`` colours, drawn from what is checked; ``(count, 2)``."""
    digest = hashlib.sha256()
    for part in checked:
        digest.update(hashlib.sha256(part).digest())
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest.digest())))
    return generator.integers(0, 2**64, size=(count, 2), dtype=np.uint64)


def row_sums(rows: Mask, table: int, value: NDArray[Any]) -> NDArray[Any]:
    """Sum of the keys' values over every row of a table; value ``(n,)`` or ``(n, c)``, unsigned sums modulo 2**64.

    Examples
    --------
    >>> row_sums(Mask.from_intervals([[[(0, 1)], [(0, 2)], [(0, 1), (2, 3)]]]), 0, np.array([1, 10, 100]))
    array([  1,  11, 101])
    """
    bounds = rows.row_offset[table]
    part = slice(int(bounds[0]), int(bounds[-1]))
    prefix = _prefix(value)
    runs = _prefix(prefix[rows.key_end[part]] - prefix[rows.key_start[part]])
    total: NDArray[Any] = runs[bounds[1:] - bounds[0]] - runs[bounds[:-1] - bounds[0]]
    return total


def _prefix(value: NDArray[Any]) -> NDArray[Any]:
    prefix = np.zeros((len(value) + 1, *value.shape[1:]), value.dtype)
    np.cumsum(value, axis=0, out=prefix[1:])
    return prefix


def ranks(*columns: NDArray[Any]) -> Integers:
    """Give numbers to the distinct rows of the columns 0, 1, ... in ascending order.

    Examples
    --------
    >>> ranks(np.array([7, 3, 7]), np.array([0, 5, 0]))
    array([1, 0, 1])
    """
    order = np.lexsort(columns[::-1])
    step = np.zeros(len(order), bool)
    for column in columns:
        step[1:] |= column[order][1:] != column[order][:-1]
    rank = np.empty(len(order), np.int64)
    rank[order] = step.cumsum()
    return rank


def first_colours(identities: Iterable[Hashable]) -> Integers:
    """Equal identities, equal colours; numbered by first appearance."""
    known: dict[Hashable, int] = {}
    return np.fromiter((known.setdefault(identity, len(known)) for identity in identities), np.int64)


def levels(colour: Integers, sides: Sequence[Mask], words: Words, layers: int) -> list[Integers]:
    """Colours after 0, 1, ... layers over several relations side by side; the last entry holds for all later layers too.

    Layer l reads table (l - 1) mod P. A colouring that no table refines any more stays.
    """
    cuts = np.cumsum([side.size for side in sides])[:-1]
    found = [colour]
    quiet = 0
    for layer in range(1, layers + 1):
        table = (layer - 1) % sides[0].tables
        value = words[found[-1]]
        sums = np.concatenate(
            [row_sums(side, table, part) for side, part in zip(sides, np.split(value, cuts), strict=True)]
        )
        found.append(ranks(found[-1], *sums.T))
        quiet = quiet + 1 if found[-1].max(initial=0) == found[-2].max(initial=0) else 0
        if quiet == sides[0].tables:
            break
    return found


def most_in_a_row(rows: Mask, table: int, queries: Integers, colour: Integers, bound: Integers) -> Integers:
    """Count the most keys of each colour in one row of ``queries``, exactly; ``bound[c]`` is an upper limit, and at least 1.

    Only colours with a bound above 1 are looked at, and each only until its bound is reached.

    Examples
    --------
    >>> rows = Mask.from_intervals([[[(0, 1)], [(0, 2)], [(1, 3)]]])
    >>> most_in_a_row(rows, 0, np.arange(3), np.array([0, 0, 1]), np.array([2, 1])).tolist()
    [2, 1]
    """
    most = np.ones(len(bound), np.int64)
    watched = np.flatnonzero(bound[colour] > 1)
    size = row_sums(rows, table, np.isin(np.arange(rows.size), watched).astype(np.int64))[queries]
    for query in queries[np.argsort(-size, kind="stable")][: int((size > 1).sum())]:
        if not len(watched):
            break
        ends = np.searchsorted(watched, np.array(rows.intervals(int(query), table)))
        keys = np.concatenate([watched[start:end] for start, end in ends])
        found, count = np.unique(colour[keys], return_counts=True)
        most[found] = np.maximum(most[found], count)
        if (most[found] >= bound[found]).any():
            watched = watched[most[colour[watched]] < bound[colour[watched]]]
    return most
