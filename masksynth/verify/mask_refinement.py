"""The coarsest stable colouring of a mask, by partition refinement: the checker's own.

A round sums every row again from prefix sums or, if few positions have changed colour, updates only the rows that
contain them. When a class splits, the part that was not touched, or else the largest, keeps the colour (Hopcroft 1971).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.verify.colour_refinement import row_sums
from masksynth.verify.ragged import distinct, mask_rows, prefix_sums, repeat_ranges


def stable(colour: Int64Array, rows: Mask, words: UInt64Array) -> Int64Array:
    """Return the coarsest stable colouring that refines ``colour``: exactly equivalent positions share a colour.

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
    >>> classes = stable(np.array([0, 0, 1, 1, 1]), rows, draw(5))
    >>> (classes[:, None] == classes).sum(axis=1).tolist()
    [2, 2, 2, 2, 1]
    """
    colour = colour.copy()
    size = np.bincount(colour, minlength=len(colour))
    degrees = [_degree(rows, table) for table in range(rows.tables)]
    readers: list[_Readers] = []  # listed when they are first used
    update_limit = (rows.size + len(rows.key_start)) // 16
    sums, touched = _sum_tables(rows, words[colour]), np.arange(rows.size)
    while True:
        touched = touched[size[colour[touched]] > 1]
        moved, before = _split(colour, size, sums, touched)
        if not len(moved):
            return colour
        updates = sum(int(degree[moved].sum()) for degree in degrees)
        if updates <= update_limit and not readers:
            readers = [_readers(rows, table, degree) for table, degree in enumerate(degrees)]
        if updates > update_limit or any(table.heavy[moved].any() for table in readers):
            sums, touched = _sum_tables(rows, words[colour]), np.arange(rows.size)
        else:
            touched = _update_readers(readers, moved, words[colour[moved]] - words[before], sums)


def _sum_tables(rows: Mask, value: UInt64Array) -> UInt64Array:
    """Return the row sums of all tables as columns, ``(n, 2 P)``."""
    return np.concatenate([row_sums(rows, table, value) for table in range(rows.tables)], axis=1)


def _split(
    colour: Int64Array, size: Int64Array, sums: UInt64Array, touched: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Split the classes of the touched positions by their sums, in place; return the moved positions and old colours.

    All members of a class had equal sums before some were touched.

    Parameters
    ----------
    colour : (n,) int64
        Changed in place.
    size : (n,) int64
        Positions of each colour; changed in place.
    sums : (n, 2 P) uint64
    touched : (m,) int64
        Positions whose sums may have changed.
    """
    order = touched[np.lexsort((*sums[touched].T, colour[touched]))]
    old, row_sum = colour[order], sums[order]
    opens = np.ones(len(order), bool)  # begins a part: equal colour and equal sums
    opens[1:] = (old[1:] != old[:-1]) | (row_sum[1:] != row_sum[:-1]).any(axis=1)
    part = np.flatnonzero(opens)
    count = np.diff(np.append(part, len(order)))
    classes, class_of_part = np.unique(old[part], return_inverse=True)
    # Where all members were touched, the largest part keeps the colour; elsewhere the untouched members do.
    all_touched = np.bincount(class_of_part, count, minlength=len(classes)) == size[classes]
    largest = np.lexsort((-count, class_of_part))[np.searchsorted(class_of_part, np.arange(len(classes)))]
    moves = np.ones(len(part), bool)
    moves[largest[all_touched]] = False
    new = np.cumsum(moves) + int(np.count_nonzero(size)) - 1  # colours in use are 0, 1, ... without a gap
    size[new[moves]] = count[moves]
    np.subtract.at(size, old[part][moves], count[moves])
    is_moved = np.repeat(moves, count)
    colour[order[is_moved]] = np.repeat(new, count)[is_moved]
    return order[is_moved], old[is_moved]


class _Readers(NamedTuple):
    """The rows that contain each key in one table.

    Parameters
    ----------
    degree : (n,) int64
        Number of rows that contain each key.
    heavy : (n,) bool
        Keys whose rows are not listed.
    offset : (n + 1,) int64
        Key k is contained in the rows ``query[offset[k] : offset[k + 1]]``, unless heavy.
    query : (entries,) int64
    """

    degree: Int64Array
    heavy: BoolArray
    offset: Int64Array
    query: Int64Array


def _degree(rows: Mask, table: int) -> Int64Array:
    """Return the number of rows that contain each key."""
    _, start, end = mask_rows(rows, table)
    opened, closed = (np.bincount(bound, minlength=rows.size + 1) for bound in (start, end))
    degree: Int64Array = (opened - closed).cumsum()[: rows.size]
    return degree


def _readers(rows: Mask, table: int, degree: Int64Array) -> _Readers:
    """List the rows of the keys of smallest degree, as long as the list is at most 16 times the size of the mask."""
    row, start, end = mask_rows(rows, table)
    order = np.argsort(degree, kind="stable")
    heavy = np.zeros(rows.size, bool)
    heavy[order[degree[order].cumsum() > 16 * (rows.size + len(start))]] = True
    light = np.flatnonzero(~heavy)
    first, last = np.searchsorted(light, start), np.searchsorted(light, end)  # each interval as a range of light keys
    query = np.repeat(row, last - first)
    key = light[repeat_ranges(first, last - first)]
    return _Readers(degree, heavy, prefix_sums(np.where(heavy, 0, degree)), query[np.argsort(key, kind="stable")])


def _update_readers(readers: list[_Readers], moved: Int64Array, change: UInt64Array, sums: UInt64Array) -> Int64Array:
    """Add the change of each moved position to the sums of the rows that contain it, in place; return those rows."""
    touched = []
    for table, (degree, _, offset, query) in enumerate(readers):
        count = degree[moved]
        rows = query[repeat_ranges(offset[moved], count)]
        np.add.at(sums[:, 2 * table : 2 * table + 2], rows, np.repeat(change, count, axis=0))
        touched.append(rows)
    return distinct(np.concatenate(touched))
