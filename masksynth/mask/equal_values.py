"""Equal values of arrays: distinct ones, where runs of equal rows start, and integer codes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

from masksynth.mask.typing import AnyArray, BoolArray, Int64Array, Scalar


def distinct(values: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return the distinct values of a 1-D array in ascending order, by sorting.

    ``np.unique`` hashes since numpy 2.3, which takes a hundred times as long for 10⁵ different integers.

    Parameters
    ----------
    values : (n,) array

    Returns
    -------
    (distinct values,) array

    Examples
    --------
    >>> distinct(np.array([5, 2, 5])).tolist(), distinct(np.zeros(0, np.int64)).tolist()
    ([2, 5], [])
    """
    ordered = np.sort(values)
    is_first = np.ones(len(ordered), bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_first]


def run_starts(*columns: AnyArray) -> BoolArray:
    """Return for each row whether it differs from the row before in some column; the first row does.

    Parameters
    ----------
    *columns : (n,) arrays
        At least one.

    Returns
    -------
    (n,) bool

    Examples
    --------
    >>> run_starts(np.array([3, 3, 3, 5]), np.array([0, 0, 1, 1])).tolist()
    [True, False, True, True]
    """
    starts = np.zeros(len(columns[0]), bool)
    starts[:1] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return starts


def factorize(values: Iterable[Hashable]) -> list[int]:
    """Return integer codes of the values, in order of first appearance.

    Examples
    --------
    >>> factorize("abca")
    [0, 1, 2, 0]
    """
    codes: dict[Hashable, int] = {}
    return [codes.setdefault(value, len(codes)) for value in values]


def factorize_rows(*columns: AnyArray) -> Int64Array:
    """Return integer codes of the rows of a table, in order of first appearance.

    Parameters
    ----------
    *columns : (n,) arrays
        At least one; rows are equal where all columns are.

    Returns
    -------
    (n,) int64

    Examples
    --------
    >>> factorize_rows(np.array([7, 7, 5, 7]), np.array([1, 2, 1, 1])).tolist()
    [0, 1, 2, 0]
    """
    order = np.lexsort(columns)  # stable, so that the first row of each run of equal rows is the first to appear
    starts = run_starts(*(column[order] for column in columns))
    first = order[starts]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))  # runs renumbered by first appearance
    codes = np.empty(len(order), np.int64)
    codes[order] = rank[np.cumsum(starts) - 1]
    return codes
