"""Dense masks for Hugging Face models, limited in N: ``[1, 1, N, N]``, boolean for sdpa and additive for eager."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.export.bit_form import dense_chunks, intervals_of_dense
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.mask import Mask
from masksynth.mask.check_rows import check_rows
from masksynth.mask.intervals import RowIntervals, concatenate_intervals, count_intervals, row_intervals
from masksynth.mask.typing import BoolArray

CHUNK = 256
"""Rows that are written out at once."""


def to_hf_bool(mask: Mask, table: int = 0) -> BoolArray:
    """Return [1, 1, N, N], True where q may attend to k; for ``attn_implementation="sdpa"`` only; checked.

    Raises
    ------
    Unsupported
        Above 8,192 positions.

    Examples
    --------
    >>> to_hf_bool(Mask.from_intervals([[((0, 1),), ((0, 2),)]])).tolist()
    [[[[True, False], [True, True]]]]
    """
    dense = _to_dense(mask, table)[None, None]
    check_hf_bool(mask, dense, table)
    return dense


def to_hf_additive(mask: Mask, table: int = 0) -> NDArray[np.float32]:
    """Return [1, 1, N, N] float32, 0 where q may attend to k and -inf elsewhere; for ``"eager"``; checked.

    Raises
    ------
    Unsupported
        Above 8,192 positions, or for a row without keys: softmax over nothing has no value.

    Examples
    --------
    >>> to_hf_additive(Mask.from_intervals([[((0, 1),), ((0, 2),)]])).tolist()
    [[[[0.0, -inf], [0.0, 0.0]]]]
    """
    refuse_empty_rows(mask, table)
    dense = np.where(_to_dense(mask, table), np.float32(0), np.float32("-inf"))[None, None]
    check_hf_additive(mask, dense, table)
    return dense


def refuse_empty_rows(mask: Mask, table: int) -> None:
    """Raise Unsupported if a row of the table has no key."""
    is_empty = count_intervals(mask, table) == 0
    if is_empty.any():
        row = int(is_empty.argmax())
        raise Unsupported(f"cannot express: row {row} has no key, and softmax over nothing has no value")


def check_hf_bool(mask: Mask, dense: BoolArray, table: int = 0) -> None:
    """Check a boolean ``[1, 1, N, N]`` mask; WrongAnswer names the first row that differs."""
    if dense.dtype != np.bool_ or dense.shape != (1, 1, mask.size, mask.size):
        expected = f"bool [1, 1, {mask.size}, {mask.size}]"
        raise WrongAnswer("hf-bool", f"expected {expected}, got {dense.dtype} {dense.shape}")
    check_rows(mask, table, _to_intervals(dense[0, 0]), "hf-bool")


def check_hf_additive(mask: Mask, dense: NDArray[np.float32], table: int = 0) -> None:
    """Check an additive ``[1, 1, N, N]`` mask of 0 and -inf; WrongAnswer names the first row that differs."""
    if dense.dtype != np.float32 or dense.shape != (1, 1, mask.size, mask.size):
        expected = f"float32 [1, 1, {mask.size}, {mask.size}]"
        raise WrongAnswer("hf-additive", f"expected {expected}, got {dense.dtype} {dense.shape}")
    if not ((dense == 0) | np.isneginf(dense)).all():
        raise WrongAnswer("hf-additive", "an entry is neither 0 nor minus infinity")
    check_rows(mask, table, _to_intervals(dense[0, 0] == 0), "hf-additive")


def _to_dense(mask: Mask, table: int) -> BoolArray:
    """Return one table as (N, N) bool."""
    if mask.size > MAX_DENSE:
        raise Unsupported(f"cannot express: {mask.size:,} positions, and a dense mask is limited to {MAX_DENSE:,}")
    chunks = dense_chunks(row_intervals(mask, table), mask.size, CHUNK)
    return np.concatenate([np.zeros((0, mask.size), bool), *chunks])


def _to_intervals(dense: BoolArray) -> RowIntervals:
    """Return the row intervals of an (N, N) bool array, a chunk of rows at a time."""
    return concatenate_intervals(
        intervals_of_dense(dense[low : low + CHUNK], low) for low in range(0, len(dense), CHUNK)
    )
