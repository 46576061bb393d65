"""Measure how far positions have collapsed, and how long states of several clusters last."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.mask.typing import Float64Array, Int64Array


class Lasting(NamedTuple):
    """A number of clusters, the first and last recorded time with it, and whether another number follows."""

    clusters: int
    since: float
    until: float
    ended: bool


def lasting(counts: Int64Array, times: Float64Array) -> Lasting | None:
    """Return the state of two clusters or more that lasts longest after the first change: until / since is largest.

    A state is a maximal run of two recorded times or more with one number of clusters. None if there is no such state.

    Parameters
    ----------
    counts : (T,)
        Numbers of clusters.
    times : (T,)
        Ascending.

    Examples
    --------
    >>> lasting(np.array([9, 5, 3, 3, 3, 1]), np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0]))
    Lasting(clusters=3, since=2.0, until=8.0, ended=True)
    >>> lasting(np.array([9, 9, 1]), np.array([0.0, 1.0, 2.0])) is None
    True
    """
    first = np.flatnonzero(np.diff(counts) != 0) + 1
    last = np.append(first[1:], len(counts))[: len(first)] - 1
    several = (counts[first] > 1) & (last > first)
    first, last = first[several], last[several]
    if not len(first):
        return None
    best = int((times[last] / times[first]).argmax())
    since, until = int(first[best]), int(last[best])
    return Lasting(int(counts[since]), float(times[since]), float(times[until]), until + 1 < len(counts))


def similarity(x: Float64Array) -> Float64Array:
    """Return the mean inner product of two different positions, (...), for unit vectors (..., n, d).

    It is (|sum of x|^2 - n) / (n (n - 1)), and 1 for a single position.

    Examples
    --------
    >>> similarity(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).round(6).tolist()
    0.333333
    """
    n = x.shape[-2]
    if n == 1:
        return np.ones(x.shape[:-2])
    total = x.sum(axis=-2)
    return np.asarray((np.einsum("...i,...i->...", total, total) - n) / (n * (n - 1)), np.float64)
