"""Masks whose rows are paths of trees: the parent of each position."""

from __future__ import annotations

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import prefix_sums, segment_sums
from masksynth.mask.intervals import check_table
from masksynth.mask.typing import Int64Array


def find_parents(mask: Mask, table: int = 0) -> Int64Array:
    """Return the parent of each position, ``(N,)``: -1 for a root, -2 where the row is not that of a tree.

    A row is a path if it consists of the position itself and the row of another one, its parent, or of itself alone.
    Rows are compared by sums of random 64-bit words, so a parent is wrong with probability 2^-64.

    Parameters
    ----------
    mask : Mask
    table : int

    Examples
    --------
    >>> tree = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]], bool)
    >>> find_parents(Mask.from_dense(tree)), find_parents(Mask.from_dense(tree.T))
    (array([-1,  0,  0]), array([-2, -1, -1]))
    """
    offset = mask.row_offset[check_table(mask, table)]
    word = np.random.default_rng(0).integers(0, 2**64, mask.size, np.uint64)
    sums = prefix_sums(word)
    row_hash = segment_sums(sums[mask.key_end] - sums[mask.key_start], offset)
    size = segment_sums(mask.key_end.astype(np.int64) - mask.key_start, offset)
    order = np.argsort(row_hash)
    parent_hash = row_hash - word
    index = np.minimum(np.searchsorted(row_hash[order], parent_hash), max(mask.size - 1, 0))
    parent = order[index] if mask.size else index
    root = (parent_hash == 0) & (size == 1)
    is_path = (row_hash[parent] == parent_hash) & (size[parent] == size - 1)
    return np.where(root, -1, np.where(is_path, parent, -2))
