"""Sparse masks of any size by construction: few edges through which L layers carry a closed mask, and a proven lower bound.

Work is near-linear in positions, intervals of rows and edges; nothing is N x N. The answer is the best of several schemes; it is not
claimed to be the least. For small instances there are exact engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.mask.csr import expand_ranges
from masksynth.mask.intervals import query_of_interval
from masksynth.mask.typing import Int64Array
from masksynth.posets.adjacency import levels
from masksynth.sparse.constructions.assign_pairs import tracks_of
from masksynth.sparse.constructions.chain_decomposition import MOST, Chains, chains_of
from masksynth.sparse.constructions.class_cycles import class_edges
from masksynth.sparse.constructions.quotient_covers import covers_of
from masksynth.sparse.constructions.shared_hubs import Edges, track_edges
from masksynth.sparse.constructions.size_bounds import lower_bound


@dataclass(frozen=True, eq=False)
class Construction:
    """Edges through which L layers carry exactly a given flow, and how few there can be.

    Parameters
    ----------
    query, key : (M,) int64
        The edges, sorted by query, then key; none on the diagonal.
    bound : int
        A proven lower bound on the number of edges.
    bound_proof : str
        Where the bound comes from, in words.
    scheme : str
        How the edges were chosen, in words.
    """

    query: NDArray[np.int64]
    key: NDArray[np.int64]
    bound: int
    bound_proof: str
    scheme: str

    @property
    def edges(self) -> int:
        """M, the number of edges."""
        return len(self.query)


class _Candidate(NamedTuple):
    edges: Edges
    scheme: str


def construct(mask: Mask, layers: int | None) -> Construction:
    """Few edges A with (A or I)^layers = mask; without ``layers``, the fewest whose closure is the mask.

    Parameters
    ----------
    mask : Mask
        One closed table: reflexive and transitive.
    layers : int or None
        L >= 1; None: any number of layers.

    Raises
    ------
    InvalidInstance
        If the mask is a pattern, or not closed, or ``layers`` is no number of layers.
    Unsupported
        If the edges, or the pairs of a row and a chain, are more than 50 million.

    Examples
    --------
    >>> causal = Mask.from_dense(np.tril(np.ones((7, 7), bool)))
    >>> found = construct(causal, 2)
    >>> found.edges, found.bound, construct(causal, None).edges
    (10, 10, 6)
    >>> print(found.scheme)
    2-layer tracks with guests
    """
    if layers is not None and (type(layers) is not int or layers < 1):
        raise InvalidInstance(
            f"layers={layers!r} is neither None nor an integer from 1", "", "give the number of layers of the model"
        )
    chains = chains_of(mask)
    covers = covers_of(chains)
    bound, proof = lower_bound(chains, covers, layers)
    best = min(_candidates(mask, chains, covers, layers), key=lambda candidate: len(candidate.edges[0]))
    return Construction(*best.edges, bound, proof, best.scheme)


def _candidates(mask: Mask, chains: Chains, covers: Edges, layers: int | None) -> Iterator[_Candidate]:
    if layers == 1:
        yield _Candidate(_all_pairs(mask), "the mask itself")
        return
    alone = _alone(chains, covers)
    if (found := _by_covers(chains, covers, alone, layers)) is not None:
        yield found
        if layers is None or not len(_shared(chains, alone)):
            return  # covers are forced
    assert layers is not None
    for depth in range(max(2, layers - 1), layers + 1):
        yield _with_members(mask.size, chains, alone, depth, layers)
        for petal in range(1, (depth - 1) // 2 + 1) if len(_shared(chains, alone)) else ():
            yield from _by_representatives(chains, alone, depth, petal, layers)


def _sorted(size: int, parts: list[Edges]) -> Edges:
    """All edges, each once, by query and key."""
    code = np.unique(np.concatenate([query * size + key for query, key in parts]))
    return np.divmod(code, max(size, 1))


def _all_pairs(mask: Mask) -> Edges:
    if mask.pairs - mask.size > MOST:
        raise Unsupported(
            f"one layer needs all {mask.pairs - mask.size} pairs as edges, more than {MOST}; give layers=2 or more"
        )
    owner, key = expand_ranges(mask.key_start.astype(np.int64), mask.key_end.astype(np.int64))
    query = query_of_interval(mask)[owner]
    return query[query != key], key[query != key]


def _alone(chains: Chains, covers: Edges) -> NDArray[np.bool_]:
    """Whether each class neither sees nor is seen by another."""
    alone = np.ones(len(chains.chain), bool)
    for ends in covers:
        alone[ends] = False
    return alone


def _shared(chains: Chains, alone: NDArray[np.bool_]) -> Int64Array:
    """The slots of classes with several members that are not alone."""
    return np.flatnonzero((np.diff(chains.offset) > 1) & ~alone)


def _by_covers(chains: Chains, covers: Edges, alone: NDArray[np.bool_], layers: int | None) -> _Candidate | None:
    """The reduction of the quotient, if its longest path leaves enough layers for the classes; with all layers, one cycle per class."""
    upper, lower = covers
    offset = np.append(0, np.cumsum(np.bincount(upper, minlength=len(chains.chain))))
    height = int(levels(offset, lower, _numbers(chains)).max(initial=0)) if layers is not None else 0
    shared = _shared(chains, alone)
    petal = None if layers is None else (layers - height) // 2
    if layers is not None and (height > layers or (len(shared) and not petal)):
        return None
    first = chains.first
    parts = [(first[upper], first[lower]), class_edges(chains, shared, petal, petal), _isolated(chains, alone, layers)]
    return _Candidate(
        _sorted(len(chains.member), parts), "the reduction of the quotient, and cycles through each class"
    )


def _numbers(chains: Chains) -> Int64Array:
    """Slots in an order in which each comes after those it sees."""
    rank = np.empty(len(chains.size), np.int64)
    rank[np.argsort(chains.size, kind="stable")] = np.arange(len(rank))
    return rank


def _isolated(chains: Chains, alone: NDArray[np.bool_], layers: int | None) -> Edges:
    """Flowers of the classes that stand alone; up to L + 1 members in a cycle."""
    classes = np.flatnonzero(alone & (np.diff(chains.offset) > 1))
    if layers is None:
        return class_edges(chains, classes, None, None)
    rest = np.diff(chains.offset)[classes] - 1
    return class_edges(chains, classes, layers // 2, np.where(rest <= layers, rest, -(-layers // 2)))


def _with_members(size: int, chains: Chains, alone: NDArray[np.bool_], depth: int, layers: int) -> _Candidate:
    """Members of a class attend to hubs, and hubs to them, as their representative does."""
    parts = [track_edges(tracks_of(chains, depth, ~alone), depth), _isolated(chains, alone, layers)]
    return _Candidate(_sorted(size, parts), f"{depth}-layer tracks with guests")


def _by_representatives(
    chains: Chains, alone: NDArray[np.bool_], depth: int, petal: int, layers: int
) -> Iterator[_Candidate]:
    """Members reach their representative within ``petal`` layers, and it them; the representatives have the layers between."""
    inner, first = depth - 2 * petal, chains.first
    if inner > 1:
        quotient = track_edges(tracks_of(chains, inner, np.zeros(len(first), bool)), inner)
    elif int(chains.size.sum()) <= MOST:
        quotient = _quotient_pairs(chains)
    else:
        return
    shared = _shared(chains, alone)
    parts = [quotient, class_edges(chains, shared, petal, petal), _isolated(chains, alone, layers)]
    yield _Candidate(
        _sorted(len(chains.member), parts),
        f"{inner}-layer tracks of representatives, {petal} more to and from the members",
    )


def _quotient_pairs(chains: Chains) -> Edges:
    slots = np.arange(len(chains.size))
    query, top = np.concatenate([slots, chains.query]), np.concatenate([slots, chains.top])
    owner, key = expand_ranges(chains.start[chains.chain[top]], top + 1)
    query = query[owner]
    return chains.first[query[query != key]], chains.first[key[query != key]]
