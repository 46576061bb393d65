"""A lower bound for the cost of leave-one-out when every layer is charged (theorem 5 of ``docs/discovery.md``)."""

from __future__ import annotations

from math import comb

import numpy as np

from masksynth.contracts import Weights


def leave_one_out_by_layers(n: int, weights: Weights) -> float:
    """Return a lower bound for the cost of leave-one-out of n >= 3 tokens with blank queries and a mask per layer.

    With x updates beyond one for each query, d tokens that are only read raw in the last layer, and w that are charged
    twice, the cost is at least n (position + kv) + x position + w kv + pair edges, where

    - n - d - w <= x + C(x, floor(x / 2)): the other tokens are told apart by x states (Sperner);
    - edges >= n (n - 1) - x floor((n - 1)^2 / 4): a state of s elements saves s - 1 reads of at most n - s queries;
    - edges >= d (n - 1) + 4 (n - d) - 6 + d, for n - d >= 2, and 4 n - 6.

    The bound is the least over x, d and w.

    Parameters
    ----------
    n : int
    weights : Weights

    Examples
    --------
    Raw keys only are optimal at 200 tokens:

    >>> round(leave_one_out_by_layers(200, Weights()), 3) == round(200 * (24 + 4) + 0.004 * 200 * 199, 3)
    True
    """
    late = np.arange(n + 1)
    mixed = n - late
    raw = late * (n - 1) + np.where(mixed >= 1, late, 0) + np.where(mixed >= 2, np.maximum(4 * mixed - 6, 0), 0)
    best = np.inf
    for updates in range(n * n):
        least = np.maximum(np.maximum(raw, n * (n - 1) - updates * ((n - 1) ** 2 // 4)), 4 * n - 6)
        twice = np.maximum(mixed - updates - comb(updates, updates // 2), 0)
        value = weights.position * updates + weights.kv * twice + weights.pair * least
        if not updates:  # without a state to read, every token is read raw in the last layer
            value = value[n:]
        best = min(best, float(value.min()))
        if twice.max() == 0 and n * (n - 1) - updates * ((n - 1) ** 2 // 4) <= 4 * n - 6:
            break  # more updates allow nothing more
    return n * (weights.position + weights.kv) + best
