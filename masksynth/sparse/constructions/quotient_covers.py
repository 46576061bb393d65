"""Find the covers of a quotient from its chain decomposition, without listing its pairs."""

from __future__ import annotations

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import expand_ranges
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.sparse.constructions.chain_decomposition import Chains


def quotient_covers(chains: Chains) -> tuple[Int64Array, Int64Array]:
    """Return the covers (upper slot, lower slot), sorted by upper slot: nothing lies strictly between the two.

    A cover of a class is the highest slot of its chain in the row. The highest of these that reaches most classes is a
    cover; the slots below it are ruled out, and the step is repeated with those that remain. Slots that reach equally
    many classes are not related, so they are taken together.

    Raises
    ------
    InvalidInstance
        If the mask of the chains is not transitive.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.mask import Mask
    >>> from masksynth.sparse.constructions.chain_decomposition import decompose_chains
    >>> diamond = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], bool)
    >>> [slots.tolist() for slots in quotient_covers(decompose_chains(Mask.from_dense(diamond)))]
    [[1, 2, 2, 3], [0, 1, 3, 0]]
    """
    inner = np.flatnonzero(np.diff(chains.chain, prepend=-1) == 0)
    query, top = np.concatenate([chains.query, inner]), np.concatenate([chains.top, inner - 1])
    upper = np.flatnonzero(chains.parent >= 0)
    covers = [(upper, chains.parent[upper])]
    while len(query):
        _check_transitive(chains, *covers[-1])
        is_left = (
            chains.highest(chains.parent[query], chains.chain[top]) < top
            if len(covers) == 1
            else ~_below(chains, query, top, *covers[-1])
        )
        query, top = query[is_left], top[is_left]
        order = np.argsort(query, kind="stable")
        query, top = query[order], top[order]
        begins = np.flatnonzero(np.diff(query, prepend=-1))
        highest = np.maximum.reduceat(chains.size[top], begins) if len(query) else begins
        is_cover = chains.size[top] == np.repeat(highest, np.diff(np.append(begins, len(query))))
        covers.append((query[is_cover], top[is_cover]))
        query, top = query[~is_cover], top[~is_cover]
    _check_transitive(chains, *covers[-1])
    upper, lower = (np.concatenate(ends) for ends in zip(*covers, strict=True))
    order = np.lexsort((lower, upper))
    return upper[order], lower[order]


def _below(chains: Chains, query: Int64Array, top: Int64Array, upper: Int64Array, lower: Int64Array) -> BoolArray:
    """Return whether each top lies below a cover (upper, lower) of its query; both lists are sorted by query."""
    row, index = expand_ranges(np.searchsorted(upper, query), np.searchsorted(upper, query, side="right"))
    is_below: BoolArray = chains.highest(lower[index], chains.chain[top[row]]) >= top[row]
    return np.bincount(row[is_below], minlength=len(query)) > 0


def _check_transitive(chains: Chains, upper: Int64Array, lower: Int64Array) -> None:
    """Raise unless each query reaches all that its cover reaches."""
    row, index = expand_ranges(np.searchsorted(chains.query, lower), np.searchsorted(chains.query, lower, side="right"))
    if (chains.highest(upper[row], chains.chain[chains.top[index]]) < chains.top[index]).any():
        raise InvalidInstance("the mask is not transitive", "", "close it first: masksynth.posets.closure(relation)")
