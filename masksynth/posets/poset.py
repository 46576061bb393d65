"""Partial orders: covers (the Hasse diagram), heights, width, chains and linear extensions.

``order[q, k]`` is True iff k <= q in the information order: what k knows, q knows. ``range(n)`` is a linear extension of every causal
order, one in which no position attends to a later one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.posets.bit_rows import pack
from masksynth.posets.chains import antichain_and_chains
from masksynth.posets.extensions import all_extensions, count_extensions, first_extension, is_extension
from masksynth.posets.preorder import classes, closure, least_mutual
from masksynth.posets.relation import Relation, as_relation, covers


@dataclass(frozen=True, eq=False)
class Poset:
    """The partial order on 0, ..., n - 1 that a relation without mutual visibility generates.

    Parameters
    ----------
    order : (n, n) bool
        ``[q, k]`` true = q attends to k, so k <= q. Closed reflexively and transitively first: the field holds the closure, read-only.

    Raises
    ------
    InvalidInstance
        If it is no relation, or two elements see each other; the message names them.

    Examples
    --------
    A diamond: 1 and 2 lie between 0 and 3.

    >>> diamond = Poset(np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0]]) > 0)
    >>> diamond.upper_covers(0), diamond.lower_covers(3), diamond.heights
    ((1, 2), (1, 2), (0, 1, 1, 2))
    >>> diamond.height, diamond.width, diamond.antichain, diamond.chains
    (3, 2, (1, 2), ((0, 1), (2, 3)))
    >>> list(diamond.linear_extensions())
    [(0, 1, 2, 3), (0, 2, 1, 3)]
    """

    order: Relation

    def __post_init__(self) -> None:
        order = closure(as_relation(self.order, "order"))
        least = least_mutual(order)
        later = np.flatnonzero(least != np.arange(len(order)))
        if len(later):
            pair = f"elements {least[later[0]]} and {later[0]}"
            raise InvalidInstance(f"{pair} see each other, so this is no partial order", remedy="take its quotient")
        order.flags.writeable = False
        object.__setattr__(self, "order", order)

    def __len__(self) -> int:
        """n, the number of elements."""
        return len(self.order)

    def __eq__(self, other: object) -> bool:
        return np.array_equal(self.order, other.order) if isinstance(other, Poset) else NotImplemented

    def __hash__(self) -> int:
        return hash((len(self), pack(self.order).tobytes()))

    def __repr__(self) -> str:
        return f"Poset of {len(self)} elements and {int(self.covers.sum())} covers"

    @cached_property
    def covers(self) -> Relation:
        """The Hasse diagram: ``[q, k]`` true iff q covers k, that is k < q with nothing between. Read-only."""
        hasse = covers(self.order)
        hasse.flags.writeable = False
        return hasse

    def upper_covers(self, element: int) -> tuple[int, ...]:
        """Return the elements that cover this one, ascending."""
        return _true(self.covers[:, self._element(element)])

    def lower_covers(self, element: int) -> tuple[int, ...]:
        """Return the elements that this one covers, ascending."""
        return _true(self.covers[self._element(element)])

    @cached_property
    def minimal_elements(self) -> tuple[int, ...]:
        """The elements with nothing below them, ascending."""
        return _true(self.order.sum(axis=1) == 1)

    @cached_property
    def maximal_elements(self) -> tuple[int, ...]:
        """The elements with nothing above them, ascending."""
        return _true(self.order.sum(axis=0) == 1)

    @cached_property
    def heights(self) -> tuple[int, ...]:
        """For each element the most elements of a chain strictly below it: 0 for the minimal ones."""
        heights = np.full(len(self), -1)
        for element in self.linear_extension:
            heights[element] = heights[self.order[element]].max() + 1
        return tuple(heights.tolist())

    @cached_property
    def height(self) -> int:
        """The most elements of a chain; by Mirsky's theorem the fewest antichains that hold all elements."""
        return max(self.heights, default=-1) + 1

    @cached_property
    def _dilworth(self) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        return antichain_and_chains(self.order)

    @property
    def width(self) -> int:
        """The most pairwise incomparable elements; by Dilworth's theorem the fewest chains that hold all elements."""
        return len(self.antichain)

    @property
    def antichain(self) -> tuple[int, ...]:
        """A largest antichain, ascending: the witness that no fewer than ``width`` chains suffice."""
        return self._dilworth[0]

    @property
    def chains(self) -> tuple[tuple[int, ...], ...]:
        """The elements split into ``width`` chains, each bottom-up: the witness that no antichain is larger than ``width``."""
        return self._dilworth[1]

    def down_set(self, elements: Iterable[int]) -> tuple[int, ...]:
        """Return everything at or below one of the elements, ascending: their joint context."""
        return _true(self.order[[self._element(e) for e in elements]].any(axis=0))

    def up_set(self, elements: Iterable[int]) -> tuple[int, ...]:
        """Return everything at or above one of the elements, ascending: all that sees one of them."""
        return _true(self.order[:, [self._element(e) for e in elements]].any(axis=1))

    def dual(self) -> Poset:
        """Turn the order upside down: k <= q becomes q <= k."""
        return Poset(self.order.T)

    @cached_property
    def linear_extension(self) -> tuple[int, ...]:
        """The lexicographically first linear extension; for a causal order 0, 1, ..., n - 1."""
        return first_extension(self.order)

    def linear_extensions(self) -> Iterator[tuple[int, ...]]:
        """Yield every linear extension once, in lexicographic order."""
        return all_extensions(self.order)

    def count_linear_extensions(self, limit: int = 1_000_000) -> int:
        """Count the linear extensions, by dynamic programming; Unsupported where more than ``limit`` down-sets of one size must be held."""
        return count_extensions(self.order, limit)

    def is_linear_extension(self, sequence: Sequence[int]) -> bool:
        """Whether the sequence holds every element once, each after all elements below it."""
        return is_extension(self.order, sequence)

    def _element(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < len(self):
            raise InvalidInstance(f"element {value!r} is not one of 0, ..., n - 1 for n = {len(self)}")
        return int(value)


def quotient(relation: Relation) -> Poset:
    """Return the partial order of the classes of mutual visibility: element i is ``classes(relation)[i]``.

    One class is below another iff a member (then every member) of the other reaches a member of it. Its covers are the Hasse diagram
    of the relation, and ``range(m)`` is a linear extension of it.

    Examples
    --------
    >>> mask = np.zeros((3, 3), bool)
    >>> mask[0, 2] = mask[2, 0] = mask[1, 0] = True
    >>> classes(mask), quotient(mask).lower_covers(1)
    (((0, 2), (1,)), (0,))
    """
    leaders = np.array([group[0] for group in classes(relation)], np.intp)
    return Poset(closure(relation)[np.ix_(leaders, leaders)])


def _true(flags: NDArray[np.bool_] | np.bool_) -> tuple[int, ...]:
    return tuple(np.flatnonzero(flags).tolist())
