"""Symmetries of contracts: permutations of elements and targets that map needs and hides onto themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from masksynth.contracts import Contracts
from masksynth_solvers.discover.places import Places, blank_groups, contract_rows

Contract = tuple[frozenset[int], frozenset[int], str]


@dataclass(frozen=True)
class Symmetry:
    """A permutation of the elements and one of the targets, each as the image of every index."""

    element: tuple[int, ...]
    target: tuple[int, ...]


def find_swaps(contracts: Contracts) -> list[Symmetry]:
    """Return the exchanges of two elements, or of two targets, that some permutation of targets completes.

    Targets are taken as alike if needs, hides and placements are: position ids and labels do not matter to costs as
    long as no two targets may share a blank. Where some may, there are no swaps.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> [swap.element for swap in find_swaps(leave_one_out(n=3))]
    [(1, 0, 2), (2, 1, 0), (0, 2, 1)]
    """
    targets = range(len(contracts.targets))
    if len(set(blank_groups(contracts))) < len(contracts.targets):
        return []
    rows = [
        (frozenset(need.nonzero()[0].tolist()), frozenset(hide.nonzero()[0].tolist()), target.place)
        for need, hide, target in zip(*contract_rows(contracts), contracts.targets, strict=True)
    ]
    members: dict[Contract, list[int]] = {}
    for index, row in enumerate(rows):
        members.setdefault(row, []).append(index)
    swaps = []
    identity = tuple(range(contracts.elements.count))
    for e, f in combinations(identity, 2):
        image = _exchange(identity, e, f)
        if (moved := _image_targets(rows, members, image)) is not None:
            swaps.append(Symmetry(image, moved))
    for alike in members.values():
        swaps += [Symmetry(identity, _exchange(tuple(targets), a, b)) for a, b in combinations(alike, 2)]
    return swaps


def _exchange(identity: tuple[int, ...], a: int, b: int) -> tuple[int, ...]:
    """Return the identity with two images exchanged."""
    return tuple(b if index == a else a if index == b else index for index in identity)


def _image_targets(
    rows: Sequence[Contract], members: dict[Contract, list[int]], image: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Return the images of the targets under a permutation of the elements; None if a contract has no image."""
    moved = [0] * len(rows)
    for (need, hide, place), alike in members.items():
        there = members.get((frozenset(image[e] for e in need), frozenset(image[e] for e in hide), place), [])
        if len(there) != len(alike):
            return None
        for index, other in zip(alike, there, strict=True):
            moved[index] = other
    return tuple(moved)


def move_positions(places: Places, symmetry: Symmetry) -> list[int]:
    """Return the image of each position: tokens move with elements, blanks with targets, further ones stay."""
    tokens = places.tokens
    image = list(range(places.size))
    for element, position in tokens.items():
        image[position] = tokens[symmetry.element[element]]
    for target, position in enumerate(places.blank):
        image[position] = places.blank[symmetry.target[target]]
    return image


def element_classes(contracts: Contracts) -> list[list[int]]:
    """Return the classes of elements any two of which can be exchanged, each ascending.

    The relation is transitive: (e g) = (e f)(f g)(e f), and symmetries can be composed.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> element_classes(leave_one_out(n=3))
    [[0, 1, 2]]
    """
    first = list(range(contracts.elements.count))
    for swap in find_swaps(contracts):
        moved = [e for e, image in enumerate(swap.element) if image != e]
        if moved:
            first[moved[1]] = min(first[moved[1]], first[moved[0]])
    return [[e for e, leader in enumerate(first) if leader == name] for name in sorted(set(first))]
