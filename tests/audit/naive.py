"""What an audit should say, from dense arrays and plain breadth-first search."""

from __future__ import annotations

import itertools

import numpy as np


def tables_of(mask):
    return mask.dense().reshape(mask.tables, mask.size, mask.size)


def fewest_hops(mask, query, layers=None):
    """Fewest hops from a query to every position it reaches within the layers: key -> hops."""
    tables = tables_of(mask)
    if layers is None:
        return _any_depth(tables.any(axis=0), query)
    best = {query: 0}
    for layer in range(layers, 0, -1):
        after = dict(best)
        for node, hops in best.items():
            for key in np.flatnonzero(tables[(layer - 1) % len(tables), node]).tolist():
                after[key] = min(after.get(key, hops + 1), hops + 1)
        best = after
    return best


def _any_depth(seen, query):
    found, todo = {query: 0}, [query]
    for node in todo:
        for key in np.flatnonzero(seen[node]).tolist():
            if key not in found:
                found[key] = found[node] + 1
                todo.append(key)
    return found


def is_path(mask, path, layers=None):
    """Whether each position attends to the one before it, hop by hop in rising layers."""
    tables, layer = tables_of(mask), 0
    for key, query in itertools.pairwise(path):
        waits = [wait for wait in range(1, len(tables) + 1) if tables[(layer + wait - 1) % len(tables), query, key]]
        if not waits:
            return False
        layer += min(waits)
    return layers is None or layer <= layers


def random_mask(rng, size, tables=1, density=0.2, causal=False):
    dense = rng.random((tables, size, size)) < density
    return np.tril(dense) if causal else dense
