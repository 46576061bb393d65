"""Rows of one layer as lists of pairs, and what follows from them alone: contexts, and who depends on whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.tasks.merged import MergedTask
from masksynth.verify.bit_sets import unite_bits
from masksynth.verify.discovery.broken_contract import BrokenContract
from masksynth.verify.interval_sets import Lists
from masksynth.verify.ragged import mask_rows, prefix_sums, repeat_ranges


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one mask: position q attends to ``key[offset[q] : offset[q + 1]]``, itself among them."""

    offset: Int64Array
    key: Int64Array

    @cached_property
    def query(self) -> Int64Array:
        """The position whose row each entry is of."""
        return np.repeat(np.arange(len(self.offset) - 1), np.diff(self.offset))

    @cached_property
    def is_read(self) -> BoolArray:
        """Whether each entry is off the diagonal."""
        is_read: BoolArray = self.query != self.key
        return is_read

    def others(self, position: int) -> Int64Array:
        """Return the other positions that a position attends to."""
        row = slice(self.offset[position], self.offset[position + 1])
        return self.key[row][self.is_read[row]]

    def keys_of(self, chosen: BoolArray) -> BoolArray:
        """Return which positions the chosen ones attend to."""
        reached = np.zeros(len(chosen), bool)
        reached[self.key[chosen[self.query]]] = True
        return reached

    def unite(self, state: UInt64Array) -> UInt64Array:
        """Return the contexts after a layer from those before it."""
        return unite_bits(Lists(self.offset, self.key.astype(np.int32)), state)

    def take_in(self, state: UInt64Array, is_new: BoolArray) -> UInt64Array:
        """Return the contexts after a layer, if every position has taken in all keys that it reads but the new ones."""
        chosen = np.flatnonzero(self.is_read & is_new[self.key])
        query, following = self.query[chosen], state.copy()
        first = np.flatnonzero(np.diff(query, prepend=-1))
        rows = Lists(np.append(first, len(chosen)), self.key[chosen].astype(np.int32))
        following[query[first]] |= unite_bits(rows, state)
        return following


def read_tables(merged: MergedTask) -> list[Rows]:
    """Return the rows of each table; raise BrokenContract for a row without its own position."""
    return [_read_table(merged, table) for table in range(merged.mask.tables)]


def _read_table(merged: MergedTask, table: int) -> Rows:
    size = merged.mask.size
    query, start, end = mask_rows(merged.mask, table)
    length = np.bincount(query, weights=end - start, minlength=size).astype(np.int64)
    holds = np.zeros(size, bool)
    holds[query[(start <= query) & (query < end)]] = True
    if not holds.all():
        fact = f"position {int((~holds).argmax())} does not attend to itself"
        raise BrokenContract("rows", fact, layer=table + 1)
    return Rows(prefix_sums(length), repeat_ranges(start, end - start))


def embed(element: Int64Array, words: int) -> UInt64Array:
    """Return C_0 as rows of bits: the element of each position, if there is one."""
    state = np.zeros((len(element), words), np.uint64)
    position = np.flatnonzero(element >= 0)
    state[position, element[position] // 64] = np.uint64(1) << (element[position] % 64).astype(np.uint64)
    return state


def follow(tables: list[Rows], state: UInt64Array, is_one: bool) -> Iterator[tuple[Rows, UInt64Array, UInt64Array]]:
    """Yield (rows, C_{l-1}, C_l) for l = 1, 2, ..: the tables in turn, or one of them until nothing changes.

    The last layer of one mask, in which nothing changes, is yielded too: all further ones are like it.
    """
    if not is_one:
        for rows in tables:
            yield rows, state, (following := rows.unite(state))
            state = following
        return
    is_new = np.ones(len(state), bool)
    while is_new.any():
        following = tables[0].take_in(state, is_new)
        yield tables[0], state, following
        is_new = (following != state).any(axis=1)
        state = following


def depends(tables: list[Rows], target: Int64Array, is_one: bool) -> list[BoolArray]:
    """Return for l = 0, .., L the positions whose state after layer l some target depends on.

    One mask has the same positions before and after each layer: those from which a way leads to a target.
    """
    after = np.zeros(len(tables[0].offset) - 1, bool)
    after[target] = True
    if is_one:
        while True:
            before = after | tables[0].keys_of(after)
            if np.array_equal(before, after):
                return [after, after]
            after = before
    live = [after]
    for rows in reversed(tables):
        live.append(live[-1] | rows.keys_of(live[-1]))
    return live[::-1]


def find_updated(tables: list[Rows], live: list[BoolArray]) -> BoolArray:
    """Return (tables, N): whether a target depends on a state after the layer that has read another position by then.

    What is only read raw needs no update, nor does a blank before its first read.
    """
    has_read = np.zeros(len(live[0]), bool)
    updated = np.zeros((len(tables), len(live[0])), bool)
    for layer, rows in enumerate(tables):
        has_read[rows.query[rows.is_read]] = True
        updated[layer] = has_read & live[layer + 1]
    return updated
