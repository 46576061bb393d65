"""Sperner masks: leave-one-out at depth two, by hubs whose sets tell any two tokens apart both ways."""

from __future__ import annotations

from itertools import combinations, islice
from math import comb

import numpy as np

from masksynth.mask.typing import BoolArray


def hubs_needed(n: int) -> int:
    """Return s(n), the least h with C(h, floor(h / 2)) >= n.

    Examples
    --------
    >>> [hubs_needed(n) for n in (1, 2, 3, 4, 6, 7, 1024)]
    [0, 2, 3, 4, 4, 5, 13]
    """
    hubs = 0
    while comb(hubs, hubs // 2) < n:
        hubs += 1
    return hubs


def hub_members(n: int, size: int | None = None) -> BoolArray:
    """Return (hubs, n): which tokens each hub holds; token i is in the hubs of the i-th set of ``size`` hubs.

    Parameters
    ----------
    n : int
    size : int, optional
        Number of hubs that hold a token; floor(h / 2) by default.
    """
    hubs = hubs_needed(n)
    words = islice(combinations(range(hubs), hubs // 2 if size is None else size), n)
    members = np.zeros((hubs, n), bool)
    for token, word in enumerate(words):
        members[list(word), token] = True
    return members
