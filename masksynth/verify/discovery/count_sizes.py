"""Recount the sizes of a structure and its cost, as the definitions say, from its rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from masksynth.contracts.model import Contracts
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.tasks.merged import MergedTask
from masksynth.verify.discovery.check_places import check_inputs, check_targets
from masksynth.verify.discovery.layer_rows import Rows, depends, embed, find_updated, follow, read_tables

WORDS = 1 << 22
"""Maximal number of words of contexts that are gathered at once."""


def count_sizes(contracts: Contracts, merged: MergedTask) -> dict[str, Any]:
    """Return positions, updated, updates, read_only, edges, mixed_edges, layers and cost of a structure.

    Parameters
    ----------
    contracts : Contracts
    merged : MergedTask
        What `verify_contracts` accepts.

    Returns
    -------
    dict
        ``updates`` counts pairs (layer, position); ``edges`` and ``mixed_edges`` are summed over the layers of the
        schedule, those of one mask counted once; ``cost`` is by the weights of the contracts.
    """
    element = check_inputs(contracts, merged)
    tables, is_one = read_tables(merged), contracts.masks == "one"
    live = depends(tables, check_targets(contracts, merged, element), is_one)
    updated = find_updated(tables, live)
    edges = sum(int(rows.is_read.sum()) for rows in tables)
    return {
        "positions": len(element),
        "updated": int(updated.any(axis=0).sum()),
        "updates": int(updated.sum()),
        "read_only": int((~updated.any(axis=0)).sum()),
        "edges": edges,
        "mixed_edges": _count_mixed(tables, live, embed(element, contracts.need.shape[1]), is_one),
        "layers": contracts.layers,
        "cost": _cost(contracts, tables, updated, edges),
    }


def _cost(contracts: Contracts, tables: list[Rows], updated: BoolArray, edges: int) -> float:
    """Return the cost: of positions and pairs, or of each layer's updates, positions that it only reads, and pairs."""
    weights, size = contracts.weights, updated.shape[1]
    cost: float
    if weights.count == "structure":
        cost = weights.position * size + weights.pair * edges
        return cost
    only_read = 0
    for rows, changed in zip(tables, updated, strict=True):
        is_key = np.zeros(size, bool)
        is_key[rows.key[rows.is_read]] = True
        only_read += int((is_key & ~changed).sum())
    cost = weights.position * int(updated.sum()) + weights.kv * only_read + weights.pair * edges
    return cost * (contracts.layers or 1) if contracts.masks == "one" else cost


def _count_mixed(tables: list[Rows], live: list[BoolArray], state: UInt64Array, is_one: bool) -> int:
    """Return the reads, by live positions, of a context of at least two elements, one of them new to the reader.

    A read of one mask counts once, if it is such a read in some layer.
    """
    total = 0
    waiting: Int64Array | None = None  # for one mask, the entries that have not been such reads so far
    for layer, (rows, before, _) in enumerate(follow(tables, state, is_one), start=1):
        chosen = np.flatnonzero(rows.is_read & live[1 if is_one else layer][rows.query]) if waiting is None else waiting
        is_mixed = _is_mixed(rows, chosen, before)
        total += int(is_mixed.sum())
        waiting = chosen[~is_mixed] if is_one else None
    return total


def _is_mixed(rows: Rows, entries: Int64Array, before: UInt64Array) -> BoolArray:
    """Return whether each entry reads a context of at least two elements, one of them new to the reader."""
    is_mixed = np.zeros(len(entries), bool)
    several = np.bitwise_count(before).sum(axis=1) >= 2
    step = max(1, WORDS // before.shape[1])
    for first in range(0, len(entries), step):
        part = entries[first : first + step]
        key, query = rows.key[part], rows.query[part]
        is_mixed[first : first + step] = several[key] & (before[key] & ~before[query]).any(axis=1)
    return is_mixed
