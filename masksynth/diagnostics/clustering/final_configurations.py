"""Decide whether runs end in the configuration that V predicts (arXiv 2411.04990, table 1)."""

from __future__ import annotations

import numpy as np

from masksynth.diagnostics.clustering.centres import clusters
from masksynth.diagnostics.clustering.value_spectrum import CLOUD, POINT, POINT_IN_L, TWO_CLOUDS, TWO_POINTS
from masksynth.mask.typing import BoolArray, Float64Array


def reached(
    configuration: str, x: Float64Array, far: Float64Array, space: Float64Array | None, angle: float
) -> BoolArray:
    """Return which runs end in a configuration, (s,).

    One point: all tokens in one cluster, within ``angle`` of x_1(0), or of L. Two points: all within ``angle`` of xi or
    -xi. A cloud: no collapse, that is more than two clusters (or as many as tokens), no farther from L on average than
    at the start; two clouds: the same on both sides of the plane orthogonal to xi.

    Parameters
    ----------
    configuration : str
        One of ``CONFIGURATIONS``; none is reached for another.
    x : (s, 2, n, d)
        Unit vectors at the start and at the end.
    far : (s, 2, n)
        Angles between tokens and L.
    space : (d, k) or None
        Basis of L.
    angle : float
        What joins two tokens to a cluster.

    Examples
    --------
    >>> x = np.array([[[[1.0, 0.0], [0.6, 0.8]], [[1.0, 0.0], [-1.0, 0.0]]]])
    >>> far = np.arccos(np.abs(x[..., 0]))
    >>> [reached(each, x, far, np.array([[1.0], [0.0]]), 0.04).item() for each in (POINT, TWO_POINTS, TWO_CLOUDS)]
    [False, True, True]
    """
    end = x[:, 1]
    count = clusters(end, angle)
    at_leading = (far[:, 1] <= angle).all(axis=1)
    apart = (count >= min(3, end.shape[1])) & (far[:, 1].mean(axis=1) <= far[:, 0].mean(axis=1))
    if configuration == POINT:
        return np.asarray((np.einsum("snd,sd->sn", end, x[:, 0, 0]) >= np.cos(angle)).all(axis=1))
    if configuration == POINT_IN_L:
        return np.asarray(at_leading & (count == 1))
    if configuration == TWO_POINTS:
        return np.asarray(at_leading)
    if configuration == CLOUD:
        return np.asarray(apart)
    if configuration == TWO_CLOUDS and space is not None:
        side = end @ space[:, 0]
        return np.asarray(apart & (side.min(axis=1) < 0) & (side.max(axis=1) > 0))
    return np.zeros(len(x), bool)
