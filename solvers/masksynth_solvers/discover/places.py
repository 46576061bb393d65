"""The positions that a structure may have, and the targets that each may serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.structure import Reads
from masksynth.errors import Unsupported
from masksynth.mask.typing import BoolArray

MOST_WAYS = 2_000_000
"""Maximum number of layers x positions^2 x elements of a formula."""
BLANK, FREE = -1, -2
"""A position that embeds nothing, and one that may embed any element or nothing."""


@dataclass(frozen=True, eq=False)
class Places:
    """Candidate positions.

    Parameters
    ----------
    need, hide : (T, n) bool
    element : tuple of int
        Element of each position, ``BLANK`` or ``FREE``.
    paid : tuple of bool
        Whether the position is in every structure, so that it costs nothing more to use it.
    candidates : tuple of tuple of int
        Positions at which each target may be predicted.
    blank : tuple of int
        The blank that is named after each target.
    elements : tuple of int
        Elements that positions may embed: those that are needed, or all if states must hold further ones.
    """

    need: BoolArray
    hide: BoolArray
    element: tuple[int, ...]
    paid: tuple[bool, ...]
    candidates: tuple[tuple[int, ...], ...]
    blank: tuple[int, ...]
    elements: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of candidate positions."""
        return len(self.element)

    @property
    def tokens(self) -> dict[int, int]:
        """Position of each element that is needed."""
        return {element: index for index, element in enumerate(self.element) if element >= 0}

    def hidden_at(self, position: int) -> frozenset[int]:
        """Return the elements that may never be at a position: those hidden by a target that has no other place."""
        rows = [self.hide[t] for t, places in enumerate(self.candidates) if places == (position,)]
        return frozenset(np.flatnonzero(np.any(rows, axis=0)).tolist()) if rows else frozenset()


def lay_out(contracts: Contracts, extra: int = 0) -> Places:
    """Return the positions of structures with exactly ``extra`` further positions.

    Every element that some target needs is embedded somewhere, and an element that none needs nowhere: without it,
    contexts shrink by what no target needs; but a demand ``mixed`` counts it, and further positions then may embed it.
    Each target has a blank of its own, or shares one of its position id; it is then named after the first target there,
    those with placement ``query`` before others. A target with placement ``any`` may be predicted where an element of
    its need is embedded.

    Parameters
    ----------
    contracts : Contracts
    extra : int
        Number of further positions, each of which embeds any element or nothing. Positions that are never read and that
        predict nothing are never worth having, so each is read.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> places = lay_out(leave_one_out(n=3, layers=2), 1)
    >>> places.element, places.paid, places.candidates
    ((0, 1, 2, -1, -1, -1, -2), (True, True, True, True, True, True, True), ((3,), (4,), (5,)))
    """
    need, hide = contract_rows(contracts)
    tokens = np.flatnonzero(need.any(axis=0)).tolist()
    targets = range(len(contracts.targets))
    first_free = len(tokens) + len(targets)
    element = (*tokens, *[BLANK] * len(targets), *[FREE] * extra)
    groups = blank_groups(contracts)
    query = [target.place == "query" for target in contracts.targets]
    opened: set[int] = set()  # groups that have a paid blank
    paid, candidates = [True] * len(tokens), []
    for t in targets:
        shared = [other for other in targets if groups[other] == groups[t]]
        blanks = [len(tokens) + other for other in shared if (not query[other], other) <= (not query[t], t)]
        spots = [i for i, e in enumerate(tokens) if need[t, e]] + list(range(first_free, first_free + extra))
        candidates.append(tuple(blanks if query[t] else sorted(blanks + spots)))
        paid.append(query[t] and groups[t] not in opened)
        opened |= {groups[t]} if query[t] else set()
    blank = tuple(len(tokens) + t for t in targets)
    elements = range(contracts.elements.count) if contracts.demand.mixed else tokens
    return Places(need, hide, element, (*paid, *[True] * extra), tuple(candidates), blank, tuple(elements))


def reads_of(pairs: Sequence[tuple[int, int]], size: int) -> Reads:
    """Return the reads of (query, key) pairs."""
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return Reads.of_pairs(table[:, 0], table[:, 1], size)


def check_size(positions: int, layers: int, elements: int) -> None:
    """Raise Unsupported if a formula would have too many ways for elements to arrive.

    Examples
    --------
    >>> check_size(128, 6, 64)
    Traceback (most recent call last):
    masksynth.errors.Unsupported: 128 positions, 6 layers and 64 elements are too many for an exact search; ...
    """
    if layers * positions**2 * elements > MOST_WAYS:
        raise Unsupported(
            f"{positions} positions, {layers} layers and {elements} elements are too many for an exact search; "
            "use --backend search"
        )


def contract_rows(contracts: Contracts) -> tuple[BoolArray, BoolArray]:
    """Return need and hide as (T, n) bool."""
    need = np.zeros((len(contracts.targets), contracts.elements.count), bool)
    hide = need.copy()
    for index in range(len(contracts.targets)):
        need[index, contracts.needed(index)] = True
        hide[index, contracts.hidden(index)] = True
    return need, hide


def blank_groups(contracts: Contracts) -> list[int]:
    """Return a number for each target; those with one number have one position id, and may share a blank."""
    first: dict[int, int] = {}
    return [first.setdefault(target.position, index) for index, target in enumerate(contracts.targets)]
