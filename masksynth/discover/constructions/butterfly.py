"""Tree Butterfly: leave-one-out by one mask, safe at any depth, on any rooted tree whose nodes are the tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from masksynth.discover.structure import Reads, Structure
from masksynth.mask.csr import index_in_row, indptr, repeat_index
from masksynth.mask.typing import Int64Array


def butterfly(n: int) -> Structure:
    """Return Butterfly, the tree Butterfly on a path: 3 n - 2 positions and 4 n - 6 edges for n >= 2 tokens.

    Examples
    --------
    >>> structure = butterfly(8)
    >>> structure.size, len(structure.reads[0].query)
    (22, 26)
    """
    return tree_butterfly(np.arange(n) - 1)


def heap_parents(n: int) -> Int64Array:
    """Return the parents of the binary heap on n nodes.

    Examples
    --------
    >>> heap_parents(5).tolist()
    [-1, 0, 0, 1, 1]
    """
    return (np.arange(n) - 1) // 2


def tree_butterfly(parents: Sequence[int] | Int64Array) -> Structure:
    """Return the structure on a rooted tree: up(v) holds the tokens below v, down(v) all others.

    Up(v) embeds v and reads up of its children; down(v) embeds the parent of v and reads down of the parent and up of
    the siblings; the blank of v reads up of its children, and down(v). The root needs neither up nor down.

    Parameters
    ----------
    parents : (n,) integers
        Parent of each token, -1 for the root; in any order.

    Examples
    --------
    >>> structure = tree_butterfly(heap_parents(8))
    >>> structure.size, len(structure.reads[0].query)
    (22, 30)
    """
    parent = np.asarray(parents, np.int64)
    n = len(parent)
    root = int(np.flatnonzero(parent < 0)[0])
    node = np.flatnonzero(parent >= 0)
    above = parent[node]
    rank = np.cumsum(parent >= 0) - 1
    up, down, query = rank, n - 1 + rank, 2 * (n - 1) + np.arange(n)  # up and down of the root are not used
    reader, sibling = _siblings(node, parent)
    inner = above != root
    reads = Reads.of_pairs(
        np.concatenate([up[above[inner]], down[node[inner]], down[reader], query[above], query[node]]),
        np.concatenate([up[node[inner]], down[above[inner]], up[sibling], up[node], down[node]]),
        3 * n - 2,
    )
    element = np.concatenate([node, above, np.full(n, -1)])
    return Structure(element, (reads,), query, "tree Butterfly" if (np.bincount(above) > 1).any() else "Butterfly")


def _siblings(node: Int64Array, parent: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the pairs of different nodes with the same parent."""
    child = node[np.argsort(parent[node], kind="stable")]
    degree = np.bincount(parent[node], minlength=len(parent))
    first = indptr(degree)
    length = degree[parent[child]]
    row = repeat_index(length)
    reader = child[row]
    sibling = child[first[parent[reader]] + index_in_row(length)]
    return reader[reader != sibling], sibling[reader != sibling]
