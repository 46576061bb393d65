"""Sizes and cost of a structure, as ``masksynth discover --json`` prints them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.structure import Reads, Structure, iterate_contexts, live_after, updated_positions
from masksynth.mask.equal_values import distinct
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array


@dataclass(frozen=True)
class Sizes:
    """Sizes of a pruned structure.

    Parameters
    ----------
    positions : int
    updated, updates, read_only : int
        Positions that are updated in some layer, updates summed over layers, positions that are never updated.
    edges : int
        Reads off the diagonal, summed over the layers of the schedule; of one mask counted once.
    mixed_edges : int
        Reads of a position whose context holds at least two elements, one of them new to the reader.
    layers : int or None
    cost : float
    """

    positions: int
    updated: int
    updates: int
    read_only: int
    edges: int
    mixed_edges: int
    layers: int | None
    cost: float


def measure(structure: Structure, contracts: Contracts) -> Sizes:
    """Return the sizes of a pruned structure and its cost by the weights of its contracts.

    With ``count: structure`` the cost is position x N + pair x edges. With ``count: layer`` it is the sum over layers
    of position x updated + kv x (read without being updated) + pair x reads; one mask is counted in each of L layers.
    """
    updated = updated_positions(structure, contracts.masks)
    edges = sum(len(reads.query) for reads in structure.reads)
    weights = contracts.weights
    if weights.count == "structure":
        cost = weights.position * structure.size + weights.pair * edges
    else:
        cost = sum(
            weights.position * int(row.sum())
            + weights.kv * len(_read_only(reads.key, row))
            + weights.pair * len(reads.key)
            for reads, row in zip(structure.reads, updated, strict=True)
        )
        if contracts.masks == "one":
            cost *= contracts.layers or 1
    return Sizes(
        structure.size,
        int(updated.any(axis=0).sum()),
        int(updated.sum()),
        int((~updated.any(axis=0)).sum()),
        edges,
        count_mixed(structure, contracts),
        contracts.layers,
        cost,
    )


def _read_only(keys: Int64Array, updated: BoolArray) -> Int64Array:
    """Return the positions that are read in a layer without being updated in it."""
    read = distinct(keys)
    return read[~updated[read]]


def count_mixed(structure: Structure, contracts: Contracts) -> int:
    """Return the reads, by positions that are live in that layer, of a mixed context that brings something new.

    A pair of one mask is counted once, if it is such a read in some layer.
    """
    live = live_after(structure, contracts.masks)
    states = iterate_contexts(structure, contracts)
    if contracts.masks == "layered":
        return sum(
            int(_is_mixed(before, reads.select(live[layer + 1, reads.query])).sum())
            for layer, (before, reads) in enumerate(zip(states, structure.reads, strict=False))
        )
    waiting = structure.reads[0].select(live[1, structure.reads[0].query])  # reads not mixed so far
    count = len(waiting.query)
    for before in states:
        waiting = waiting.select(~_is_mixed(before, waiting))
    return count - len(waiting.query)


def _is_mixed(before: UInt64Array, reads: Reads) -> BoolArray:
    """Return whether each read is of a context of at least two elements, one of them new to the reader."""
    is_mixed: BoolArray = np.bitwise_count(before).sum(axis=1)[reads.key] >= 2
    chosen = np.flatnonzero(is_mixed)
    is_mixed[chosen] = (before[reads.key[chosen]] & ~before[reads.query[chosen]]).any(axis=1)
    return is_mixed
