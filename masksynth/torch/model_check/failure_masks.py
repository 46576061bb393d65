"""The mask that a model has under each known failure, made from the right one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.algebra import select_table
from masksynth.mask.intervals import stack_tables
from masksynth.mask.typing import BoolArray, Int64Array

DENSE = 2048
"""Largest number of positions at which failures that need an N x N array are tried."""
BLOCK = 128
"""Queries and keys of a block of a BlockMask by default."""
SHIFTS = {
    "rows late": (1, 0),
    "rows early": (-1, 0),
    "keys late": (0, 1),
    "keys early": (0, -1),
    "both late": (1, 1),
    "both early": (-1, -1),
}
"""Failure -> by how many positions the mask moves (down, right)."""
EDGES = ("cut", "stay", "wrap")
"""Entries that fill the edge of a shifted mask: none, copies of the edge, or those shifted out at the other side."""


def failures(mask: Mask, position_ids: Int64Array, window: int | None = None) -> Iterator[tuple[str, Mask]]:
    """Yield (name, the mask that the model has) for each known failure, the more common first.

    Parameters
    ----------
    mask : Mask
        The right one.
    position_ids : (N,) int64
    window : int, optional
        The sliding window of the model's config, in tokens.
    """
    size, position = mask.size, np.arange(mask.size)
    begin, end = document_bounds(np.append(True, np.diff(position_ids) != 1)[:size])
    begin_at_zero, _ = document_bounds((position_ids == 0) | (position == 0))
    first = np.zeros_like(position)
    yield "layers", mask
    yield "causal", mask_of_intervals(first, position + 1)
    yield "no mask", mask_of_intervals(first, np.full_like(position, size))
    yield "documents", mask_of_intervals(begin, position + 1)
    yield "documents from 0", mask_of_intervals(begin_at_zero, position + 1)
    yield "whole documents", mask_of_intervals(begin, end)
    yield "nothing", mask_of_intervals(position, position + 1)
    if mask.tables > 1:
        tables = [select_table(mask, table) for table in range(mask.tables)]
        yield "first table", tables[0]
        yield "last table", tables[-1]
        yield "reversed tables", stack_tables(tables[::-1])
    if size <= DENSE:
        tables_dense = mask.dense().reshape(-1, size, size)
        for name, table in dense_failures(tables_dense, begin, window):
            yield name, Mask.from_dense(table)


def dense_failures(dense: BoolArray, begin: Int64Array, window: int | None) -> Iterator[tuple[str, BoolArray]]:
    """Yield (name, mask) of failures that change entries of the mask.

    Parameters
    ----------
    dense : (P, N, N) bool
    begin : (N,) int64
        Where the document of each position begins.
    window : int, optional
        In tokens.
    """
    size = dense.shape[-1]
    position = np.arange(size)
    causal = np.tri(size, dtype=bool)
    yield "mask within documents", dense & (begin[:, None] == begin[None])
    yield "mask and causal", dense & causal
    yield "padding", causal & dense[0, :1]
    if (empty := ~dense.any(2, keepdims=True)).any():
        yield "empty rows", dense | empty
    if window is not None:
        yield "window", dense & (position[:, None] - position[None] < window)
    for name, (down, right) in SHIFTS.items():
        yield from ((name, shift_mask(dense, down, right, edge)) for edge in EDGES)
    yield "one key more", dense | shift_mask(dense, 0, 1, "cut")
    yield "one key less", dense & shift_mask(dense, 0, -1, "cut")
    yield "transposed", dense.transpose(0, 2, 1)
    yield "inverted", ~dense
    if size > BLOCK:
        yield "blocks", complete_blocks(dense)


def shift_mask(dense: BoolArray, down: int, right: int, edge: str) -> BoolArray:
    """Return the mask shifted.

    Parameters
    ----------
    dense : (P, N, N) bool
    down, right : int
        By how many positions.
    edge : {"cut", "stay", "wrap"}
        What comes in: nothing, the entries at the edge, or those that went out on the other side.

    Examples
    --------
    >>> [shift_mask(np.eye(3, dtype=bool)[None], 0, 1, edge).astype(int)[0].tolist() for edge in EDGES]
    [[[0, 1, 0], [0, 0, 1], [0, 0, 0]], [[1, 1, 0], [0, 0, 1], [0, 0, 0]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]]
    """
    position = np.arange(dense.shape[-1])
    source = [position - down, position - right]
    rows, keys = (np.clip(index, 0, position[-1]) if edge == "stay" else index % len(position) for index in source)
    shifted: BoolArray = dense[:, rows][:, :, keys]
    if edge != "cut":
        return shifted
    inside = [(index >= 0) & (index < len(position)) for index in source]
    return shifted & np.outer(*inside)


def complete_blocks(dense: BoolArray) -> BoolArray:
    """Return the mask with every block that has an allowed entry allowed completely, (P, N, N)."""
    edges = np.arange(0, dense.shape[-1], BLOCK)
    # any entry of each block, (P, blocks, blocks)
    touched = np.logical_or.reduceat(np.logical_or.reduceat(dense, edges, axis=1), edges, axis=2)
    block = np.arange(dense.shape[-1]) // BLOCK
    completed: BoolArray = touched[:, block][:, :, block]
    return completed


def mask_of_intervals(start: Int64Array, end: Int64Array) -> Mask:
    """Return the mask whose row q is the one interval ``start[q] .. end[q]``.

    Examples
    --------
    >>> print(mask_of_intervals(np.array([0, 0]), np.array([1, 2])))
    ■ ·
    ■ ■
    """
    return Mask(np.arange(len(start) + 1)[None], start.astype(np.int32), end.astype(np.int32))


def causal_mask(size: int) -> Mask:
    """Return the mask whose row q is 0..q.

    Examples
    --------
    >>> print(causal_mask(3))
    ■ · ·
    ■ ■ ·
    ■ ■ ■
    """
    return mask_of_intervals(np.zeros(size, np.int64), np.arange(1, size + 1))


def document_bounds(begins: BoolArray) -> tuple[Int64Array, Int64Array]:
    """Return for each position where its document begins and ends, (N,) each.

    Parameters
    ----------
    begins : (N,) bool
        Whether a document begins at each position.

    Examples
    --------
    >>> document_bounds(np.array([True, False, True]))
    (array([0, 0, 2]), array([2, 2, 3]))
    """
    edges = np.append(np.flatnonzero(begins), len(begins))
    number = np.cumsum(begins) - 1  # document of each position
    return edges[number], edges[number + 1]
