"""Structures: positions that embed an element or nothing, reads layer by layer, and where each target is predicted.

Contexts follow ``docs/discovery.md``: C_0(q) is what q embeds, and C_l(q) is C_{l-1}(q) with C_{l-1}(k) for every k
that q reads in layer l. The diagonal is not stored: every position keeps what it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from masksynth.contracts import Contracts
from masksynth.contracts.model import Masks
from masksynth.mask.equal_values import distinct, run_starts
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array


@dataclass(frozen=True, eq=False)
class Reads:
    """Pairs of one mask off its diagonal: position ``query[i]`` reads position ``key[i]``; sorted, without repeats."""

    query: Int64Array
    key: Int64Array

    @classmethod
    def of_pairs(cls, query: Int64Array, key: Int64Array, size: int) -> Reads:
        """Return the reads of pairs in any order, repeats and the diagonal left out."""
        query, key = np.asarray(query, np.int64), np.asarray(key, np.int64)
        codes = distinct((query * size + key)[query != key])
        return cls(*np.divmod(codes, max(size, 1)))

    def select(self, chosen: BoolArray) -> Reads:
        """Return some of the reads."""
        return Reads(self.query[chosen], self.key[chosen])


@dataclass(frozen=True, eq=False)
class Structure:
    """A candidate for contracts.

    Parameters
    ----------
    element : (N,) int64
        Index of the element that each position embeds; -1: it is a blank.
    reads : tuple of Reads
        One for each of the L layers, or a single one that every layer uses (``masks: one``).
    target : (T,) int64
        Position at which each target is predicted.
    found_by : str
        The construction or search that built it.

    Examples
    --------
    Two tokens, each predicted by a blank from the other one:

    >>> reads = Reads.of_pairs(np.array([2, 3]), np.array([1, 0]), 4)
    >>> Structure(np.array([0, 1, -1, -1]), (reads,), np.array([2, 3])).size
    4
    """

    element: Int64Array
    reads: tuple[Reads, ...]
    target: Int64Array
    found_by: str = ""

    @property
    def size(self) -> int:
        """N, the number of positions."""
        return len(self.element)


def contexts(structure: Structure, contracts: Contracts) -> list[UInt64Array]:
    """Return C_0, .., C_L as (N, ceil(n / 64)) words; for one mask at any depth, up to the first that repeats.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> reads = Reads.of_pairs(np.array([2, 3]), np.array([1, 0]), 4)
    >>> [states[:, 0].tolist() for states in contexts(Structure(np.array([0, 1, -1, -1]), (reads,), np.array([2, 3])),
    ...                                               leave_one_out(n=2, layers=1))]
    [[1, 2, 0, 0], [1, 2, 2, 1]]
    """
    return list(iterate_contexts(structure, contracts))


def iterate_contexts(structure: Structure, contracts: Contracts) -> Iterator[UInt64Array]:
    """Yield C_0, .., C_L one after another, as `contexts` lists them."""
    state = embedded(structure, contracts)
    yield state
    if contracts.masks == "layered":
        for reads in structure.reads:
            yield (state := union_of_reads(state, reads))
        return
    reads = structure.reads[0]
    for _ in range(structure.size):
        following = union_of_reads(state, reads)
        is_changed = (following != state).any(axis=1)
        if not is_changed.any():
            return
        # What did not change has been taken in by all that read it.
        reads = structure.reads[0].select(is_changed[structure.reads[0].key])
        yield (state := following)


def embedded(structure: Structure, contracts: Contracts) -> UInt64Array:
    """Return C_0: the element that each position embeds, as words."""
    words = np.zeros((structure.size, contracts.need.shape[1]), np.uint64)
    tokens = np.flatnonzero(structure.element >= 0)
    element = structure.element[tokens]
    words[tokens, element // 64] = np.uint64(1) << (element % 64).astype(np.uint64)
    return words


def union_of_reads(states: UInt64Array, reads: Reads) -> UInt64Array:
    """Return the contexts after one layer: of each position its own with those that it reads."""
    following = states.copy()
    if len(reads.query):
        first = np.flatnonzero(run_starts(reads.query))
        following[reads.query[first]] |= np.bitwise_or.reduceat(states[reads.key], first, axis=0)
    return following


def live_after(structure: Structure, masks: Masks) -> BoolArray:
    """Return (L + 1, N): whether some target depends on the state of a position after layer l = 0, .., L.

    A structure with one mask is live alike in each layer: the rows are those of every layer.
    """
    layers = len(structure.reads)
    live = np.zeros((layers + 1, structure.size), bool)
    live[layers, structure.target] = True
    if masks == "one":
        return _live_at_any_depth(structure.reads[0], live)
    for layer in range(layers, 0, -1):
        live[layer - 1] = live[layer]
        reads = structure.reads[layer - 1]
        live[layer - 1, reads.key[live[layer, reads.query]]] = True
    return live


def _live_at_any_depth(reads: Reads, live: BoolArray) -> BoolArray:
    """Return the positions from which a way leads to a target, in both rows."""
    reached = live[-1]
    while True:
        before = int(reached.sum())
        reached[reads.key[reached[reads.query]]] = True
        if int(reached.sum()) == before:
            live[:] = reached
            return live


def prune(structure: Structure, masks: Masks) -> Structure:
    """Return the structure without reads and positions that no target depends on."""
    live = live_after(structure, masks)
    kept = live[0]
    number = np.cumsum(kept) - 1
    reads = []
    for layer, table in enumerate(structure.reads, start=1):
        chosen = table.select(live[layer, table.query])
        reads.append(Reads(number[chosen.query], number[chosen.key]))
    return replace(structure, element=structure.element[kept], reads=tuple(reads), target=number[structure.target])


def updated_positions(structure: Structure, masks: Masks) -> BoolArray:
    """Return (L, N), or (1, N) for one mask: whether a position is updated in a layer.

    It is iff some target depends on its state after the layer and it has read another position by then: what is only
    read raw needs no update, nor does a blank before its first read.
    """
    live = live_after(structure, masks)
    mixed = np.zeros(structure.size, bool)
    updated = np.zeros((len(structure.reads), structure.size), bool)
    for layer, reads in enumerate(structure.reads):
        mixed[reads.query[live[layer + 1, reads.query]]] = True
        updated[layer] = mixed & live[layer + 1]
    return updated
