"""Construct sparse masks of any size: few edges through which L layers carry a closed mask, and a lower bound.

Work is near-linear in positions, intervals of rows and edges; nothing is N x N. The answer is the best of several
schemes; it is not claimed to be the least. For small instances there are exact engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.mask.csr import expand_ranges, indptr, row_of_entry
from masksynth.mask.equal_values import distinct
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.posets.adjacency import levels
from masksynth.sparse.constructions.assign_pairs import assign_guests
from masksynth.sparse.constructions.chain_decomposition import ENTRY_LIMIT, Chains, decompose_chains
from masksynth.sparse.constructions.class_cycles import class_edges
from masksynth.sparse.constructions.quotient_covers import quotient_covers
from masksynth.sparse.constructions.shared_hubs import Edges, track_edges
from masksynth.sparse.constructions.size_bounds import lower_bound


@dataclass(frozen=True, eq=False)
class Construction:
    """Edges through which L layers carry exactly a given flow, and a lower bound on their number.

    Parameters
    ----------
    query, key : (M,) int64
        The edges, sorted by query, then key; none on the diagonal.
    bound : int
        Proved lower bound on the number of edges.
    bound_proof : str
        How the bound was proved, in words.
    scheme : str
        How the edges were chosen, in words.
    """

    query: Int64Array
    key: Int64Array
    bound: int
    bound_proof: str
    scheme: str

    @property
    def edges(self) -> int:
        """Number of edges, M."""
        return len(self.query)


class _Candidate(NamedTuple):
    edges: Edges
    scheme: str


def construct(mask: Mask, layers: int | None) -> Construction:
    """Construct few edges A with (A or I)^layers = mask; if ``layers`` is None, the fewest whose closure is the mask.

    Parameters
    ----------
    mask : Mask
        One closed table: reflexive and transitive.
    layers : int or None
        L >= 1; None: any number of layers.

    Raises
    ------
    InvalidInstance
        If the mask has several tables or is not closed, or ``layers`` is not a positive integer or None.
    Unsupported
        If there are more than 50 million edges, or pairs of a row and a chain.

    Examples
    --------
    >>> causal = Mask.from_dense(np.tril(np.ones((7, 7), bool)))
    >>> construction = construct(causal, 2)
    >>> construction.edges, construction.bound, construct(causal, None).edges
    (10, 10, 6)
    >>> print(construction.scheme)
    2-layer tracks with guests
    """
    if layers is not None and (type(layers) is not int or layers < 1):
        raise InvalidInstance(
            f"layers: expected None or an integer from 1, got {layers!r}", "", "give the number of layers of the model"
        )
    chains = decompose_chains(mask)
    covers = quotient_covers(chains)
    bound, proof = lower_bound(chains, covers, layers)
    best = min(_candidates(mask, chains, covers, layers), key=lambda candidate: len(candidate.edges[0]))
    return Construction(*best.edges, bound, proof, best.scheme)


def _candidates(mask: Mask, chains: Chains, covers: Edges, layers: int | None) -> Iterator[_Candidate]:
    if layers == 1:
        yield _Candidate(_all_pairs(mask), "the mask itself")
        return
    alone = _is_isolated(chains, covers)
    if (reduction := _by_covers(chains, covers, alone, layers)) is not None:
        yield reduction
        if layers is None or not len(_large_classes(chains, alone)):
            return  # covers are forced, so this is optimal
    assert layers is not None
    for depth in range(max(2, layers - 1), layers + 1):
        yield _with_members(mask.size, chains, alone, depth, layers)
        for petal in range(1, (depth - 1) // 2 + 1) if len(_large_classes(chains, alone)) else ():
            yield from _by_representatives(chains, alone, depth, petal, layers)


def _sorted(size: int, parts: list[Edges]) -> Edges:
    """Return all edges without duplicates, sorted by query and key."""
    code = distinct(np.concatenate([query * size + key for query, key in parts]))
    return np.divmod(code, max(size, 1))


def _all_pairs(mask: Mask) -> Edges:
    if mask.pairs - mask.size > ENTRY_LIMIT:
        fact = f"one layer needs all {mask.pairs - mask.size} pairs as edges, more than {ENTRY_LIMIT}"
        raise Unsupported(f"{fact}; give layers=2 or more")
    owner, key = expand_ranges(mask.key_start.astype(np.int64), mask.key_end.astype(np.int64))
    query = row_of_entry(mask.row_offset[0])[owner]
    return query[query != key], key[query != key]


def _is_isolated(chains: Chains, covers: Edges) -> BoolArray:
    """Return whether each class is unrelated to all other classes."""
    alone = np.ones(len(chains.chain), bool)
    for ends in covers:
        alone[ends] = False
    return alone


def _large_classes(chains: Chains, alone: BoolArray) -> Int64Array:
    """Return the slots of classes with several members that are related to other classes."""
    return np.flatnonzero((np.diff(chains.offset) > 1) & ~alone)


def _by_covers(chains: Chains, covers: Edges, alone: BoolArray, layers: int | None) -> _Candidate | None:
    """Return the reduction of the quotient with a flower per class; None if its longest path leaves too few layers.

    At unbounded depth each class is one cycle.
    """
    upper, lower = covers
    offset = indptr(np.bincount(upper, minlength=len(chains.chain)))
    height = int(levels(offset, lower, _ranks_by_size(chains)).max(initial=0)) if layers is not None else 0
    shared = _large_classes(chains, alone)
    petal = None if layers is None else (layers - height) // 2
    if layers is not None and (height > layers or (len(shared) and not petal)):
        return None
    first = chains.first
    parts = [
        (first[upper], first[lower]),
        class_edges(chains, shared, petal, petal),
        _isolated_flowers(chains, alone, layers),
    ]
    return _Candidate(
        _sorted(len(chains.member), parts), "the reduction of the quotient, and cycles through each class"
    )


def _ranks_by_size(chains: Chains) -> Int64Array:
    """Return the rank of each slot in a linear extension: a slot has a higher rank than those it reaches."""
    rank = np.empty(len(chains.size), np.int64)
    rank[np.argsort(chains.size, kind="stable")] = np.arange(len(rank))
    return rank


def _isolated_flowers(chains: Chains, alone: BoolArray, layers: int | None) -> Edges:
    """Return the flowers of the isolated classes; up to L + 1 members form a cycle."""
    classes = np.flatnonzero(alone & (np.diff(chains.offset) > 1))
    if layers is None:
        return class_edges(chains, classes, None, None)
    rest = np.diff(chains.offset)[classes] - 1
    return class_edges(chains, classes, layers // 2, np.where(rest <= layers, rest, -(-layers // 2)))


def _with_members(size: int, chains: Chains, alone: BoolArray, depth: int, layers: int) -> _Candidate:
    """Connect the members of each class to hubs, in both directions, as their representative."""
    parts = [track_edges(assign_guests(chains, depth, ~alone), depth), _isolated_flowers(chains, alone, layers)]
    return _Candidate(_sorted(size, parts), f"{depth}-layer tracks with guests")


def _by_representatives(chains: Chains, alone: BoolArray, depth: int, petal: int, layers: int) -> Iterator[_Candidate]:
    """Connect members to their representative within ``petal`` layers each way, representatives by the layers left."""
    inner, first = depth - 2 * petal, chains.first
    if inner > 1:
        quotient = track_edges(assign_guests(chains, inner, np.zeros(len(first), bool)), inner)
    elif int(chains.size.sum()) <= ENTRY_LIMIT:
        quotient = _quotient_pairs(chains)
    else:
        return
    shared = _large_classes(chains, alone)
    parts = [quotient, class_edges(chains, shared, petal, petal), _isolated_flowers(chains, alone, layers)]
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
