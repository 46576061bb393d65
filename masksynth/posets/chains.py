"""Width, by Dilworth: the fewest chains that cover all elements are as many as a largest antichain has elements.

The pairs k < q form a bipartite graph of upper copies q and lower copies k. A matching links elements into chains, one
chain per element that is unmatched below; a maximum matching (Hopcroft and Karp) gives the fewest chains, and the
complement of the vertex cover from Koenig's theorem is a largest antichain. Rows are integers of n bits, so that one
step processes all keys of a query.

References
----------
R. P. Dilworth, "A decomposition theorem for partially ordered sets", Annals of Mathematics 51 (1950). J. E. Hopcroft,
R. M. Karp, "An n^(5/2) algorithm for maximum matchings in bipartite graphs", SIAM J. Computing 2 (1973). D. R.
Fulkerson, "Note on Dilworth's decomposition theorem", Proc. AMS 7 (1956).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.posets.bit_rows import integers, members
from masksynth.posets.relation import Relation, identity


@dataclass
class _Matching:
    """A matching of pairs (q, k) of a strict order: ``lower[q] = k`` and ``upper[k] = q``, -1 where unmatched."""

    below: list[int]
    lower: list[int] = field(init=False)
    upper: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.lower, self.upper = [-1] * len(self.below), [-1] * len(self.below)

    def layers(self) -> tuple[list[int], int, int]:
        """Search alternating paths from the unmatched queries breadth-first.

        Returns the keys of each layer, all queries and all keys reached, as bits. The last layer holds the first
        unmatched keys reached, and is empty if there is no augmenting path.
        """
        unmatched = _bits(k for k, q in enumerate(self.upper) if q < 0)
        front = [q for q, k in enumerate(self.lower) if k < 0]
        layers: list[int] = []
        queries, keys = _bits(front), 0
        while True:
            new_keys = 0
            for query in front:
                new_keys |= self.below[query]
            new_keys &= ~keys
            keys |= new_keys
            layers.append(new_keys & unmatched or new_keys)
            if new_keys & unmatched or not new_keys:
                return layers, queries, keys
            front = [self.upper[key] for key in members(new_keys)]
            queries |= _bits(front)

    def augment(self, query: int, layers: list[int]) -> bool:
        """Search depth-first for an augmenting path from ``query``, one key per layer.

        A key that was tried is removed from its layer.
        """
        queries, keys = [query], list[int]()
        while queries:
            choice = self.below[queries[-1]] & layers[len(keys)]
            if not choice:
                queries.pop()
                del keys[-1:]
                continue
            key = choice.bit_length() - 1
            layers[len(keys)] ^= 1 << key
            keys.append(key)
            if len(keys) == len(layers):
                for q, k in zip(queries, keys, strict=True):
                    self.lower[q], self.upper[k] = k, q
                return True
            queries.append(self.upper[key])
        return False


def antichain_and_chains(order: Relation) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Return a largest antichain, ascending, and a decomposition into equally many chains, each bottom-up.

    Each proves that the other is optimal.

    Parameters
    ----------
    order : (n, n) bool
        A partial order.

    Examples
    --------
    >>> antichain_and_chains(np.array([[True, False, False], [True, True, False], [True, False, True]]))
    ((1, 2), ((0, 1), (2,)))
    """
    matching = _Matching(integers(order & ~identity(len(order))))
    layers, queries, keys = matching.layers()
    while layers[-1]:
        for query in [q for q, k in enumerate(matching.lower) if k < 0]:
            matching.augment(query, layers)
        layers, queries, keys = matching.layers()
    # Koenig: unreached queries and reached keys cover every pair, so elements with neither copy in the cover are
    # incomparable.
    antichain = tuple(members(queries & ~keys))
    chains = tuple(sorted(_chain(matching.lower, top) for top, above in enumerate(matching.upper) if above < 0))
    certify_width(order, antichain, chains)
    return antichain, chains


def certify_width(order: Relation, antichain: Sequence[int], chains: Sequence[Sequence[int]]) -> int:
    """Return the width of a partial order, proved by an antichain and a chain decomposition of equal size.

    An antichain has at most one element in each chain, so if the sizes agree both are optimal.

    Parameters
    ----------
    order : (n, n) bool
        A partial order.
    antichain : sequence of int
        Pairwise incomparable elements.
    chains : sequence of sequences of int
        Chains, each bottom-up, that contain every element once.

    Raises
    ------
    WrongAnswer
        If two elements of the antichain are comparable, neighbours of a chain are not in order, the chains do not
        contain each element once, or the sizes differ.

    Examples
    --------
    >>> certify_width(np.array([[True, False], [True, True]]), [1], [[0, 1]])
    1
    """
    among = order[np.ix_(antichain, antichain)] & ~identity(len(antichain))
    if among.any():
        upper, lower = (antichain[int(i)] for i in np.argwhere(among)[0])
        raise WrongAnswer("antichain", f"elements {lower} and {upper} are comparable")
    for chain in chains:
        for lower, upper in pairwise(chain):
            if lower == upper or not order[upper, lower]:
                raise WrongAnswer("chain", f"element {lower} is not below {upper}")
    if sorted(element for chain in chains for element in chain) != list(range(len(order))):
        raise WrongAnswer("chains", f"expected each of the {len(order)} elements once")
    if len(antichain) != len(chains):
        raise WrongAnswer(
            "width", f"an antichain of {len(antichain)} elements does not prove {len(chains)} chains the fewest"
        )
    return len(chains)


def _chain(lower: list[int], top: int) -> tuple[int, ...]:
    chain = [top]
    while lower[chain[-1]] >= 0:
        chain.append(lower[chain[-1]])
    return tuple(reversed(chain))


def _bits(elements: Iterable[int]) -> int:
    return sum(1 << element for element in elements)
