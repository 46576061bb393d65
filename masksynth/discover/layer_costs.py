"""Lower bounds for a cost that counts every layer: theorems 4, 5 and 6 of ``docs/discovery.md``."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from masksynth.contracts import Weights
from masksynth.mask.typing import Float64Array, Int64Array


@dataclass(frozen=True)
class Work:
    """What every structure for some contracts has to do.

    Parameters
    ----------
    hosts : int
        B, targets that must read, and are predicted at different positions.
    at_tokens : int
        How many of these may be at a token.
    reads : int
        S, the elements that these targets need, one less for each that may be at a token.
    elements : int
        R, the elements that targets with a blank need.
    edges : int
        A lower bound for the number of edges.
    can_update : bool
        Whether some target may be at a token, so that the token may be updated in the last layer in which it is read.
    """

    hosts: int
    at_tokens: int
    reads: int
    elements: int
    edges: int
    can_update: bool = False


def charges_of_layers(work: Work, weights: Weights) -> float:
    """Return a lower bound for the cost with a mask per layer: without a further update, all reads are of raw tokens.

    Examples
    --------
    >>> charges_of_layers(Work(2, 0, 2, 2, 2), Weights(24, 4, 1))
    58
    """
    few = max(work.reads, work.edges)
    if not work.can_update:
        value = weights.position * work.hosts + weights.kv * work.elements
        return value + min(weights.pair * few, weights.position + weights.pair * work.edges)
    token = min(weights.kv, weights.position)
    alone = weights.position * work.hosts + token * max(work.elements - work.at_tokens, 0) + weights.pair * few
    more = weights.position * (work.hosts + 1) + token * max(work.elements - work.at_tokens - 1, 0)
    return min(alone, more + weights.pair * work.edges)


def charges_of_one_mask(work: Work, blanks: int, weights: Weights, are_apart: bool) -> float:
    """Return a lower bound for the cost of each layer with one mask.

    Parameters
    ----------
    work : Work
    blanks : int
        Number of different blanks that must read.
    weights : Weights
    are_apart : bool
        Whether these are all targets, and none of them may see what another one needs: if nothing else is updated, all
        their reads are of raw tokens.
    """
    token = min(weights.kv, weights.position)
    value = weights.position * blanks + token * work.elements + weights.pair * work.edges
    if not are_apart:
        return value
    alone = weights.position * blanks + weights.kv * work.elements + weights.pair * max(work.reads, work.edges)
    more = weights.position * (blanks + 1) + token * max(work.elements - 1, 0) + weights.pair * work.edges
    return max(value, min(alone, more))


def leave_one_out_at_tokens(n: int, weights: Weights) -> float:
    """Return a lower bound for the cost of leave-one-out of n >= 3 tokens with a mask per layer and any placement.

    An element in no state that has read before the last layer is read raw by all targets but that of its own and those
    at its tokens; each other one costs an update, or keys and values, before the last layer.

    Examples
    --------
    Raw keys only, each target at the token before it, are optimal at 1,000 tokens:

    >>> round(leave_one_out_at_tokens(1000, Weights()), 3) == round(1000 * 24 + 0.004 * 1000 * 998, 3)
    True
    """
    late = np.arange(n)  # less than n: there is a state that has read, an update
    least = np.maximum(late * (n - 1) - n, 3 * n - 6)
    token = min(weights.kv, weights.position)
    more = weights.position + token * (n - late - 1) + weights.pair * least
    return weights.position * n + min(weights.pair * n * (n - 2), float(more.min()))


def leave_one_out_by_layers(n: int, weights: Weights) -> float:
    """Return a lower bound for the cost of leave-one-out of n >= 3 tokens with blank queries and a mask per layer.

    With x updates beyond one for each query, d tokens that are only read raw in the last layer, and w that are paid
    twice, the cost is at least n (position + kv) + x position + w kv + pair edges, where

    - n - d - w <= x + C(x, floor(x / 2)): the other tokens are told apart by x states (Sperner);
    - edges >= n (n - 1) - x floor((n - 1)^2 / 4): a state of s elements saves s - 1 reads of at most n - s queries;
    - edges >= d (n - 1) + 4 (n - d) - 6 + d, for n - d >= 2, and 4 n - 6: gate elimination;
    - edges >= d (n - 1) + the reads of states that tell the tokens apart (Bollobas) + n - x, for n - d >= 2.

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
        all_saved = n * (n - 1) - updates * ((n - 1) ** 2 // 4)
        least = np.maximum(np.maximum(raw, all_saved), 4 * n - 6)
        twice = np.maximum(mixed - updates - comb(updates, updates // 2), 0)
        if weights.kv >= weights.pair * (updates + 1):  # otherwise more tokens that are paid twice may be cheaper
            apart = np.maximum(mixed - twice - updates, 0)
            reads = late * (n - 1) + reads_apart(apart, updates) + max(n - updates, 0)
            least = np.maximum(least, np.where(mixed >= 2, reads, 0))
        value = weights.position * updates + weights.kv * twice + weights.pair * least
        if not updates:  # without a state to read, every token is read raw in the last layer
            value = value[n:]
        best = min(best, float(value.min()))
        if (
            twice.max() == 0
            and all_saved <= 4 * n - 6
            and weights.position * updates + weights.pair * (4 * n - 6) >= best
        ):
            break  # more updates cost more than the best so far
    return n * (weights.position + weights.kv) + best


def reads_apart(tokens: Int64Array, states: int) -> Int64Array:
    """Return the least number of reads by which m queries tell m tokens apart with h states.

    If token i is in a_i states and its query reads b_i others, which hold all other tokens, then the sum of 1 / C(a_i +
    b_i, b_i) is at most 1 (Bollobas, 1965). As a_i + b_i <= h, so is that of f(b_i), f(b) = 1 / C(h, min(b, h / 2)),
    which is convex: the mean of b_i is at least f^-1(1 / m) on the polygon through its values.

    Parameters
    ----------
    tokens : (..) int64
        Numbers of tokens, m <= C(h, floor(h / 2)).
    states : int
        h.

    Examples
    --------
    >>> reads_apart(np.array([0, 1, 4, 210, 252]), 10).tolist()
    [0, 0, 4, 840, 1260]
    """
    reads = np.arange(states // 2 + 1)
    share = np.array([1 / comb(states, b) for b in reads.tolist()])
    mean: Float64Array = np.interp(1 / np.maximum(tokens, 1), share[::-1], reads[::-1].astype(float))
    return np.ceil(tokens * mean - 1e-6).astype(np.int64)
