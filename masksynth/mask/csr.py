"""Ragged arrays in CSR form: row i holds the entries ``indptr[i] <= e < indptr[i + 1]`` of a flat array.

Every function is vectorised over rows; rows may be empty, and there may be none.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masksynth.mask.typing import AnyArray, Int64Array, Scalar

LONG_SLICE, LONG_RANGE = 90, 160
"""Mean lengths from which copying slices is faster than gathering their entries, and than computing those of ranges."""
KEPT = 1 << 16
"""Number of integers that are kept to compute ranges; more would not stay in a core's cache."""
LARGE = 1 << 24
"""Bytes from which numpy's own memory, in huge pages, is faster than that of a bytearray."""


def indptr(lengths: ArrayLike) -> Int64Array:
    """Return the row pointers of rows of the given lengths: 0 and the prefix sums.

    Parameters
    ----------
    lengths : (rows,) integers
        Number of entries of each row.

    Returns
    -------
    (rows + 1,) int64

    Examples
    --------
    >>> indptr([2, 0, 3]).tolist()
    [0, 2, 2, 5]
    """
    return prefix_sums(np.asarray(lengths, np.int64))


def prefix_sums(values: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return 0 and the running sums, in the type of the values; unsigned sums wrap around.

    Parameters
    ----------
    values : (n,) array
        Numbers of at least 64 bits, since sums of narrower ones overflow early.

    Returns
    -------
    (n + 1,) array

    Examples
    --------
    >>> prefix_sums(np.array([1.5, 2.0])).tolist()
    [0.0, 1.5, 3.5]
    """
    sums = np.zeros(len(values) + 1, values.dtype)
    np.cumsum(values, out=sums[1:])
    return sums


def table_indptr(lengths: Int64Array) -> Int64Array:
    """Return the row pointers of several tables whose entries lie one table after another in one flat array.

    Parameters
    ----------
    lengths : (tables, rows) integers
        Number of entries of each row of each table.

    Returns
    -------
    (tables, rows + 1,) int64
        Each table begins where the one before ends.

    Examples
    --------
    >>> table_indptr(np.array([[1, 2], [0, 3]])).tolist()
    [[0, 1, 3], [3, 3, 6]]
    """
    pointers = np.zeros((lengths.shape[0], lengths.shape[1] + 1), np.int64)
    pointers[:, 1:] = np.cumsum(lengths).reshape(lengths.shape)
    pointers[1:, 0] = pointers[:-1, -1]
    return pointers


def row_of_entry(indptr: Int64Array) -> Int64Array:
    """Return the row of each entry.

    Parameters
    ----------
    indptr : (rows + 1,) integers
        Row pointers; entries are numbered from ``indptr[0]``.

    Returns
    -------
    (entries,) int64

    Examples
    --------
    >>> row_of_entry(np.array([0, 2, 2, 5])).tolist()
    [0, 0, 2, 2, 2]
    """
    return repeat_index(np.diff(indptr))


def repeat_index(lengths: ArrayLike) -> Int64Array:
    """Return each row index i, ``lengths[i]`` times: the row of each entry, from the lengths of the rows.

    Parameters
    ----------
    lengths : (rows,) integers
        Number of entries of each row.

    Returns
    -------
    (entries,) int64

    Examples
    --------
    >>> repeat_index([2, 0, 3]).tolist()
    [0, 0, 2, 2, 2]
    """
    counts = np.asarray(lengths)
    return np.repeat(np.arange(len(counts), dtype=np.int64), counts)


def index_in_row(lengths: ArrayLike) -> Int64Array:
    """Return the index of each entry within its row.

    Parameters
    ----------
    lengths : (rows,) integers
        Number of entries of each row.

    Returns
    -------
    (entries,) int64

    Examples
    --------
    >>> index_in_row([2, 0, 3]).tolist()
    [0, 1, 0, 1, 2]
    """
    return repeat_ranges(np.zeros(len(np.asarray(lengths)), np.int64), lengths)


def repeat_ranges(starts: ArrayLike, lengths: ArrayLike) -> Int64Array:
    """Return the integers ``starts[i], ..., starts[i] + lengths[i] - 1`` of every i, one range after another.

    Parameters
    ----------
    starts : (ranges,) integers
        First integer of each range.
    lengths : (ranges,) integers
        Number of integers in each range, 0 or more.

    Returns
    -------
    (sum of lengths,) int64

    Examples
    --------
    >>> repeat_ranges([5, 0, 2], [2, 0, 3]).tolist()
    [5, 6, 2, 3, 4]
    """
    first, count = np.asarray(starts, np.int64), np.asarray(lengths, np.int64)
    before = np.cumsum(count)
    total = int(before[-1]) if len(before) else 0
    if total >= LONG_RANGE * max(len(count), 1) and int(first.min()) >= 0:
        last = int((first + count).max())
        if last <= total:  # few long ranges are copied from one
            return concatenate_slices(np.arange(last, dtype=np.int64), first, count)
    before -= count  # index in the result at which each range begins
    ranges: Int64Array = np.repeat(first - before, count)
    ranges += _integers(total.bit_length())[:total] if total < KEPT else np.arange(total, dtype=np.int64)
    return ranges


@cache
def _integers(bits: int) -> Int64Array:
    """Return the integers below 2^bits, which are computed once."""
    integers = np.arange(1 << bits, dtype=np.int64)
    integers.flags.writeable = False
    return integers


def expand_ranges(starts: ArrayLike, ends: ArrayLike) -> tuple[Int64Array, Int64Array]:
    """Return (index of the range, value) for each value of each range ``starts[i] <= value < ends[i]``.

    Parameters
    ----------
    starts, ends : (ranges,) integers
        A range with ``ends[i] <= starts[i]`` is empty.

    Examples
    --------
    >>> [array.tolist() for array in expand_ranges([3, 0, 7], [5, 0, 8])]
    [[0, 0, 2], [3, 4, 7]]
    """
    first = np.asarray(starts, np.int64)
    lengths = np.maximum(np.asarray(ends, np.int64) - first, 0)
    return repeat_index(lengths), repeat_ranges(first, lengths)


def concatenate_slices(array: NDArray[Scalar], starts: ArrayLike, lengths: ArrayLike) -> NDArray[Scalar]:
    """Return ``array[starts[i] : starts[i] + lengths[i]]`` of every i, one slice after another.

    Equals ``array[repeat_ranges(starts, lengths)]``, and is computed so where slices are short; copying is faster where
    they are long.

    Parameters
    ----------
    array : (n, ...) array
    starts, lengths : (slices,) integers
        First index and length of each slice.

    Examples
    --------
    >>> concatenate_slices(np.array([4, 5, 6, 7]), [2, 0], [2, 1]).tolist()
    [6, 7, 4]
    """
    first, count = np.asarray(starts, np.int64), np.asarray(lengths, np.int64)
    if not len(count) or int(count.sum()) < LONG_SLICE * len(count):
        return array.take(repeat_ranges(first, count), axis=0)
    size = array.nbytes // len(array)
    if int(count.sum()) * size > LARGE:
        stop = (first + count).tolist()
        return np.concatenate([array[a:b] for a, b in zip(first.tolist(), stop, strict=True)])
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data  # slices of bytes are joined fastest
    begin, end = (size * first).tolist(), (size * (first + count)).tolist()
    joined = bytearray().join([data[a:b] for a, b in zip(begin, end, strict=True)])
    return np.frombuffer(joined, array.dtype).reshape(-1, *array.shape[1:])


def segment_sums(values: AnyArray, indptr: Int64Array) -> AnyArray:
    """Return the sum of the entries of each row; 0 for an empty row.

    Parameters
    ----------
    values : (entries,) array
        Booleans and signed integers are summed as int64, unsigned ones as uint64 (modulo 2^64), floats in their own
        type.
    indptr : (rows + 1,) integers
        Row pointers, from 0 to at most ``entries``.

    Returns
    -------
    (rows,) array

    Examples
    --------
    >>> segment_sums(np.array([1, 2, 3]), np.array([0, 2, 2, 3])).tolist()
    [3, 0, 3]
    >>> segment_sums(np.array([True, True]), np.array([0, 2])).tolist()
    [2]
    """
    wide = {"b": np.int64, "i": np.int64, "u": np.uint64}.get(values.dtype.kind, values.dtype)
    sums = np.zeros(len(indptr) - 1, wide)
    filled = np.flatnonzero(np.diff(indptr) > 0)
    if len(filled):  # reduceat would give an empty row the entry that follows it, so only rows with entries take part
        sums[filled] = np.add.reduceat(values[: int(indptr[-1])].astype(wide, copy=False), np.asarray(indptr)[filled])
    return sums
