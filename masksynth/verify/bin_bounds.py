"""Lower bounds on the number of bins that weights need, beyond their sum."""

from __future__ import annotations

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.verify.ragged import prefix_sums

SHARES = 16
"""Most weights of a bin that are counted by number."""
STEPS = 64
"""Most thresholds of dual feasible functions that are tried."""


def sum_feasible(amount: Int64Array, copies: Int64Array, room: int) -> float:
    """Return the greatest sum of a dual feasible function over weights that fill bins of ``room``.

    Parameters
    ----------
    amount, copies : (m,) int64
        Each weight, and how often it occurs.
    room : int

    Examples
    --------
    Three weights of 4 do not fit into one bin of 11, though their sum needs only 12 / 11.

    >>> sum_feasible(np.array([4, 4, 4]), np.array([1, 1, 1]), 11)
    1.5
    """
    best = 0.0
    for step in np.unique(amount[(amount > 0) & (2 * amount <= room)])[-STEPS:].tolist():
        counted = np.where(amount > room - step, room, np.where(amount < step, 0, amount))
        best = max(best, float((counted * copies).sum()) / room)
    for parts in range(1, SHARES + 1):
        # at most `parts` weights above room / (parts + 1) fit into a bin
        scaled = (parts + 1) * amount
        counted = np.where(scaled % room == 0, amount / room, scaled // room / parts)
        best = max(best, float((counted * copies).sum()))
    return best


def count_large(amount: Int64Array, room: int) -> int:
    """Return a lower bound on the number of bins of ``room`` that large weights need, by counting.

    At most k weights above room / (k + 1) fit into a bin. If there are n of them in B bins, n - (k - 1) B bins or more
    have k, and the least of them fit there.

    Parameters
    ----------
    amount : (m,) int64
    room : int

    Examples
    --------
    Two bins would have two and three weights, but no three fit.

    >>> count_large(np.array([4, 4, 4, 4, 4]), 11), count_large(np.array([5, 5, 5, 6]), 15)
    (3, 2)
    """
    best = 0
    for most in range(1, SHARES + 1):
        large = np.sort(amount[(most + 1) * amount > room])
        least = prefix_sums(large)  # sums of the least 0, 1, ... of them
        bins = -(-len(large) // most)
        while (full := len(large) - (most - 1) * bins) > 0 and (
            most * full > len(large) or least[most * full] > full * room
        ):
            bins += 1
        best = max(best, bins)
    return best
