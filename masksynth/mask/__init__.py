"""Masks as row intervals: one compact form for dense, banded, tree-like and sparse masks, and for layer patterns.

``mask[q, k]`` is True iff query position ``q`` may attend to key position ``k`` (torch's boolean convention). Row ``q``
of table ``p`` is the union of the half-open intervals ``key_start[t] <= k < key_end[t]`` for ``row_offset[p, q] <= t <
row_offset[p, q + 1]``: rows in CSR form. Intervals of a row are sorted, disjoint and do not touch, so equal masks have
equal arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import indptr, row_of_entry, table_indptr
from masksynth.mask.typing import AnyArray, BoolArray, Int32Array, Int64Array

Intervals = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Mask:
    """A layer pattern of P boolean masks over n positions.

    Parameters
    ----------
    row_offset : (P, n + 1) int64
        Row pointers: index of the first interval of each row; the last column is where the table ends.
    key_start, key_end : (T,) int32
        First key and last key + 1 of each interval.

    Raises
    ------
    InvalidInstance
        If the arrays have other shapes or types, or are not sorted, disjoint intervals of 0..n that do not touch.

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

    row_offset: Int64Array
    key_start: Int32Array
    key_end: Int32Array

    def __post_init__(self) -> None:
        offset, start, end = np.asarray(self.row_offset), np.asarray(self.key_start), np.asarray(self.key_end)
        _check_arrays(offset, start, end)
        _check_intervals(offset, start, end)
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
        """Return row ``query`` as sorted half-open intervals ``((start, end), ...)``."""
        entries = slice(int(self.row_offset[table, query]), int(self.row_offset[table, query + 1]))
        return tuple(zip(self.key_start[entries].tolist(), self.key_end[entries].tolist(), strict=True))

    def row(self, query: int, table: int = 0) -> Int64Array:
        """Return row ``query`` as a sorted array of keys."""
        keys = [np.arange(start, end) for start, end in self.intervals(query, table)]
        return np.concatenate(keys) if keys else np.zeros(0, np.int64)

    def dense(self) -> BoolArray:
        """Return the boolean array of shape ``shape``; needs P n^2 bytes."""
        steps = np.zeros((self.tables * self.size, self.size + 1), np.int8)
        rows = row_of_entry(indptr(np.diff(self.row_offset, axis=1).ravel()))  # rows of all tables, numbered through
        steps[rows, self.key_start] += 1
        steps[rows, self.key_end] -= 1
        return np.cumsum(steps[:, :-1], axis=1, dtype=np.int8).astype(bool).reshape(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> AnyArray:
        return self.dense() if dtype is None else self.dense().astype(dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return all(np.array_equal(getattr(self, a), getattr(other, a)) for a in ("row_offset", "key_start", "key_end"))

    __hash__ = None  # type: ignore[assignment]  # compared by arrays

    def __repr__(self) -> str:
        return f"Mask(size={self.size}, tables={self.tables}, pairs={self.pairs})"

    def _repr_svg_(self) -> str | None:
        """Return a picture for a notebook; None for very large masks, which are shown as text."""
        from masksynth.mask.svg_picture import mask_svg

        return mask_svg(self)

    def __str__(self) -> str:
        """Return the ``■ ·`` picture, one line per query; tables of a pattern are separated by an empty line."""
        tables = self.dense().reshape(self.tables, self.size, self.size)
        return "\n\n".join(
            "\n".join(" ".join("■" if allowed else "·" for allowed in row) for row in table) for table in tables
        )

    @classmethod
    def from_valid_arrays(cls, row_offset: Int64Array, key_start: Int32Array, key_end: Int32Array) -> Mask:
        """Return the mask of arrays that are valid by construction, without a pass over them to check that.

        Parameters
        ----------
        row_offset, key_start, key_end
            As for the mask, of exactly these types.
        """
        mask = object.__new__(cls)
        for name, array in (("row_offset", row_offset), ("key_start", key_start), ("key_end", key_end)):
            object.__setattr__(mask, name, array)
        return mask

    @classmethod
    def from_dense(cls, array: Any) -> Mask:
        """Return the mask of a boolean array.

        Parameters
        ----------
        array : (n, n) or (P, n, n) bool

        Raises
        ------
        InvalidInstance
            For any other shape or type.
        """
        dense = np.asarray(array)
        if (
            dense.dtype != bool
            or dense.ndim not in (2, 3)
            or dense.shape[-1] != dense.shape[-2]
            or 0 in dense.shape[:-2]
        ):
            raise InvalidInstance(
                f"expected a bool array of shape (n, n) or (P, n, n), got {dense.dtype} {dense.shape}"
            )
        tables = dense if dense.ndim == 3 else dense[None]
        # +1 where an interval starts, -1 where it ends; the padding closes intervals at the borders
        padded = np.zeros((*tables.shape[:2], tables.shape[2] + 2), np.int8)
        padded[..., 1:-1] = tables
        edges = padded[..., 1:] - padded[..., :-1]
        opens = edges == 1
        starts, ends = np.nonzero(opens)[2], np.nonzero(edges == -1)[2]
        return cls(table_indptr(opens.sum(axis=2)), starts.astype(np.int32), ends.astype(np.int32))

    @classmethod
    def from_intervals(cls, tables: Sequence[Iterable[Iterable[tuple[int, int]]]]) -> Mask:
        """Return the mask with the given rows.

        Parameters
        ----------
        tables : sequence of iterables of iterables of (int, int)
            For each table, for each query, its half-open intervals: sorted, disjoint, not touching.

        Raises
        ------
        InvalidInstance
            If there is no table, tables differ in length, or an interval is not a pair of integers in order.
        """
        rows = [[list(row) for row in table] for table in tables]
        if len({len(table) for table in rows}) != 1:
            raise InvalidInstance(
                f"expected tables of one length, got {len(rows)} tables of {[len(table) for table in rows][:5]} rows"
            )
        lengths = np.array([[len(row) for row in table] for table in rows], np.int64)
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
        return cls(table_indptr(lengths), pairs[:, 0], pairs[:, 1])


def _check_arrays(offset: AnyArray, start: AnyArray, end: AnyArray) -> None:
    """Check types and shapes, and that the row pointers run through all intervals."""
    if any(array.size and array.dtype.kind not in "iu" for array in (offset, start, end)):
        raise InvalidInstance(
            f"row_offset, key_start, key_end: expected integers, got {offset.dtype}, {start.dtype}, {end.dtype}"
        )
    if offset.ndim != 2 or offset.shape[0] < 1 or offset.shape[1] < 1 or start.ndim != 1 or start.shape != end.shape:
        raise InvalidInstance(
            "row_offset, key_start, key_end: expected shapes [P, n + 1], [T], [T], "
            f"got {offset.shape}, {start.shape}, {end.shape}"
        )
    pointers = offset.ravel()
    if (
        pointers[0] != 0
        or pointers[-1] != len(start)
        or (pointers[1:] < pointers[:-1]).any()
        or (offset[1:, 0] != offset[:-1, -1]).any()  # each table begins where the one before ends
    ):
        raise InvalidInstance(f"row_offset is not non-decreasing from 0 to T = {len(start)}, table after table")


def _check_intervals(offset: AnyArray, start: AnyArray, end: AnyArray) -> None:
    """Check that intervals are in range, and those of a row sorted, disjoint and not touching."""
    size, pointers = offset.shape[1] - 1, offset.ravel()
    if len(start) and (start.min() < 0 or end.max() > size or (start >= end).any()):
        index = int(((start < 0) | (start >= end) | (end > size)).argmax())
        raise InvalidInstance(
            f"interval out of range: expected 0 <= start < end <= {size}, got [{start[index]}, {end[index]})"
        )
    apart = np.ones(len(start) + 1, bool)  # whether interval t begins after interval t - 1 and a gap
    np.greater(start[1:], end[:-1], out=apart[1:-1])
    apart[pointers] = True  # or begins a row
    if not apart.all():
        raise InvalidInstance("the intervals of a row are not sorted and disjoint with a gap between them")
