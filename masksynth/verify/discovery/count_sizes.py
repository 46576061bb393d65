"""Recount the sizes of a structure and its cost, as the definitions say, from its rows and ``updated`` alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from masksynth.contracts.model import Contracts
from masksynth.mask.typing import BoolArray
from masksynth.tasks.canonical import canonical
from masksynth.tasks.merged import MergedTask


def count_sizes(contracts: Contracts, merged: MergedTask) -> dict[str, Any]:
    """Return positions, updated, updates, read_only, edges, mixed_edges, layers and cost of a structure.

    Parameters
    ----------
    contracts : Contracts
    merged : MergedTask
        Without ``updated``, every position is updated in every layer.

    Returns
    -------
    dict
        ``updates`` counts pairs (layer, position); ``edges`` and ``mixed_edges`` are summed over the layers of the
        schedule, those of one mask counted once; ``cost`` is by the weights of the contracts.
    """
    size, tables = merged.mask.size, merged.mask.tables
    updated: BoolArray = np.ones((tables, size), bool) if merged.updated is None else merged.updated
    rows = [[set(merged.mask.row(q, table).tolist()) - {q} for q in range(size)] for table in range(tables)]
    edges = sum(len(row) for table in rows for row in table)
    weights = contracts.weights
    if weights.count == "structure":
        cost = weights.position * size + weights.pair * edges
    else:
        cost = 0.0
        for table, live in zip(rows, updated, strict=True):
            read = set().union(*table) if table else set()
            only_read = sum(not live[k] for k in read)
            cost += weights.position * int(live.sum()) + weights.kv * only_read
            cost += weights.pair * sum(len(row) for row in table)
        if contracts.masks == "one":
            cost *= contracts.layers or 1
    return {
        "positions": size,
        "updated": int(updated.any(axis=0).sum()),
        "updates": int(updated.sum()),
        "read_only": int((~updated.any(axis=0)).sum()),
        "edges": edges,
        "mixed_edges": _count_mixed(contracts, merged, rows),
        "layers": contracts.layers,
        "cost": cost,
    }


def _count_mixed(contracts: Contracts, merged: MergedTask, rows: list[list[set[int]]]) -> int:
    """Return the reads, by live positions, of a context of at least two elements, one of them new to the reader.

    Contexts are integers whose bits are elements. A read of one mask counts once, if it is such a read in some layer.
    """
    number = {canonical(value): index for index, value in enumerate(contracts.elements.values)}
    state = [1 << number[text] if (text := canonical(p.input)) in number else 0 for p in merged.positions]
    live = _live_after(merged, rows, contracts.masks == "one")
    counted: set[tuple[int, int, int]] = set()
    layer = 0
    while True:
        table = layer % len(rows)
        following = list(state)
        for q, row in enumerate(rows[table]):
            for k in row:
                following[q] |= state[k]
                if live[table][q] and state[k].bit_count() >= 2 and state[k] & ~state[q]:
                    counted.add((table, q, k))
        layer += 1
        if layer == len(rows) and contracts.masks != "one":
            return len(counted)
        if contracts.masks == "one" and following == state:
            return len(counted)
        state = following


def _live_after(merged: MergedTask, rows: list[list[set[int]]], is_one: bool) -> list[dict[int, bool]]:
    """Return for each layer the positions whose state after it some target depends on, as a mapping to True."""
    targets = {edge.position for edge in merged.loss_edges}
    if is_one:
        reached, pending = set(targets), list(targets)
        while pending:
            for k in rows[0][pending.pop()] - reached:
                reached.add(k)
                pending.append(k)
        return [{q: q in reached for q in range(merged.mask.size)}]
    after = [targets]
    for table in reversed(rows[1:]):
        after.append(after[-1] | set().union(*(table[q] for q in after[-1])))
    return [{q: q in live for q in range(merged.mask.size)} for live in reversed(after)]
