"""Measure how much sooner one training run reaches the last loss of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.symmetry.scores import finite
from masksynth.errors import InvalidInstance


def speed_up(plain: ArrayLike, other: ArrayLike) -> float:
    """Return 1 - (first step at which the other run is below the last loss of the plain run) / steps; 0 if never.

    Steps are counted from 1. (A notebook of the published code takes the index of the first step that is below, which
    is 0 where there is none, and so reports 100 % for a run that never gets there; the paper's table has 0 %.)

    Parameters
    ----------
    plain, other : (steps,)
        Losses after each step.

    Raises
    ------
    InvalidInstance
        If the runs are empty, of different lengths or not finite.

    Examples
    --------
    >>> speed_up([4, 3, 2, 1], [3, 0.9, 0.8, 0.7]), speed_up([4, 3, 2, 1], [4, 3, 2, 1])
    (0.5, 0.0)
    """
    first, second = finite(plain, "the plain run"), finite(other, "the other run")
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise InvalidInstance(
            f"expected two runs of equal length, one loss per step, got shapes {first.shape} and {second.shape}", ""
        )
    below = second < first[-1]
    return float(1 - (int(np.argmax(below)) + 1) / len(below)) if below.any() else 0.0
