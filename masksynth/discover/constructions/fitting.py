"""Which constructions fit given contracts, from their need and hide sets alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.constructions.arities import rerooted_tree
from masksynth.discover.constructions.direct import direct
from masksynth.discover.constructions.hole import Sites, doubling_reaches, expanding_hole
from masksynth.discover.constructions.reroot import reroot
from masksynth.discover.constructions.tree import Tree, binary_tree, tree_of_sets
from masksynth.discover.structure import Structure, contexts
from masksynth.mask.typing import BoolArray, Int64Array


def constructions_for(contracts: Contracts) -> Iterator[Structure]:
    """Yield structures that keep the contracts, cheapest kinds first; demands are not looked at.

    Parameters
    ----------
    contracts : Contracts

    Yields
    ------
    Structure
        Pruned; ``found_by`` names its construction.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> [structure.found_by for structure in constructions_for(leave_one_out(n=8, layers=4))]
    ['rerooting', 'direct', 'expanding hole']
    """
    for structure in _candidates(contracts):
        if structure is not None and keeps(structure, contracts):
            yield structure


def _candidates(contracts: Contracts) -> Iterator[Structure | None]:
    if contracts.masks == "layered":
        yield from _rerootings(contracts)
    yield direct(contracts)
    if contracts.masks == "layered":
        yield _hole(contracts)


def keeps(structure: Structure, contracts: Contracts) -> bool:
    """Return whether every target sees what it needs and nothing that it hides."""
    states = contexts(structure, contracts)
    last = states[-1][structure.target]
    arrived = last
    if contracts.masks == "one" and contracts.layers is not None:
        arrived = states[min(contracts.layers, len(states) - 1)][structure.target]
    return not ((contracts.need & ~arrived).any() or (contracts.hide & last).any())


def _bits(rows: np.ndarray, count: int) -> BoolArray:
    """Return rows of packed bits as booleans."""
    return np.unpackbits(rows.view(np.uint8), axis=1, count=count, bitorder="little").view(bool)


def _rerootings(contracts: Contracts) -> Iterator[Structure | None]:
    """Yield rerootings on trees: hidden sets that are nested or disjoint are nodes of one."""
    layers, targets = contracts.layers, len(contracts.targets)
    used = _bits(contracts.need, contracts.elements.count).any(axis=0)
    hidden = _bits(contracts.hide, contracts.elements.count) & used
    elements = np.flatnonzero(used)
    if layers is None or not len(elements):
        return
    single = hidden[:, elements]
    is_one_to_one = (single.sum(axis=1) == 1).all() and (single.sum(axis=0) == 1).all()
    if is_one_to_one and targets >= 3:
        tree = _renamed(rerooted_tree(targets, layers), elements, single.argmax(axis=0))
        yield reroot(tree, targets, layers)
        return
    place = np.cumsum(used) - 1
    nested = tree_of_sets([place[np.flatnonzero(row)] for row in hidden], len(elements))
    if nested is not None:
        nested = Tree(nested.parent, np.where(nested.element >= 0, elements[nested.element], -1), nested.target)
        yield reroot(binary_tree(nested), targets, layers)
        yield reroot(nested, targets, layers)


def _renamed(tree: Tree, elements: Int64Array, target: Int64Array) -> Tree:
    """Return the tree of leave-one-out over given elements and targets."""
    is_leaf = tree.element >= 0
    return Tree(
        tree.parent,
        np.where(is_leaf, elements[tree.element], -1),
        np.where(is_leaf, target[tree.element], -1),
    )


def _hole(contracts: Contracts) -> Structure | None:
    """Return the expanding hole where each target hides a ball."""
    sites = find_sites(contracts)
    if sites is None or contracts.layers is None:
        return None
    reaches = doubling_reaches(int(sites.distance.max(initial=0)), contracts.layers, sites.radius)
    return expanding_hole(sites, reaches, contracts.layers) if reaches else None


def find_sites(contracts: Contracts) -> Sites | None:
    """Return the centres and the radius of the balls that the targets hide; None where they hide other sets.

    Elements that no target needs are left out of account: they are not embedded.
    """
    count = contracts.elements.count
    index = np.arange(count)
    distance = abs(index[:, None] - index)
    used = _bits(contracts.need, count).any(axis=0)
    hidden = np.packbits(_bits(contracts.hide, count) & used, axis=1)
    for radius in range(int(distance.max(initial=0)) + 1):
        balls = np.packbits((distance <= radius) & used, axis=1)
        if len(hidden) == count and np.array_equal(balls, hidden):
            return Sites(np.flatnonzero(used), index, distance, radius)
        centre = {row.tobytes(): k for k, row in enumerate(balls)}
        found = [centre.get(row.tobytes(), -1) for row in hidden]
        if found and min(found) >= 0:
            return Sites(np.flatnonzero(used), np.array(found, np.int64), distance, radius)
    return None
