"""A merged task as named arrays: the content of ``mask.safetensors`` and ``mask.npz``.

======================================  =========  ==========  =====================================================
name                                    dtype      shape       present
======================================  =========  ==========  =====================================================
``mask``                                bool       [N, N]      N <= 8,192 (``[P, N, N]`` for a pattern of P > 1 tables)
``row_offset``                          int64      [P, N + 1]  N > 8,192, rows as intervals
``key_start``, ``key_end``              int32      [T]         with ``row_offset``
``edge_query``, ``edge_key``            int64      [M]         N > 8,192 and a sparse answer; the diagonal is implied
``position_ids``                        int64      [N]         always
``loss_position``, ``loss_label``, ...  int64      [E]         always; ``loss_task`` too
``loss_weight``                         float64    [E]         always
======================================  =========  ==========  =====================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.dense import MAX_DENSE as MAX_DENSE
from masksynth.tasks import MergedTask

Array = NDArray[Any]
Arrays = dict[str, Array]

LOSS: dict[str, type] = {
    "loss_position": np.int64,
    "loss_label": np.int64,
    "loss_task": np.int64,
    "loss_weight": np.float64,
}


def merged_arrays(merged: MergedTask) -> Arrays:
    """The arrays of a merged task, C-contiguous, as the table above lists them.

    Examples
    --------
    >>> from masksynth.tasks import LossEdge, Position, Question
    >>> mask = Mask.from_dense(np.tril(np.ones((2, 2), bool)))
    >>> positions, edges = (Position("a", 0), Position("b", 1)), (LossEdge(1, 0, 0, 0.5),)
    >>> merged = MergedTask(positions, mask, {"t": {"a": 0, "b": 1}}, ("c",), ("t",), edges, Question(None, False, 1, ""))
    >>> {name: (array.dtype.str, array.shape) for name, array in merged_arrays(merged).items()}
    {'mask': ('|b1', (2, 2)), 'position_ids': ('<i8', (2,)), 'loss_position': ('<i8', (1,)),
     'loss_label': ('<i8', (1,)), 'loss_task': ('<i8', (1,)), 'loss_weight': ('<f8', (1,))}
    """
    columns = zip(*merged.loss_edges, strict=True) if merged.loss_edges else ((), (), (), ())
    return {
        **mask_arrays(merged.mask, merged.problem.sparse),
        "position_ids": np.array([place.position for place in merged.positions], np.int64),
        **{name: np.array(column, dtype) for (name, dtype), column in zip(LOSS.items(), columns, strict=True)},
    }


def mask_arrays(mask: Mask, sparse: bool = False) -> Arrays:
    """The mask in its stored form: dense up to ``MAX_DENSE`` positions, above it intervals, or edges for a sparse answer."""
    if mask.size <= MAX_DENSE:
        return {"mask": np.ascontiguousarray(mask.dense())}
    if sparse:
        return dict(zip(("edge_query", "edge_key"), off_diagonal(mask), strict=True))
    parts = (("row_offset", np.int64), ("key_start", np.int32), ("key_end", np.int32))
    return {name: np.ascontiguousarray(getattr(mask, name), dtype) for name, dtype in parts}


def mask_of(arrays: Mapping[str, Array], size: int) -> Mask:
    """The mask over ``size`` positions that ``mask_arrays`` stored.

    Raises
    ------
    InvalidInstance
        If no form of the mask is there, or two are, or one is malformed.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),)]])
    >>> mask_of(mask_arrays(mask), 2) == mask
    True
    """
    forms = [form for form in ("mask", "row_offset", "edge_query") if form in arrays]
    if len(forms) != 1:
        raise InvalidInstance(
            f"the arrays {sorted(arrays)} hold {len(forms)} masks", remedy="store one of mask, row_offset, edge_query"
        )
    if forms == ["edge_query"]:
        return mask_of_edges(need(arrays, "edge_query", np.int64, 1), need(arrays, "edge_key", np.int64, 1), size)
    if forms == ["row_offset"]:
        mask = Mask(
            need(arrays, "row_offset", np.int64, 2),
            need(arrays, "key_start", np.int32, 1),
            need(arrays, "key_end", np.int32, 1),
        )
    elif arrays["mask"].size:
        mask = Mask.from_dense(need(arrays, "mask", np.bool_, None))
    else:
        mask = Mask.from_intervals([[]] * (len(arrays["mask"]) if arrays["mask"].ndim == 3 else 1))
    if mask.size != size:
        raise InvalidInstance(f"the mask has {mask.size} positions, position_ids has {size}")
    return mask


def off_diagonal(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(queries, keys) of the allowed pairs q != k, sorted by (q, k); the diagonal must be allowed and the pattern have one table."""
    lengths = (mask.key_end.astype(np.int64) - mask.key_start).ravel()
    rows = np.repeat(np.arange(mask.row_offset[:, 1:].size), np.diff(mask.row_offset, axis=1).ravel())
    query = np.repeat(rows, lengths)
    key = (
        np.arange(len(query))
        - np.repeat(lengths.cumsum() - lengths, lengths)
        + np.repeat(mask.key_start.astype(np.int64), lengths)
    )
    loop = query == key
    if mask.tables != 1 or int(loop.sum()) != mask.size:
        raise InvalidInstance(
            "a sparse answer is one table with its diagonal set", remedy="store it with sparse = false"
        )
    return query[~loop], key[~loop]


def mask_of_edges(query: NDArray[np.int64], key: NDArray[np.int64], size: int) -> Mask:
    """The one-table mask of the given edges and the diagonal.

    Examples
    --------
    >>> print(mask_of_edges(np.array([1, 2]), np.array([0, 0]), 3))
    ■ · ·
    ■ ■ ·
    ■ · ■
    """
    if query.shape != key.shape or (
        len(key) and not (min(query.min(), key.min()) >= 0 and max(query.max(), key.max()) < size)
    ):
        raise InvalidInstance(
            f"edge_query {query.shape} and edge_key {key.shape} are not pairs of positions below {size}"
        )
    loop = np.arange(size)
    pairs = np.unique(np.concatenate([query, loop]) * size + np.concatenate([key, loop]))
    row, column = np.divmod(pairs, max(size, 1))
    opens = np.ones(len(pairs), bool)
    opens[1:] = (np.diff(pairs) != 1) | (np.diff(row) != 0)
    closes = np.ones(len(pairs), bool)
    closes[:-1] = opens[1:]
    offset = np.zeros((1, size + 1), np.int64)
    offset[0, 1:] = np.bincount(row[opens], minlength=size).cumsum()
    return Mask(offset, column[opens].astype(np.int32), (column[closes] + 1).astype(np.int32))


def need(arrays: Mapping[str, Array], name: str, dtype: type, ndim: int | None) -> Array:
    """``arrays[name]`` after checking that it is there with this dtype and number of dimensions."""
    if name not in arrays:
        raise InvalidInstance(f"array {name!r} is missing", remedy="write the answer again")
    array = arrays[name]
    if array.dtype != np.dtype(dtype) or ndim not in (None, array.ndim):
        raise InvalidInstance(
            f"array {name!r} is {array.dtype} {array.shape}, not {np.dtype(dtype)} of {ndim} dimensions"
        )
    return array


def content_hash(arrays: Mapping[str, Array]) -> str:
    """SHA-256 (hex) over ``name:dtype:shape`` and the C-order bytes of each array, by sorted name.

    Examples
    --------
    >>> content_hash({"b": np.zeros(2), "a": np.zeros(1)}) == content_hash({"a": np.zeros(1), "b": np.zeros(2)})
    True
    >>> content_hash({"a": np.zeros((2, 3))}) == content_hash({"a": np.zeros((3, 2))})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype.str}:{list(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
