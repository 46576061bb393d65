"""The covers of a quotient given as chains, without its pairs."""

from __future__ import annotations

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import expand_ranges
from masksynth.mask.typing import Int64Array
from masksynth.sparse.constructions.chain_decomposition import Chains


def covers_of(chains: Chains) -> tuple[Int64Array, Int64Array]:
    """Return the cover pairs (upper slot, lower slot), sorted by upper slot: nothing lies strictly between the two.

    A cover of a class is the top of its chain in the row. A highest top is one; it takes every top below it out of the question, and so
    does each highest of those that are left. Tops that see equally many classes do not see each other, so they are taken at once.

    Raises
    ------
    InvalidInstance
        If the mask behind the chains is not transitive.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.mask import Mask
    >>> from masksynth.sparse.constructions.chain_decomposition import chains_of
    >>> diamond = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], bool)
    >>> [slots.tolist() for slots in covers_of(chains_of(Mask.from_dense(diamond)))]
    [[1, 2, 2, 3], [0, 1, 3, 0]]
    """
    inner = np.flatnonzero(np.diff(chains.chain, prepend=-1) == 0)
    query, top = np.concatenate([chains.query, inner]), np.concatenate([chains.top, inner - 1])
    upper = np.flatnonzero(chains.parent >= 0)
    found = [(upper, chains.parent[upper])]
    while len(query):
        _check_transitive(chains, *found[-1])
        first = len(found) == 1
        fresh = (
            chains.seen(chains.parent[query], chains.chain[top]) < top
            if first
            else ~_below(chains, query, top, *found[-1])
        )
        query, top = query[fresh], top[fresh]
        order = np.argsort(query, kind="stable")
        query, top = query[order], top[order]
        begins = np.flatnonzero(np.diff(query, prepend=-1))
        highest = np.maximum.reduceat(chains.size[top], begins) if len(query) else begins
        taken = chains.size[top] == np.repeat(highest, np.diff(np.append(begins, len(query))))
        found.append((query[taken], top[taken]))
        query, top = query[~taken], top[~taken]
    _check_transitive(chains, *found[-1])
    upper, lower = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((lower, upper))
    return upper[order], lower[order]


def _below(chains: Chains, query: Int64Array, top: Int64Array, upper: Int64Array, lower: Int64Array) -> np.ndarray:
    """Whether each top lies below a cover (upper, lower) of its query; both lists are sorted by query."""
    owner, at = expand_ranges(np.searchsorted(upper, query), np.searchsorted(upper, query, side="right"))
    hit = chains.seen(lower[at], chains.chain[top[owner]]) >= top[owner]
    return np.bincount(owner[hit], minlength=len(query)) > 0


def _check_transitive(chains: Chains, upper: Int64Array, lower: Int64Array) -> None:
    """Whatever a cover sees, its query sees."""
    owner, at = expand_ranges(np.searchsorted(chains.query, lower), np.searchsorted(chains.query, lower, side="right"))
    if (chains.seen(upper[owner], chains.chain[chains.top[at]]) < chains.top[at]).any():
        raise InvalidInstance("the mask is not transitive", "", "close it first: masksynth.posets.closure(relation)")
