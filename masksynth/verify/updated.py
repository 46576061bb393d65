"""Check which positions an answer says are only read: where one is not updated, its row holds itself alone."""

from __future__ import annotations

import numpy as np

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray
from masksynth.tasks.merged import MergedTask
from masksynth.verify.ragged import mask_rows

MAX_UPDATED = 1 << 30
"""Maximal number of entries of ``updated`` that is read."""


def updated_shape(size: int, layers: int | None) -> tuple[int, int]:
    """Return the shape of ``updated`` for N positions: (L, N), or (1, N) at any depth.

    Examples
    --------
    >>> updated_shape(5, 3), updated_shape(5, None)
    ((3, 5), (1, 5))
    """
    return 1 if layers is None else layers, size


def check_updated(merged: MergedTask) -> None:
    """Check the array ``updated`` of a merged task; without one, every position is updated in every layer.

    Parameters
    ----------
    merged : MergedTask
        Layer l (from 1) uses table (l - 1) mod P; at any depth, row 0 of ``updated`` holds for every table.

    Raises
    ------
    InvalidInstance
        If it is not a bool array of the shape of ``updated_shape``.
    WrongAnswer
        If a position that is not updated in a layer attends to another position there, or not to itself.
    """
    if merged.updated is None:
        return
    mask, shape = merged.mask, updated_shape(merged.mask.size, merged.problem.layers)
    array = merged.updated
    if not isinstance(array, np.ndarray) or array.dtype != bool or array.shape != shape:
        got = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InvalidInstance(f"updated: expected bool {list(shape)}, got {got}", "", "leave it out, or store it again")
    for table in range(mask.tables):
        layers = np.arange(len(array)) if len(array) == 1 else np.arange(table, len(array), mask.tables)
        if not len(layers):
            continue  # more tables than layers: no layer uses it
        wrong = ~_rows_alone(mask, table) & ~array[layers].all(axis=0)
        if wrong.any():
            position = int(wrong.argmax())
            layer = int(layers[array[layers, position].argmin()]) + 1
            raise WrongAnswer("updated", _describe(merged, table, position, layer))


def _rows_alone(mask: Mask, table: int) -> BoolArray:
    """Return (N,) bool: whether the row of each position holds the position itself and nothing else."""
    query, start, end = mask_rows(mask, table)
    count = np.bincount(query, minlength=mask.size)
    is_itself = (start == query) & (end == query + 1)
    alone: BoolArray = (count == 1) & (np.bincount(query[is_itself], minlength=mask.size) == 1)
    return alone


def _describe(merged: MergedTask, table: int, position: int, layer: int) -> str:
    """Return in words that a position has another row than itself alone in a layer in which it is not updated."""
    query, start, end = mask_rows(merged.mask, table)
    chosen = query == position
    first = [int(key) for key in (*start[chosen], *(start[chosen] + 1)) if key != position]
    others = [key for key in sorted(first) if any((start[chosen] <= key) & (key < end[chosen]))]
    where = "" if merged.problem.layers is None else f" in layer {layer}"
    if not others:
        return f"position {position} is not updated{where}, and its row does not hold the position itself"
    return f"position {position} is not updated{where}, but it attends to position {others[0]} there"
