"""The particle system written out from its definition, one pair at a time."""

from __future__ import annotations

from math import acos, exp

import numpy as np


def velocity(allowed, x, beta, query=None, key=None, value=None):
    """x' for one start (n, d)."""
    n, d = x.shape
    eye = np.eye(d)
    query, key, value = (eye if given is None else given for given in (query, key, value))
    found = np.zeros_like(x)
    for k in range(n):
        total, pull = 0.0, np.zeros(d)
        for j in range(n):
            if allowed[k, j]:
                weight = exp(beta * float((query @ x[k]) @ (key @ x[j])))
                total, pull = total + weight, pull + weight * (value @ x[j])
        if total:
            pull = pull / total
            found[k] = pull - float(x[k] @ pull) * x[k]
    return found


def angle(x, y):
    return acos(min(1.0, max(-1.0, float(x @ y))))


def centres(x, delta, strong):
    kept = []
    for k in range(len(x)):
        rivals = range(k) if strong else kept
        if all(angle(x[k], x[j]) > delta for j in rivals):
            kept.append(k)
    return kept


def components(x, most):
    """Clusters by following neighbours."""
    left, count = set(range(len(x))), 0
    while left:
        front, count = [left.pop()], count + 1
        while front:
            here = front.pop()
            near = {other for other in left if angle(x[here], x[other]) <= most}
            left -= near
            front += near
    return count


def random_mask(rng, n, share=0.4, causal=True):
    """Any rows, diagonals missing here and there."""
    found = rng.random((n, n)) < share
    return np.tril(found) if causal else found
