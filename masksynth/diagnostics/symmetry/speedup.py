"""Measure how much sooner one training run reaches the last loss of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.symmetry.scores import finite
from masksynth.errors import InvalidInstance


def speed_up(plain: ArrayLike, other: ArrayLike) -> float:
    """Return 1 - (index of the first entry of the other run below the last loss of the plain run) / entries.

    Entries are counted from 0, as the notebook of the published code does: a run whose first entry is below has 1. 0 if
    no entry is below. (There the notebook, whose index of no entry is 0, too, prints 100 %; the paper's table has 0 %.)
    With one entry for each step from 0, before training, it is the share of steps that are saved.

    Parameters
    ----------
    plain, other : (steps,)
        Losses at equal distances of steps.

    Raises
    ------
    InvalidInstance
        If the runs are empty, of different lengths or not finite.

    Examples
    --------
    >>> speed_up([4, 3, 2, 1], [3, 0.9, 0.8, 0.7]), speed_up([4, 3, 2, 1], [4, 3, 2, 1])
    (0.75, 0.0)
    """
    first, second = finite(plain, "the plain run"), finite(other, "the other run")
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise InvalidInstance(
            f"expected two runs of equal length, one loss per step, got shapes {first.shape} and {second.shape}", ""
        )
    below = second < first[-1]
    return float(1 - int(np.argmax(below)) / len(below)) if below.any() else 0.0
