"""Decide which starts lie in an open hemisphere, so that positions with one root gather (docs/clustering.md, C)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masksynth.mask.typing import BoolArray, Float64Array

MOST = 500_000
"""Maximum number of coordinates of all starts together for which linear programs are solved."""
LEAST = 1e-9
"""Products, singular values, and what a gap has beyond pi, are positive regardless of rounding from this on."""


def in_hemisphere(points: Float64Array) -> bool:
    """Return whether some u has <u, x> > 0 for each of (n, d) unit vectors.

    Decided by gaps on the circle, and by a linear program elsewhere.

    Examples
    --------
    >>> in_hemisphere(np.array([[1.0, 0.0], [0.0, 1.0]]))
    True
    >>> in_hemisphere(np.array([[1.0, 0.0], [-0.6, 0.8], [-0.6, -0.8]]))
    False
    """
    if points.shape[1] == 2:
        turn = np.sort(np.arctan2(points[:, 1], points[:, 0]))
        return bool(np.diff(turn, append=turn[0] + 2 * np.pi).max() > np.pi + LEAST)
    return _feasible(points)


def _feasible(points: Float64Array) -> bool:
    """Maximise the least product of a u of the unit cube with a point; return True only if that u proves it."""
    from scipy.optimize import linprog

    n, dim = points.shape
    goal = np.append(np.zeros(dim), -1.0)
    bounds = [(-1, 1)] * dim + [(None, None)]
    done = linprog(goal, A_ub=np.column_stack([-points, np.ones(n)]), b_ub=np.zeros(n), bounds=bounds, method="highs")
    return done.x is not None and bool((points @ done.x[:dim]).min() > LEAST)


def affordable(seeds: int, size: int, dim: int) -> bool:
    """Return whether it is cheap to decide for all starts if that many of their positions lie in an open hemisphere.

    Examples
    --------
    >>> affordable(5000, 1000, 2), affordable(5000, 1000, 3), affordable(5000, 3, 3)
    (True, False, True)
    """
    return size <= dim or dim == 2 or seeds * size * dim <= MOST


def starts_in_hemispheres(start: Float64Array, down: NDArray[np.intp]) -> BoolArray:
    """Return which starts (seeds, n, d) have the positions ``down`` in an open hemisphere.

    Linearly independent points always are: some u has the same product with each.
    """
    result = np.zeros(len(start), bool)
    if len(down) <= start.shape[2]:
        result = np.linalg.matrix_rank(start[:, down], tol=LEAST) == len(down)
    for seed in np.flatnonzero(~result):
        result[seed] = in_hemisphere(start[seed, down])
    return result
