"""The coarsest stable colouring of a mask: the checker's own colour refinement.

A round re-reads every row over prefix sums, or, if few positions have changed colour, only the rows that contain them. The largest part of
a class that splits keeps the colour (Hopcroft 1971), or what was not touched at all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.mask import Mask
from masksynth.verify.colour_refinement import Integers, Words, row_sums


def stable(colour: Integers, rows: Mask, words: Words) -> Integers:
    """Find the coarsest stable colouring that refines ``colour``: two positions keep one colour iff they are equivalent.

    Parameters
    ----------
    colour : (n,) int64
        Colours 0 .. c - 1, all of them used.
    rows : Mask
        A colouring is stable iff positions of one colour have equal multisets of colours in their rows, table by table.
    words : (n, 2) uint64
        See `masksynth.verify.colour_refinement.draw`.

    Examples
    --------
    >>> from masksynth.verify.colour_refinement import draw
    >>> rows = Mask.from_intervals([[[(0, 1)], [(1, 2)], [(0, 1), (2, 3)], [(1, 2), (3, 4)], [(4, 5)]]])
    >>> found = stable(np.array([0, 0, 1, 1, 1]), rows, draw(5))
    >>> (found[:, None] == found).sum(axis=1).tolist()
    [2, 2, 2, 2, 1]
    """
    colour = colour.copy()
    size = np.bincount(colour, minlength=len(colour))
    readers = [_readers(rows, table) for table in range(rows.tables)]
    few = (rows.size + len(rows.key_start)) // 16
    sums, touched = _sums(rows, words[colour]), np.arange(rows.size)
    while True:
        touched = touched[size[colour[touched]] > 1]
        moved, before = _split(colour, size, sums, touched)
        if not len(moved):
            return colour
        if sum(int(table.degree[moved].sum()) for table in readers) > few or any(
            table.heavy[moved].any() for table in readers
        ):
            sums, touched = _sums(rows, words[colour]), np.arange(rows.size)
        else:
            touched = _spread(readers, moved, words[colour[moved]] - words[before], sums)


def _sums(rows: Mask, value: Words) -> Words:
    """Sums of all rows side by side, ``(n, 2 P)``."""
    return np.concatenate([row_sums(rows, table, value) for table in range(rows.tables)], axis=1)


def _split(colour: Integers, size: Integers, sums: Words, touched: Integers) -> tuple[Integers, Integers]:
    """Split the classes of the touched positions by their sums, in place; the positions moved and their colours before.

    All members of a class had equal sums before some were touched. What stays untouched, or else the largest part, keeps the colour.
    """
    order = touched[np.lexsort((*sums[touched].T, colour[touched]))]
    own, read = colour[order], sums[order]
    opens = np.ones(len(order), bool)
    opens[1:] = (own[1:] != own[:-1]) | (read[1:] != read[:-1]).any(axis=1)
    part = np.flatnonzero(opens)
    count = np.diff(np.append(part, len(order)))
    classes, home = np.unique(own[part], return_inverse=True)
    whole = np.bincount(home, count, minlength=len(classes)) == size[classes]
    largest = np.lexsort((-count, home))[np.searchsorted(home, np.arange(len(classes)))]
    moves = np.ones(len(part), bool)
    moves[largest[whole]] = False
    used = int(np.count_nonzero(size))
    fresh = np.cumsum(moves) + used - 1
    size[fresh[moves]] = count[moves]
    np.subtract.at(size, own[part][moves], count[moves])
    chosen = np.repeat(moves, count)
    colour[order[chosen]] = np.repeat(fresh, count)[chosen]
    return order[chosen], own[chosen]


class _Readers(NamedTuple):
    """Who reads a key in one table: ``degree`` rows, listed unless the key is ``heavy``."""

    degree: Integers
    heavy: np.ndarray[tuple[int], np.dtype[np.bool_]]
    offset: Integers
    query: Integers


def _readers(rows: Mask, table: int) -> _Readers:
    """List the readers of the keys with the fewest, as long as the list stays within a few times the size of the mask."""
    bounds = rows.row_offset[table]
    start, end = (ends[int(bounds[0]) : int(bounds[-1])] for ends in (rows.key_start, rows.key_end))
    degree = (np.bincount(start, minlength=rows.size + 1) - np.bincount(end, minlength=rows.size + 1)).cumsum()[
        : rows.size
    ]
    order = np.argsort(degree, kind="stable")
    heavy = np.zeros(rows.size, bool)
    heavy[order[degree[order].cumsum() > 16 * (rows.size + len(start))]] = True
    light = np.flatnonzero(~heavy)
    first, last = np.searchsorted(light, start), np.searchsorted(light, end)
    query = np.repeat(np.repeat(np.arange(rows.size), np.diff(bounds)), last - first)
    at = np.arange(len(query)) + np.repeat(first - ((last - first).cumsum() - (last - first)), last - first)
    offset = np.append(0, np.where(heavy, 0, degree).cumsum())
    return _Readers(degree, heavy, offset, query[np.argsort(light[at], kind="stable")])


def _spread(readers: list[_Readers], moved: Integers, change: Words, sums: Words) -> Integers:
    """Add the change of each moved position to the sums of its readers, in place; the readers."""
    touched = []
    for table, (degree, _, offset, query) in enumerate(readers):
        count = degree[moved]
        at = np.arange(int(count.sum())) + np.repeat(offset[moved] - (count.cumsum() - count), count)
        np.add.at(sums[:, 2 * table : 2 * table + 2], query[at], np.repeat(change, count, axis=0))
        touched.append(query[at])
    return np.unique(np.concatenate(touched))
