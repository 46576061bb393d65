"""Which starts lie in an open hemisphere, the condition under which positions with one root gather (docs/clustering.md, C)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import MasksynthError

Floats = NDArray[np.float64]
MOST = 200_000
"""Most points of all starts together for which linear programs are solved."""


def in_hemisphere(points: Floats) -> bool:
    """Whether some u has <u, x> > 0 for each of (n, d) unit vectors: on the circle by gaps, elsewhere by a linear program.

    Examples
    --------
    >>> in_hemisphere(np.array([[1.0, 0.0], [0.0, 1.0]])), in_hemisphere(np.array([[1.0, 0.0], [-0.6, 0.8], [-0.6, -0.8]]))
    (True, False)
    """
    if points.shape[1] == 2:
        turn = np.sort(np.arctan2(points[:, 1], points[:, 0]))
        return bool(np.diff(turn, append=turn[0] + 2 * np.pi).max() > np.pi)
    return _feasible(points)


def _feasible(points: Floats) -> bool:
    """<u, x> >= 1 for all x: a u with <u, x> > 0, made longer."""
    from scipy.optimize import linprog

    n, dim = points.shape
    done = linprog(np.zeros(dim), A_ub=-points, b_ub=-np.ones(n), bounds=(None, None), method="highs")
    if done.status not in (0, 2):
        raise MasksynthError(f"the linear program of a hemisphere ended with: {done.message}")
    return bool(done.status == 0)


def starts_in_hemispheres(start: Floats, down: NDArray[np.intp]) -> int | None:
    """Of (seeds, n, d) random starts, how many have the positions ``down`` in an open hemisphere; None where that is too much to compute.

    Up to d independent points always are, with probability 1.
    """
    seeds, dim = int(start.shape[0]), int(start.shape[2])
    if len(down) <= dim:
        return seeds
    if dim > 2 and seeds * len(down) > MOST:
        return None
    return sum(int(in_hemisphere(points)) for points in start[:, down])
