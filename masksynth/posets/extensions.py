"""Linear extensions of a partial order: sequences in which every element comes after all elements below it.

All functions take the partial order as an ``(n, n)`` bool array: reflexive, transitive and antisymmetric, as in
``Poset.order``.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import numpy as np

from masksynth.errors import Unsupported
from masksynth.posets.bit_rows import integers, members
from masksynth.posets.relation import Relation, covers, identity


def first_extension(order: Relation) -> tuple[int, ...]:
    """Return the lexicographically first linear extension.

    It repeatedly takes the least element whose lower elements have all been placed.

    Examples
    --------
    >>> order = np.eye(3, dtype=bool)
    >>> order[0, 2] = True
    >>> first_extension(order)
    (1, 2, 0)
    """
    above, waiting = np.ascontiguousarray(order.T), order.sum(axis=1) - 1
    ready = np.flatnonzero(waiting == 0).tolist()
    sequence = []
    while ready:
        placed = heapq.heappop(ready)
        sequence.append(placed)
        queries = np.flatnonzero(above[placed])
        waiting[queries] -= 1
        for query in queries[waiting[queries] == 0].tolist():
            heapq.heappush(ready, query)
    return tuple(sequence)


def is_extension(order: Relation, sequence: Sequence[int]) -> bool:
    """Return whether the sequence contains every element once, each after all elements below it."""
    if sorted(sequence) != list(range(len(order))):
        return False
    index = np.array(sequence, np.int64)
    return not np.triu(order[np.ix_(index, index)], 1).any()  # no element is above a later one


def all_extensions(order: Relation) -> Iterator[tuple[int, ...]]:
    """Yield every linear extension once, in lexicographic order, with at most n steps between two.

    Examples
    --------
    >>> list(all_extensions(np.array([[True, False, False], [False, True, False], [True, False, True]])))
    [(0, 1, 2), (0, 2, 1), (1, 0, 2)]
    """
    below, upper = _below(order), _upper(order)
    sequence: list[int] = []
    placed, minimal = 0, _bottom(below)
    available, untried = [minimal], [minimal]
    while untried:
        if len(sequence) == len(order):
            yield tuple(sequence)
        if not untried[-1]:
            untried.pop()
            available.pop()
            if sequence:
                placed ^= 1 << sequence.pop()
            continue
        bit = untried[-1] & -untried[-1]
        untried[-1] ^= bit
        placed |= bit
        sequence.append(bit.bit_length() - 1)
        available.append((available[-1] ^ bit) | _newly_available(upper[sequence[-1]], below, placed))
        untried.append(available[-1])


def count_extensions(order: Relation, limit: int = 1_000_000) -> int:
    """Count the linear extensions, by dynamic programming over down-sets: paths from the empty set to the full one.

    Counting is #P-complete in general (Brightwell and Winkler, 1991). A poset of width w has at most (n / w + 1)^w
    down-sets.

    Parameters
    ----------
    order : (n, n) bool
        The partial order.
    limit : int
        Number of down-sets of one size that may be held in memory.

    Raises
    ------
    Unsupported
        If there are more down-sets of one size.

    Examples
    --------
    >>> count_extensions(np.eye(10, dtype=bool))
    3628800
    """
    below, upper = _below(order), _upper(order)
    ways = {0: 1}  # number of linear extensions of each down-set (as bits)
    minimal = {0: _bottom(below)}
    for _ in range(len(order)):
        more: dict[int, int] = {}
        available_of: dict[int, int] = {}
        for down, count in ways.items():
            for element in members(minimal[down]):
                grown = down | 1 << element
                if grown not in more:
                    available_of[grown] = (minimal[down] ^ (1 << element)) | _newly_available(
                        upper[element], below, grown
                    )
                more[grown] = more.get(grown, 0) + count
            if len(more) > limit:
                raise Unsupported(
                    f"a poset of {len(order)} elements has more than {limit} down-sets of one size; raise the limit"
                )
        ways, minimal = more, available_of
    return sum(ways.values())


def _below(order: Relation) -> list[int]:
    return integers(order & ~identity(len(order)))


def _upper(order: Relation) -> list[int]:
    return integers(covers(order).T)


def _bottom(below: list[int]) -> int:
    """Return the minimal elements, as bits."""
    return sum(1 << element for element, lower in enumerate(below) if not lower)


def _newly_available(upper: int, below: list[int], placed: int) -> int:
    """Return, as bits, the upper covers of the element placed last whose lower elements are now all placed."""
    return sum(1 << element for element in members(upper) if not below[element] & ~placed)
