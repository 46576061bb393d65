"""A merged task as named arrays: the content of ``mask.safetensors`` and ``mask.npz``, without the stored forms.

======================================  =========  ==========  ======================================================
name                                    dtype      shape       present
======================================  =========  ==========  ======================================================
``mask``                                bool       [N, N]      N <= 8,192 (``[P, N, N]`` for a pattern of P > 1 tables)
``row_offset``                          int64      [P, N + 1]  N > 8,192, rows as intervals
``key_start``, ``key_end``              int32      [T]         with ``row_offset``
``edge_query``, ``edge_key``            int64      [M]         N > 8,192 and a sparse answer; the diagonal is not stored
``position_ids``                        int64      [N]         always
``loss_position``, ``loss_label``, ...  int64      [E]         always; ``loss_task`` too
``loss_weight``                         float64    [E]         always
``updated``                             bool       [L, N]      some position is only read (``[1, N]`` at any depth)
======================================  =========  ==========  ======================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.csr import repeat_ranges
from masksynth.mask.dense import MAX_DENSE as MAX_DENSE
from masksynth.mask.equal_values import distinct
from masksynth.mask.intervals import build_mask, coalesce_sorted, row_intervals
from masksynth.mask.typing import AnyArray, BoolArray, Int64Array
from masksynth.tasks import MergedTask

Array = AnyArray
Arrays = dict[str, Array]

LOSS: dict[str, type] = {
    "loss_position": np.int64,
    "loss_label": np.int64,
    "loss_task": np.int64,
    "loss_weight": np.float64,
}


def merged_arrays(merged: MergedTask) -> Arrays:
    """Return the arrays of a merged task, C-contiguous, as the table above lists them.

    Examples
    --------
    >>> from masksynth.tasks import LossEdge, Position, Question
    >>> mask = Mask.from_dense(np.tril(np.ones((2, 2), bool)))
    >>> positions, edges = (Position("a", 0), Position("b", 1)), (LossEdge(1, 0, 0, 0.5),)
    >>> question = Question(None, False, 1, "")
    >>> merged = MergedTask(positions, mask, {"t": {"a": 0, "b": 1}}, ("c",), ("t",), edges, question)
    >>> {name: (array.dtype.str, array.shape) for name, array in merged_arrays(merged).items()}
    {'mask': ('|b1', (2, 2)), 'position_ids': ('<i8', (2,)), 'loss_position': ('<i8', (1,)),
     'loss_label': ('<i8', (1,)), 'loss_task': ('<i8', (1,)), 'loss_weight': ('<f8', (1,))}
    """
    columns = zip(*merged.loss_edges, strict=True) if merged.loss_edges else ((), (), (), ())
    updated = {} if merged.updated is None else {"updated": np.ascontiguousarray(merged.updated, bool)}
    return {
        **mask_arrays(merged.mask, merged.problem.sparse),
        **updated,
        "position_ids": np.array([place.position for place in merged.positions], np.int64),
        **{name: np.array(column, dtype) for (name, dtype), column in zip(LOSS.items(), columns, strict=True)},
    }


def mask_arrays(mask: Mask, sparse: bool = False) -> Arrays:
    """Return the mask as stored: dense up to ``MAX_DENSE`` positions, above it intervals, or edges if ``sparse``."""
    if mask.size <= MAX_DENSE:
        return {"mask": np.ascontiguousarray(mask.dense())}
    if sparse:
        return dict(zip(("edge_query", "edge_key"), off_diagonal(mask), strict=True))
    parts = (("row_offset", np.int64), ("key_start", np.int32), ("key_end", np.int32))
    return {name: np.ascontiguousarray(getattr(mask, name), dtype) for name, dtype in parts}


def mask_of(arrays: Mapping[str, Array], size: int) -> Mask:
    """Return the mask over ``size`` positions that ``mask_arrays`` stored.

    Raises
    ------
    InvalidInstance
        If the mask is not stored, stored in several ways, or malformed.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),)]])
    >>> mask_of(mask_arrays(mask), 2) == mask
    True
    """
    forms = [form for form in ("mask", "row_offset", "edge_query") if form in arrays]
    if len(forms) != 1:
        fact = f"expected one of the arrays mask, row_offset, edge_query, got {forms or sorted(arrays)}"
        raise InvalidInstance(fact, remedy="write the answer again")
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


def updated_of(arrays: Mapping[str, Array], size: int, layers: int | None) -> BoolArray | None:
    """Return which positions are updated in each layer, as stored; None if all are.

    Parameters
    ----------
    arrays : mapping
    size : int
        N, the number of positions.
    layers : int or None
        L; None: any depth.

    Raises
    ------
    InvalidInstance
        Unless it is bool [L, N], or [1, N] at any depth.
    """
    if "updated" not in arrays:
        return None
    updated = need(arrays, "updated", np.bool_, 2)
    if updated.shape != (layers or 1, size):
        fact = f"array 'updated': expected the shape {[layers or 1, size]}, got {list(updated.shape)}"
        raise InvalidInstance(fact, remedy="store a row for each layer, one at any depth")
    return updated


def off_diagonal(mask: Mask) -> tuple[Int64Array, Int64Array]:
    """Return (queries, keys) of the allowed pairs q != k of one table, sorted by (q, k).

    Raises
    ------
    InvalidInstance
        If the mask has several tables, or a position does not attend to itself.
    """
    if mask.tables == 1:
        rows, start, end = row_intervals(mask)
        query, key = np.repeat(rows, end - start), repeat_ranges(start, end - start)
        is_loop = query == key
        if int(is_loop.sum()) == mask.size:
            return query[~is_loop], key[~is_loop]
    raise InvalidInstance("a sparse answer is one table with its diagonal set", remedy="store it with sparse = false")


def mask_of_edges(query: Int64Array, key: Int64Array, size: int) -> Mask:
    """Return the one-table mask of the given edges and the diagonal.

    Parameters
    ----------
    query, key : (edges,) int64
        In any order; an edge may be repeated.
    size : int
        Number of positions.

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
    diagonal = np.arange(size)
    pairs = distinct(np.concatenate([query * size + key, diagonal * (size + 1)]))
    row, column = np.divmod(pairs, max(size, 1))
    return build_mask(coalesce_sorted(row, column, column + 1), size)


def need(arrays: Mapping[str, Array], name: str, dtype: type, ndim: int | None) -> Array:
    """Return ``arrays[name]``; raise InvalidInstance unless it is there with this type and number of dimensions."""
    if name not in arrays:
        raise InvalidInstance(f"array {name!r} is missing", remedy="write the answer again")
    array = arrays[name]
    if array.dtype != np.dtype(dtype) or ndim not in (None, array.ndim):
        expected = str(np.dtype(dtype)) + (f" of {ndim} dimensions" if ndim is not None else "")
        raise InvalidInstance(f"array {name!r}: expected {expected}, got {array.dtype} {array.shape}")
    return array


def content_hash(arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 (hex) over ``name:dtype:shape`` and the C-order bytes of each array, by sorted name.

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
