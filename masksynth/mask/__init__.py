"""Masks as row intervals: one compact form for dense, banded, tree-like and sparse masks, and for layer patterns.

``mask[q, k]`` is True iff query position ``q`` may attend to key position ``k`` (torch's boolean convention).
Row ``q`` of table ``p`` is the union of the half-open intervals ``key_start[t] <= k < key_end[t]`` for
``row_offset[p, q] <= t < row_offset[p, q + 1]``, which are sorted, disjoint and not touching, so that equal masks have equal arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance

Intervals = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Mask:
    """A layer pattern of P boolean masks over n positions.

    Parameters
    ----------
    row_offset : (P, n + 1) int64
        Where each row's intervals begin.
    key_start, key_end : (T,) int32
        The intervals.

    Examples
    --------
    >>> mask = Mask.from_dense(np.tril(np.ones((3, 3), bool)))
    >>> mask.size, mask.tables, mask.pairs, mask.intervals(2)
    (3, 1, 6, ((0, 3),))
    >>> print(mask)
    ■ · ·
    ■ ■ ·
    ■ ■ ■
    """

    row_offset: NDArray[np.int64]
    key_start: NDArray[np.int32]
    key_end: NDArray[np.int32]

    def __post_init__(self) -> None:
        offset, start, end = np.asarray(self.row_offset), np.asarray(self.key_start), np.asarray(self.key_end)
        if any(array.size and array.dtype.kind not in "iu" for array in (offset, start, end)):
            raise InvalidInstance(
                f"row_offset, key_start and key_end hold {offset.dtype}, {start.dtype} and {end.dtype}, not integers"
            )
        if (
            offset.ndim != 2
            or offset.shape[0] < 1
            or offset.shape[1] < 1
            or start.ndim != 1
            or start.shape != end.shape
        ):
            raise InvalidInstance(
                f"row_offset {offset.shape}, key_start {start.shape}, key_end {end.shape} are not [P, n + 1], [T], [T]"
            )
        flat = offset.ravel()
        if (
            flat[0] != 0
            or flat[-1] != len(start)
            or (np.diff(flat) < 0).any()
            or (offset[1:, 0] != offset[:-1, -1]).any()
        ):
            raise InvalidInstance("row_offset does not run from 0 to T without falling, table after table")
        size = offset.shape[1] - 1
        if len(start) and (start.min() < 0 or int(end.max()) > size or (start >= end).any()):
            raise InvalidInstance(f"an interval is empty or leaves 0..{size}")
        same_row = np.ones(max(len(start) - 1, 0), bool)
        cuts = flat[(flat > 0) & (flat < len(start))] - 1
        same_row[cuts] = False
        if (same_row & (end[:-1] >= start[1:])).any():
            raise InvalidInstance("the intervals of a row are not sorted, disjoint and apart")
        object.__setattr__(self, "row_offset", offset.astype(np.int64, copy=False))
        object.__setattr__(self, "key_start", start.astype(np.int32, copy=False))
        object.__setattr__(self, "key_end", end.astype(np.int32, copy=False))

    @property
    def size(self) -> int:
        """n, the number of positions."""
        return int(self.row_offset.shape[1]) - 1

    @property
    def tables(self) -> int:
        """P, the length of the layer pattern: table i is used by layers i + 1, i + 1 + P, ..."""
        return int(self.row_offset.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dense array: (n, n), or (P, n, n) for a pattern of P > 1 tables."""
        return (self.size, self.size) if self.tables == 1 else (self.tables, self.size, self.size)

    @property
    def pairs(self) -> int:
        """Number of allowed (query, key) pairs, over all tables."""
        return int((self.key_end.astype(np.int64) - self.key_start).sum())

    def intervals(self, query: int, table: int = 0) -> Intervals:
        """Row ``query`` as sorted half-open intervals ``((start, end), ...)``."""
        part = slice(int(self.row_offset[table, query]), int(self.row_offset[table, query + 1]))
        return tuple(zip(self.key_start[part].tolist(), self.key_end[part].tolist(), strict=True))

    def row(self, query: int, table: int = 0) -> NDArray[np.int64]:
        """Row ``query`` as a sorted array of keys."""
        parts = [np.arange(start, end) for start, end in self.intervals(query, table)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def dense(self) -> NDArray[np.bool_]:
        """The boolean array of shape ``shape``; needs P n^2 bytes."""
        steps = np.zeros((self.tables * self.size, self.size + 1), np.int8)
        rows = np.repeat(np.arange(self.tables * self.size), np.diff(self.row_offset, axis=1).ravel())
        steps[rows, self.key_start] += 1
        steps[rows, self.key_end] -= 1
        return np.cumsum(steps[:, :-1], axis=1, dtype=np.int8).astype(bool).reshape(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.dense() if dtype is None else self.dense().astype(dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return all(np.array_equal(getattr(self, a), getattr(other, a)) for a in ("row_offset", "key_start", "key_end"))

    __hash__ = None  # type: ignore[assignment]  # compared by arrays

    def __repr__(self) -> str:
        return f"Mask(size={self.size}, tables={self.tables}, pairs={self.pairs})"

    def __str__(self) -> str:
        """``■ ·`` picture, one line per query; tables of a pattern are separated by an empty line."""
        tables = self.dense().reshape(self.tables, self.size, self.size)
        return "\n\n".join(
            "\n".join(" ".join("■" if seen else "·" for seen in row) for row in table) for table in tables
        )

    @classmethod
    def from_dense(cls, array: Any) -> Mask:
        """The mask of a boolean array ``(n, n)`` or ``(P, n, n)``; any other shape or type raises InvalidInstance."""
        dense = np.asarray(array)
        if (
            dense.dtype != bool
            or dense.ndim not in (2, 3)
            or dense.shape[-1] != dense.shape[-2]
            or 0 in dense.shape[:-2]
        ):
            raise InvalidInstance(
                f"a mask is a bool array of shape (n, n) or (P, n, n), not {dense.dtype} {dense.shape}"
            )
        tables = dense if dense.ndim == 3 else dense[None]
        edges = np.diff(np.pad(tables, ((0, 0), (0, 0), (1, 1))).astype(np.int8), axis=2)
        counts = (edges == 1).sum(axis=2)
        offset = np.zeros((len(tables), dense.shape[-1] + 1), np.int64)
        ends = counts.cumsum().reshape(counts.shape) if counts.size else counts
        offset[:, 1:] = ends
        offset[1:, 0] = offset[:-1, -1]
        return cls(offset, np.nonzero(edges == 1)[2].astype(np.int32), np.nonzero(edges == -1)[2].astype(np.int32))

    @classmethod
    def from_intervals(cls, tables: Sequence[Iterable[Iterable[tuple[int, int]]]]) -> Mask:
        """The mask whose table p has row q = the q-th iterable of half-open intervals (sorted, disjoint, not touching).

        Raises
        ------
        InvalidInstance
            If there is no table, tables differ in length, or an interval is not a pair of integers in order.
        """
        rows = [[list(row) for row in table] for table in tables]
        if len({len(table) for table in rows}) != 1:
            raise InvalidInstance(
                f"{len(rows)} tables of {[len(table) for table in rows][:5]} rows", remedy="give tables of one length"
            )
        size = len(rows[0])
        counts = np.array([len(row) for table in rows for row in table], np.int64)
        offset = np.zeros((len(rows), size + 1), np.int64)
        offset[:, 1:] = counts.cumsum().reshape(len(rows), size)
        offset[1:, 0] = offset[:-1, -1]
        try:
            pairs = np.array([pair for table in rows for row in table for pair in row])
        except ValueError:  # tuples of different lengths
            pairs = np.array(["?"])
        if pairs.size == 0:
            pairs = np.zeros((0, 2), np.int64)
        if pairs.dtype.kind != "i" or pairs.ndim != 2 or pairs.shape[1] != 2:
            raise InvalidInstance(
                "an interval is not a pair of integers", remedy="give (start, end) with start <= k < end"
            )
        return cls(offset, pairs[:, 0], pairs[:, 1])
