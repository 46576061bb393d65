"""Which rows of a mask lack something due after L layers: exact, and near-linear where flows are few intervals.

Nothing beyond what is due can flow here (`masksynth.verify.check_sparse_flow`), so rows are compared by what they reach, or by how much:

* L layers, first look: the flow after l layers is the union, over the keys of a row, of their flow after l - 1 layers. Where it is not yet
  what is due, only its longest intervals are kept. What is forgotten can only make a row look worse than it is.
* L layers, second look: rows that do not look complete are followed exactly, as bits, from query to keys, last layer first.
* Any number of layers: one union is enough. If every component of the mask has, beside its own members, what is *due* to its other keys,
  then by induction from the lowest component upwards it has all that is due to itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.verify.bit_sets import bits_of, blocks, counted, united_bits
from masksynth.verify.colour_refinement import Integers
from masksynth.verify.interval_sets import (
    Lists,
    Runs,
    chosen,
    different,
    gathered,
    joined,
    prefix,
    shortened,
    singles,
    sizes,
    united,
)
from masksynth.verify.path_numbering import components

FEW = 4096
"""Positions up to which every row is followed exactly."""
KEPT = 16
"""Intervals of an unfinished row that are kept, beside as many as are due to it."""
WORDS_OF_AN_INTERVAL = 64
"""Words of bits that are united in the time of one interval."""

Table = NDArray[np.bool_]


class Due(NamedTuple):
    """What has to flow into every position.

    Parameters
    ----------
    own : (n,) int64
        The number of what each position holds before the first layer.
    sets : Runs
        The numbers due to each of the n positions.
    width : int
        All numbers lie below it.
    """

    own: Integers
    sets: Runs
    width: int


def differ(rows: Lists, start: Runs, target: Runs, width: int) -> Table:
    """Which unions of the sets listed in the rows are not the target: as intervals or as bits, whatever takes less work."""
    if int(gathered(rows, start)[-1]) * WORDS_OF_AN_INTERVAL <= len(rows.item) * -(-width // 64):
        return different(united(rows, start, width), target)
    odd = np.zeros(len(target.offset) - 1, bool)
    for first, words in blocks(width, max(len(start.offset), len(target.offset))):
        odd |= (united_bits(rows, bits_of(start, first, words)) != bits_of(target, first, words)).any(axis=1)
    return odd


def lacking_after(tables: Sequence[Lists], due: Due, layers: int) -> Integers:
    """Rows that do not see all that is due after L layers, the tables in turn; the first block of them, none if there is none."""
    size = len(due.own)
    return _lacking(tables, due, layers, np.arange(size) if size <= FEW else _unfinished(tables, due, layers))


def _unfinished(tables: Sequence[Lists], due: Due, layers: int) -> Integers:
    """Rows that are not seen to be complete after so many layers, when little is remembered of what is unfinished."""
    size, own = len(due.own), singles(due.own)
    most = KEPT + np.diff(due.sets.offset)
    with_own = [
        Lists(rows.offset + np.arange(size + 1), np.insert(rows.item, rows.offset[1:], np.arange(size, 2 * size)))
        for rows in tables
    ]
    now = own
    for layer in range(layers):
        before, now = now, united(with_own[layer % len(tables)], joined(now, own), due.width)
        odd = different(now, due.sets)
        now = shortened(now, np.where(odd, most, due.width))
        if not odd.any() or (len(tables) == 1 and not different(before, now).any()):
            break
    return np.flatnonzero(odd)


def _lacking(tables: Sequence[Lists], due: Due, layers: int, looks: Integers) -> Integers:
    """Rows among ``looks`` that do not see all that is due, followed as bits: bit i of a position says that row i reads it.

    A few rows are followed first: of a wrong answer most look incomplete, and one that is settles it.
    """
    readers = [_readers(rows) for rows in reversed(tables)]
    holders = _readers(Lists(np.arange(len(due.own) + 1), due.own.astype(np.int32)))
    wanted = sizes(due.sets)
    for first, words in ((0, 1), *blocks(len(looks), len(due.own))):
        block = looks[first : first + 64 * words]
        at = np.arange(len(block))
        now = np.zeros((len(due.own), words), np.uint64)
        now[block, at // 64] = np.uint64(1) << (at % 64).astype(np.uint64)
        for layer in range(layers):
            before, now = now, united_bits(readers[layer % len(tables)], now)
            if len(tables) == 1 and np.array_equal(before, now):
                break
        short = counted(united_bits(holders, now))[: len(block)] < wanted[block]
        if short.any():
            return block[short]
    return looks[:0]


def _readers(rows: Lists) -> Lists:
    """For every key that some row lists, in order: the rows that list it."""
    query = np.repeat(np.arange(len(rows.offset) - 1, dtype=np.int32), np.diff(rows.offset))
    order = np.argsort(rows.item, kind="stable")
    count = np.bincount(rows.item)
    return Lists(prefix(count[count > 0]), query[order])


def lacking_at_any_depth(rows: Lists, due: Due) -> Integers:
    """Positions whose component lacks something due, all that is due to its other keys granted."""
    size = len(due.own)
    query = np.repeat(np.arange(size), np.diff(rows.offset))
    group, first = _components(rows, query, sizes(due.sets))
    leaving = np.flatnonzero(group[query] != group[rows.item])
    home = np.concatenate([group[query[leaving]], group])
    order = np.argsort(home, kind="stable")
    item = np.concatenate([rows.item[leaving], np.arange(size, 2 * size)])[order].astype(np.int32)
    lists = Lists(np.append(0, np.bincount(home).cumsum()), item)
    granted = joined(due.sets, singles(due.own))
    return first[differ(lists, granted, chosen(due.sets, first), due.width)]


def _components(rows: Lists, query: Integers, size: Integers) -> tuple[Integers, Integers]:
    """The strongly connected component of every position, numbered, and a member of each.

    Keys that are due as much as their query are all that a cycle can pass, as what is due never grows downwards.
    """
    label = np.arange(len(size))
    peer = np.flatnonzero((size[query] == size[rows.item]) & (query != rows.item))
    if len(peer):
        inside = np.unique(np.append(query[peer], rows.item[peer]))
        at, key = np.searchsorted(inside, query[peer]), np.searchsorted(inside, rows.item[peer]).tolist()
        cut = np.append(0, np.bincount(at, minlength=len(inside)).cumsum()).tolist()
        keys = [key[a:b] for a, b in pairwise(cut)]
        for group in components(keys, range(len(inside))):
            label[inside[group]] = inside[group[0]]
    first, number = np.unique(label, return_inverse=True)
    return number, first
