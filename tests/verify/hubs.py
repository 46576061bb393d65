"""Relations and masks for sparse answers, made by hand.

Chains with hubs, random preorders, and masks thinned one edge at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np

from masksynth.mask import Mask

Table = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


def prefixes(size: int) -> Mask:
    """The closed chain: everything sees itself and all before it."""
    return Mask(np.arange(size + 1)[None], np.zeros(size, np.int32), np.arange(1, size + 1, dtype=np.int32))


def hub_edges(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Two layers for a chain, about n log2 n edges.

    In every range all above the middle attend to it, and it to all below it.
    """
    query, key, todo = [], [], [(0, size)]
    while todo:
        low, high = todo.pop()
        if high - low < 2:
            continue
        middle = (low + high) // 2
        query += [np.arange(middle + 1, high), np.full(middle - low, middle)]
        key += [np.full(high - middle - 1, middle), np.arange(low, middle)]
        todo += [(low, middle), (middle + 1, high)]
    empty = [np.zeros(0, np.int64)]
    return np.concatenate(query or empty), np.concatenate(key or empty)


def mask_of(query: np.ndarray, key: np.ndarray, size: int) -> Mask:
    """The mask of edges and the diagonal, row by row."""
    pairs = np.sort(np.concatenate([query * size + key, np.arange(size) * (size + 1)]))
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # np.unique hashes: twenty times slower for numbers like these
    row, column = np.divmod(pairs, max(size, 1))
    opens = np.flatnonzero(np.append(True, (np.diff(row) != 0) | (np.diff(column) != 1))[: len(pairs)])
    last = np.append(opens[1:], len(pairs))[: len(opens)] - 1
    offset = np.append(0, np.bincount(row[opens], minlength=size).cumsum())[None]
    return Mask(offset, column[opens].astype(np.int32), (column[last] + 1).astype(np.int32))


def hub_mask(size: int) -> Mask:
    return mask_of(*hub_edges(size), size)


def product(*tables: Table) -> Table:
    """Flow through layers, one boolean product each, the first table first; the residual is the diagonal."""
    found = np.eye(len(tables[0]), dtype=bool)
    for table in tables:
        found = ((table | np.eye(len(table), dtype=bool)).astype(int) @ found.astype(int)) > 0
    return found


def closure(table: Table) -> Table:
    return product(*[table] * max(len(table) - 1, 1))


def random_preorder(rng: Random, size: int) -> Table:
    """Closed, with or without cycles, positions in any order."""
    table = np.array([[rng.random() < 1.5 / size for _ in range(size)] for _ in range(size)]).reshape(size, size)
    if rng.random() < 0.5:
        table = np.tril(table)
    order = rng.sample(range(size), size)
    return closure(table[np.ix_(order, order)])


def thinned(rng: Random, table: Table, right: Callable[[Table], bool]) -> Table:
    """Drop edges off the diagonal in a random order as long as the mask stays right.

    No single edge can go from what is left.
    """
    table = table | np.eye(len(table), dtype=bool)
    edges = [(q, k) for q, k in np.argwhere(table).tolist() if q != k]
    for edge in rng.sample(edges, len(edges)):
        table[edge] = False
        if not right(table):
            table[edge] = True
    return table
