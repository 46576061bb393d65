"""Masks from dense arrays, boolean or additive, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.dense import mask_from_chunks, rows_per_chunk
from masksynth.mask.typing import AnyArray, BoolArray

LARGEST_FORBIDDING = -100
"""A finite number that forbids is at most this; softmax gives e^-100 to such an entry."""


def mask_of_dense(array: AnyArray, name: str = "mask") -> tuple[Mask, float | None]:
    """Return the mask of a dense array, and the finite number by which an additive one forbids (None: minus infinity).

    Parameters
    ----------
    array : bool or float, (n, n), (P, n, n) or (1, 1, n, n)
        P tables, a query in each row, a key in each column. Bool: True where allowed. Float: additive, 0 where allowed,
        and minus infinity or one large negative number elsewhere.
    name : str
        Name of the array, for messages.

    Raises
    ------
    InvalidInstance
        For integers, for floats that are not an additive mask, for another shape.

    Examples
    --------
    >>> mask_of_dense(np.where(np.tril(np.ones((2, 2), bool)), 0, np.finfo(np.float32).min).astype(np.float32))
    (Mask(size=2, tables=1, pairs=3), -3.4028234663852886e+38)
    """
    shape = array.shape
    if array.ndim == 4 and shape[:2] == (1, 1):
        array = array[0]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[-1] != array.shape[-2] or not len(array):
        raise InvalidInstance(f"array {name!r} has shape {shape}", "", "store (n, n), (P, n, n) or (1, 1, n, n)")
    if array.dtype != bool and array.dtype.kind != "f":
        remedy = "store bool (True: may attend), or float with 0 and minus infinity"
        raise InvalidInstance(f"array {name!r}: expected bool or floating point, got {array.dtype}", "", remedy)
    forbidding: set[float] = set()
    mask = mask_from_chunks((_boolean_rows(table, forbidding, name) for table in array), array.shape[-1])
    return mask, next(iter(forbidding), None)


def _boolean_rows(table: AnyArray, forbidding: set[float], name: str) -> Iterator[BoolArray]:
    """Yield blocks of rows of one table as booleans; collect the finite number that forbids in ``forbidding``."""
    step = rows_per_chunk(len(table))
    for first in range(0, len(table), step):
        rows = np.asarray(table[first : first + step])
        if rows.dtype != bool:
            forbidding.update(np.unique(rows[(rows != 0) & ~np.isneginf(rows)]).tolist())
            values = sorted(forbidding)
            # NaN fails `value <= LARGEST_FORBIDDING` too
            if len(values) > 1 or not all(value <= LARGEST_FORBIDDING for value in values):
                fact = f"array {name!r} is not an additive mask: expected 0 and one number that forbids, got"
                got = ", ".join(map(str, values[:3]))
                raise InvalidInstance(f"{fact} 0 and {got}", "", "store 0 and minus infinity, or a bool array")
            rows = rows == 0
        yield rows
