"""Classes: positions that all see each other, joined by cycles through one of them.

A *flower* is a set of directed cycles, its petals, that share one member, the representative. If a petal has p other members, each of
them reaches the representative within p hops and is reached from it within p. Members of one petal of p reach each other within p hops,
members of petals of p and p' within p + p'. So L layers need p + p' <= L for any two petals: one of ceil(L / 2) and the others of
floor(L / 2), or a single cycle of L + 1. A class of m members with equal petals of p costs (m - 1)(p + 1) / p edges, rounded up.
"""

from __future__ import annotations

import numpy as np

from masksynth.mask.csr import expand_ranges
from masksynth.mask.typing import Int64Array
from masksynth.sparse.constructions.chain_decomposition import Chains
from masksynth.sparse.constructions.shared_hubs import Edges


def class_edges(chains: Chains, slots: Int64Array, petal: int | None, longest: int | Int64Array | None) -> Edges:
    """One flower for each class in ``slots``: petals of ``petal`` other members, the first of ``longest``; None: a single cycle.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.sparse.constructions.chain_decomposition import chains_of
    >>> chains = chains_of(Mask.from_dense(np.ones((4, 4), bool)))
    >>> [sorted(zip(*(part.tolist() for part in class_edges(chains, np.array([0]), petal, petal)))) for petal in (1, None)]
    [[(0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0)], [(0, 1), (1, 2), (2, 3), (3, 0)]]
    """
    rest = chains.offset[slots + 1] - chains.offset[slots] - 1
    owner, number = expand_ranges(np.zeros_like(rest), rest)
    at = chains.offset[slots][owner] + 1 + number
    if petal is None or longest is None:
        opens, closes = number == 0, number == rest[owner] - 1
    else:
        later = number - (longest if isinstance(longest, int) else longest[owner])
        opens = np.where(later < 0, number == 0, later % petal == 0)
        closes = (number == rest[owner] - 1) | np.where(later < 0, later == -1, later % petal == petal - 1)
    member, center = chains.member[at], chains.first[slots][owner]
    following = chains.member[np.minimum(at + 1, len(chains.member) - 1)]
    return (
        np.concatenate([center[opens], member]),
        np.concatenate([member[opens], np.where(closes, center, following)]),
    )
