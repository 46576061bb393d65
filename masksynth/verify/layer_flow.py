"""Rows of a mask that lack part of a required flow after L layers: exact, near-linear for flows of few intervals.

Nothing beyond the requirement can flow here (`masksynth.verify.check_sparse_flow`), so rows are compared by what they
reach, or by how much:

* L layers, first pass: the flow after l layers is the union, over the keys of a row, of their flow after l - 1 layers.
  Where it is not complete yet, only its longest intervals are kept, so a complete row may look incomplete, never the
  reverse.
* L layers, second pass: rows that look incomplete are followed exactly, as bits, from query to keys, last layer first.
* Any number of layers: one union is enough. If every component of the mask has, besides its own members, all that its
  other keys *require*, then by induction from the lowest component upwards it has all that it requires itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.verify.bit_sets import count_sets_with, pack_sets, split_numbers, unite_bits
from masksynth.verify.interval_sets import (
    Lists,
    Sets,
    concatenate_sets,
    count_elements,
    count_listed,
    find_different,
    keep_longest,
    select_sets,
    singletons,
    unite_listed,
)
from masksynth.verify.path_numbering import components
from masksynth.verify.ragged import distinct, prefix_sums, row_of_entry

EXACT = 4096
"""Positions up to which every row is followed exactly."""
KEPT = 16
"""Intervals of an incomplete row that are kept, in addition to as many as the row requires."""
WORDS_PER_INTERVAL = 64
"""Words of bits that are united in the time of one interval."""


class Required(NamedTuple):
    """The numbers that have to flow into each position.

    Parameters
    ----------
    own : (n,) int64
        The number that each position holds before the first layer.
    sets : Sets
        The numbers that each of the n positions must hold in the end.
    width : int
        All numbers are below it.
    """

    own: Int64Array
    sets: Sets
    width: int


def differs_from(rows: Lists, start: Sets, target: Sets, width: int) -> BoolArray:
    """Return for each row whether the union of the sets that it lists is not its target set.

    Intervals or bits are used, whichever takes less work.
    """
    if int(count_listed(rows, start)[-1]) * WORDS_PER_INTERVAL <= len(rows.item) * -(-width // 64):
        return find_different(unite_listed(rows, start, width), target)
    differs = np.zeros(len(target.offset) - 1, bool)
    for first, words in split_numbers(width, max(len(start.offset), len(target.offset))):
        union = unite_bits(rows, pack_sets(start, first, words))
        differs |= (union != pack_sets(target, first, words)).any(axis=1)
    return differs


def incomplete_after(tables: Sequence[Lists], required: Required, layers: int) -> Int64Array:
    """Return the first block of rows that do not reach their required set after L layers; empty if all do.

    Parameters
    ----------
    tables : sequence of Lists
        The keys of each row; layer l (from 0) uses table l mod P.
    required : Required
    layers : int
    """
    size = len(required.own)
    suspects = np.arange(size) if size <= EXACT else _find_suspects(tables, required, layers)
    return _incomplete_among(suspects, tables, required, layers)


def _find_suspects(tables: Sequence[Lists], required: Required, layers: int) -> Int64Array:
    """Return the rows that look incomplete after L layers if only few intervals of incomplete rows are kept."""
    size, own = len(required.own), singletons(required.own)
    limit = KEPT + np.diff(required.sets.offset)
    # Set size + q of the concatenated families is what position q holds itself.
    with_own = [
        Lists(rows.offset + np.arange(size + 1), np.insert(rows.item, rows.offset[1:], np.arange(size, 2 * size)))
        for rows in tables
    ]
    flow = own
    for layer in range(layers):
        previous = flow
        flow = unite_listed(with_own[layer % len(tables)], concatenate_sets(flow, own), required.width)
        differs = find_different(flow, required.sets)
        flow = keep_longest(flow, np.where(differs, limit, required.width))
        if not differs.any() or (len(tables) == 1 and not find_different(previous, flow).any()):
            break
    return np.flatnonzero(differs)


def _incomplete_among(suspects: Int64Array, tables: Sequence[Lists], required: Required, layers: int) -> Int64Array:
    """Return the first block of rows among ``suspects`` that are incomplete; empty if none is.

    Rows are followed as bits: bit i of a position is set iff suspect i reaches it. A first block of 64 rows is followed
    alone: in a wrong answer most rows are incomplete, and one is enough.
    """
    readers = [_transpose(rows) for rows in reversed(tables)]
    holders = _transpose(Lists(np.arange(len(required.own) + 1), required.own.astype(np.int32)))
    expected = count_elements(required.sets)
    for first, words in ((0, 1), *split_numbers(len(suspects), len(required.own))):
        block = suspects[first : first + 64 * words]
        bit = np.arange(len(block))
        reached = np.zeros((len(required.own), words), np.uint64)
        reached[block, bit // 64] = np.uint64(1) << (bit % 64).astype(np.uint64)
        for layer in range(layers):
            previous, reached = reached, unite_bits(readers[layer % len(tables)], reached)
            if len(tables) == 1 and np.array_equal(previous, reached):
                break
        # Nothing beyond the requirement can be reached, so fewer numbers mean that one is missing.
        is_short = count_sets_with(unite_bits(holders, reached))[: len(block)] < expected[block]
        if is_short.any():
            return block[is_short]
    return suspects[:0]


def _transpose(rows: Lists) -> Lists:
    """Return for each key that a row lists, in order, the rows that list it."""
    query = np.repeat(np.arange(len(rows.offset) - 1, dtype=np.int32), np.diff(rows.offset))
    order = np.argsort(rows.item, kind="stable")
    count = np.bincount(rows.item)
    return Lists(prefix_sums(count[count > 0]), query[order])


def incomplete_at_any_depth(rows: Lists, required: Required) -> Int64Array:
    """Return a member of each component that lacks a required number even if its other keys have all of theirs."""
    size = len(required.own)
    query = row_of_entry(rows.offset)
    group, first = _components(rows, query, count_elements(required.sets))
    leaving = np.flatnonzero(group[query] != group[rows.item])  # edges between components
    # A component lists the sets of its other keys, and as sets size + q what its members hold themselves.
    owner = np.concatenate([group[query[leaving]], group])
    order = np.argsort(owner, kind="stable")
    item = np.concatenate([rows.item[leaving], np.arange(size, 2 * size)])[order].astype(np.int32)
    lists = Lists(prefix_sums(np.bincount(owner)), item)
    granted = concatenate_sets(required.sets, singletons(required.own))
    return first[differs_from(lists, granted, select_sets(required.sets, first), required.width)]


def _components(rows: Lists, query: Int64Array, size: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the number of the strongly connected component of each position, and a member of each component.

    A cycle passes only through edges whose key requires as many numbers (``size``) as the query, since requirements
    never grow downwards.
    """
    label = np.arange(len(size))
    peer = np.flatnonzero((size[query] == size[rows.item]) & (query != rows.item))
    if len(peer):
        inside = distinct(np.append(query[peer], rows.item[peer]))
        row, key = np.searchsorted(inside, query[peer]), np.searchsorted(inside, rows.item[peer]).tolist()
        cut = prefix_sums(np.bincount(row, minlength=len(inside))).tolist()
        keys = [key[a:b] for a, b in pairwise(cut)]
        for group in components(keys, range(len(inside))):
            label[inside[group]] = inside[group[0]]
    first, number = np.unique(label, return_inverse=True)
    return number, first
