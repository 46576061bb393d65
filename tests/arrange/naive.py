"""Blocks counted from the dense array, and the fewest of all partitions."""

from __future__ import annotations

import numpy as np


def naive_counts(dense, block):
    """(non-empty, partial) blocks of a dense mask, tables added up."""
    tables = dense if dense.ndim == 3 else dense[None]
    nonempty = partial = 0
    for table in tables:
        for top in range(0, len(table), block):
            for left in range(0, len(table), block):
                pairs = int(table[top : top + block, left : left + block].sum())
                nonempty += pairs > 0
                partial += 0 < pairs < block * block
    return nonempty, partial


def fewest(dense, block):
    """The fewest non-empty blocks over all assignments of positions to blocks."""
    tables = dense if dense.ndim == 3 else dense[None]
    size = tables.shape[1]
    edges = [np.nonzero(table) for table in tables]
    blocks = -(-size // block)
    room = [min(block, size - b * block) for b in range(blocks)]
    home = [0] * size
    best = tables.size

    def fill(position):
        nonlocal best
        if position == size:
            at = np.array(home, int)
            best = min(best, sum(len(np.unique(at[query] * blocks + at[key])) for query, key in edges))
            return
        for b in range(blocks):
            if room[b] and (
                b == 0 or size - b * block < block or b - 1 in home[:position]
            ):  # complete blocks open in order
                room[b] -= 1
                home[position] = b
                fill(position + 1)
                room[b] += 1

    fill(0)
    return best
