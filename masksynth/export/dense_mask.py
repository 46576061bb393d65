"""Dense masks for Hugging Face models: ``[1, 1, N, N]``, boolean for sdpa and additive for eager. N x N by nature, hence limited."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.export.bit_form import dense_chunks, spans_of
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.export.row_intervals import Spans, compare_rows, joined_parts, row_counts, rows_of
from masksynth.mask import Mask

CHUNK = 256


def to_hf_bool(mask: Mask, table: int = 0) -> NDArray[np.bool_]:
    """True where q may attend to k: for ``attn_implementation="sdpa"`` only, checked.

    Raises
    ------
    Unsupported
        Above 8,192 positions.

    Examples
    --------
    >>> to_hf_bool(Mask.from_intervals([[((0, 1),), ((0, 2),)]])).tolist()
    [[[[True, False], [True, True]]]]
    """
    dense = _dense(mask, table)[None, None]
    check_hf_bool(mask, dense, table)
    return dense


def to_hf_additive(mask: Mask, table: int = 0) -> NDArray[np.float32]:
    """0 where q may attend to k and minus infinity elsewhere: for ``attn_implementation="eager"``, float32, checked.

    Raises
    ------
    Unsupported
        Above 8,192 positions, or for a row without keys: softmax over nothing has no value.

    Examples
    --------
    >>> to_hf_additive(Mask.from_intervals([[((0, 1),), ((0, 2),)]])).tolist()
    [[[[0.0, -inf], [0.0, 0.0]]]]
    """
    counts = row_counts(mask, table)
    if (counts == 0).any():
        raise Unsupported(
            f"cannot express: row {int((counts == 0).argmax())} has no key, and softmax over nothing has no value"
        )
    dense = np.where(_dense(mask, table), np.float32(0), np.float32("-inf"))[None, None]
    check_hf_additive(mask, dense, table)
    return dense


def check_hf_bool(mask: Mask, dense: NDArray[np.bool_], table: int = 0) -> None:
    """Check a boolean ``[1, 1, N, N]`` mask; WrongAnswer names the first row that differs."""
    if dense.dtype != np.bool_ or dense.shape != (1, 1, mask.size, mask.size):
        raise WrongAnswer("hf-bool", f"{dense.dtype} {dense.shape} is not bool [1, 1, {mask.size}, {mask.size}]")
    compare_rows(mask, table, _spans(dense[0, 0]), "hf-bool")


def check_hf_additive(mask: Mask, dense: NDArray[np.float32], table: int = 0) -> None:
    """Check an additive ``[1, 1, N, N]`` mask of 0 and minus infinity; WrongAnswer names the first row that differs."""
    if dense.dtype != np.float32 or dense.shape != (1, 1, mask.size, mask.size):
        raise WrongAnswer("hf-additive", f"{dense.dtype} {dense.shape} is not float32 [1, 1, {mask.size}, {mask.size}]")
    if not ((dense == 0) | np.isneginf(dense)).all():
        raise WrongAnswer("hf-additive", "an entry is neither 0 nor minus infinity")
    compare_rows(mask, table, _spans(dense[0, 0] == 0), "hf-additive")


def _dense(mask: Mask, table: int) -> NDArray[np.bool_]:
    if mask.size > MAX_DENSE:
        raise Unsupported(f"cannot express: {mask.size:,} positions, and a dense mask is limited to {MAX_DENSE:,}")
    chunks = dense_chunks(rows_of(mask, table), mask.size, CHUNK)
    return np.concatenate([np.zeros((0, mask.size), bool), *chunks])


def _spans(dense: NDArray[np.bool_]) -> Spans:
    return joined_parts(spans_of(dense[low : low + CHUNK], low) for low in range(0, len(dense), CHUNK))
