"""The mask of a merged task: each position has the row of its class, as intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise

import numpy as np

from masksynth.mask import Intervals, Mask
from masksynth.mask.csr import table_indptr
from masksynth.mask.typing import Int64Array
from masksynth.merge.bottom_up import is_acyclic
from masksynth.merge.disjoint_union import Rows
from masksynth.merge.forest_mask import forest_mask
from masksynth.merge.layout import Layout


def coalesce_ranges(ranges: Iterable[tuple[int, int]]) -> Intervals:
    """Return disjoint ranges in order, those that touch merged.

    Examples
    --------
    >>> coalesce_ranges([(4, 6), (0, 2), (2, 4), (8, 9)])
    ((0, 6), (8, 9))
    """
    result: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if result and result[-1][1] == start:
            result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return tuple(result)


def coalesce_keys(keys: list[int]) -> Intervals:
    """Return distinct keys as intervals in order.

    Examples
    --------
    >>> coalesce_keys([5, 2, 1, 0])
    ((0, 3), (5, 6))
    """
    keys = sorted(keys)
    breaks = [index for index, (key, after) in enumerate(pairwise(keys), 1) if after > key + 1]
    starts, ends = [0, *breaks], [*breaks, len(keys)]
    return tuple([(keys[start], keys[end - 1] + 1) for start, end in zip(starts, ends, strict=True)])


def build_class_mask(classes: Sequence[int], rows: Rows, layout: Layout) -> Mask:
    """Return the mask in which each position has the row of its class."""
    parent = _forest_parents(classes, rows, layout)
    if parent is not None:
        return forest_mask(parent)
    tables = 1 if rows.compressed else len(rows.refs)
    built = [_build_table(table, classes, rows, layout) for table in range(tables)]
    lengths = np.array([[len(row) for row in table] for table in built], np.int64)
    bounds = chain.from_iterable(chain.from_iterable(chain.from_iterable(built)))
    start, end = np.fromiter(bounds, np.int32, 2 * int(lengths.sum())).reshape(-1, 2).T
    return Mask(table_indptr(lengths), start, end)


def _forest_parents(classes: Sequence[int], rows: Rows, layout: Layout) -> Int64Array | None:
    """Return the position below each position, -1 for none; None unless rows are paths down, and lower ones earlier."""
    if not is_acyclic(rows) or len(rows.rows) > len(classes) + 1:  # a node with several lower covers
        return None
    start, class_of, tail = (np.array(numbers, np.int64) for numbers in (layout.start, classes, rows.tail))
    tail = tail[np.array(layout.first, np.int64)]  # a node of the lower cover of each class
    below = np.where(tail < 0, -1, start[class_of[tail]]) if len(tail) else tail
    parent = np.empty(layout.size, np.int64)
    parent[start] = below
    return parent if bool((parent < np.arange(layout.size)).all()) else None


def _build_table(table: int, classes: Sequence[int], rows: Rows, layout: Layout) -> list[Intervals]:
    """Return the rows of one table, each computed once for its row object.

    A row contains the lowest copies of each class; a copy that would not be among them replaces the last one of its
    class.
    """
    result: list[Intervals | None] = [None] * layout.size
    computed: dict[tuple[int, int], tuple[Intervals, Mapping[int, int]]] = {}
    for bottom in layout.first:
        for live in _list_pending(bottom, classes, rows, layout, result):
            number, tail = classes[live], rows.tail[live] if rows.compressed else -1
            row_key = rows.refs[table][live], tail
            if row_key not in computed:
                counts = _count_keys(table, live, tail, classes, rows)
                below = result[layout.start[classes[tail]]] if tail >= 0 else ()
                if below or len(counts) == 1:
                    ranges = [(layout.start[key], layout.start[key] + count) for key, count in counts.items()]
                    row = _append_ranges(below or (), ranges)
                else:
                    lowest = [layout.start[key] + copy for key, count in counts.items() for copy in range(count)]
                    row = coalesce_keys(lowest)
                computed[row_key] = row, counts
            row, counts = computed[row_key]
            first = layout.start[number]
            for copy in range(layout.copies[number]):
                outside = number in counts and copy >= counts[number]
                result[first + copy] = _replace_key(row, first + counts[number] - 1, first + copy) if outside else row
    return [row if row is not None else () for row in result]


def _count_keys(table: int, live: int, tail: int, classes: Sequence[int], rows: Rows) -> Mapping[int, int]:
    """Return the number of keys of each class in a row object, without those of the tail's row."""
    keys = rows.rows[rows.refs[table][live]]
    if rows.compressed and tail < 0:
        keys = keys + rows.rows[rows.refs[1][live]]
    return Counter([classes[key] for key in keys]) if len(keys) > 1 else {classes[key]: 1 for key in keys}


def _replace_key(row: Intervals, old: int, new: int) -> Intervals:
    """Return the row with key ``new`` instead of key ``old``."""
    kept = [
        part for start, end in row for part in ((start, min(end, old)), (max(start, old + 1), end)) if part[0] < part[1]
    ]
    return coalesce_ranges([*kept, (new, new + 1)])


def _append_ranges(below: Intervals, ranges: list[tuple[int, int]]) -> Intervals:
    """Return the union of a row and disjoint ranges; one range above the row, the usual case, needs no sorting."""
    if len(ranges) == 1 and below and below[-1][1] <= ranges[0][0]:
        (start, end), last = ranges[0], below[-1]
        return (*below[:-1], (last[0], end)) if last[1] == start else (*below, (start, end))
    return coalesce_ranges([*below, *ranges])


def _list_pending(
    live: int, classes: Sequence[int], rows: Rows, layout: Layout, result: Sequence[Intervals | None]
) -> list[int]:
    """Return the first node of each class whose row is needed for that of ``live``'s class, lowest first."""
    chain = []
    current = live
    while current >= 0:
        current = layout.first[classes[current]]
        if result[layout.start[classes[current]]] is not None:
            break
        chain.append(current)
        current = rows.tail[current] if rows.compressed else -1
    return chain[::-1]
