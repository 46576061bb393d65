"""Edges inside classes (strongly connected components): directed cycles through one representative.

A *flower* is a set of directed cycles, its petals, that share one member, the representative. If a petal has p other
members, each of them reaches the representative within p hops and is reached from it within p. Members of one petal of
p reach each other within p hops, members of petals of p and p' within p + p'. So L layers need p + p' <= L for any two
petals: one of ceil(L / 2) and the others of floor(L / 2), or a single cycle of L + 1. A class of m members with equal
petals of p costs (m - 1)(p + 1) / p edges, rounded up.
"""

from __future__ import annotations

import numpy as np

from masksynth.mask.csr import expand_ranges
from masksynth.mask.typing import Int64Array
from masksynth.sparse.constructions.chain_decomposition import Chains
from masksynth.sparse.constructions.shared_hubs import Edges


def class_edges(chains: Chains, slots: Int64Array, petal: int | None, longest: int | Int64Array | None) -> Edges:
    """Return the edges (query, key) of one flower for each class in ``slots``.

    Parameters
    ----------
    chains : Chains
    slots : (k,) int64
        Slots of the classes.
    petal : int or None
        Number of other members in each petal; None: a single cycle.
    longest : int or (k,) int64 or None
        Number of other members in the first petal of each class; None: a single cycle.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.sparse.constructions.chain_decomposition import decompose_chains
    >>> chains = decompose_chains(Mask.from_dense(np.ones((4, 4), bool)))
    >>> sorted(zip(*(ends.tolist() for ends in class_edges(chains, np.array([0]), 1, 1))))
    [(0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0)]
    >>> sorted(zip(*(ends.tolist() for ends in class_edges(chains, np.array([0]), None, None))))
    [(0, 1), (1, 2), (2, 3), (3, 0)]
    """
    count = chains.offset[slots + 1] - chains.offset[slots] - 1  # members other than the representative
    row, number = expand_ranges(np.zeros_like(count), count)
    index = chains.offset[slots][row] + 1 + number
    if petal is None or longest is None:
        opens, closes = number == 0, number == count[row] - 1
    else:
        later = number - (longest if isinstance(longest, int) else longest[row])  # negative in the first petal
        opens = np.where(later < 0, number == 0, later % petal == 0)
        closes = (number == count[row] - 1) | np.where(later < 0, later == -1, later % petal == petal - 1)
    member, center = chains.member[index], chains.first[slots][row]
    following = chains.member[np.minimum(index + 1, len(chains.member) - 1)]
    return (
        np.concatenate([center[opens], member]),
        np.concatenate([member[opens], np.where(closes, center, following)]),
    )
