"""Which constructions fit given contracts, from their need and hide sets alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.constructions.arities import rerooted_tree
from masksynth.discover.constructions.butterfly import butterfly, heap_parents, tree_butterfly
from masksynth.discover.constructions.cyclic import cyclic_hole, cyclic_reaches
from masksynth.discover.constructions.direct import direct, direct_at_tokens
from masksynth.discover.constructions.hole import doubling_reaches, expanding_hole
from masksynth.discover.constructions.hub_root import reroot_with_hubs
from masksynth.discover.constructions.layered import layer_by_layer, levels_of
from masksynth.discover.constructions.nested import nested_queries
from masksynth.discover.constructions.prefix_suffix import prefix_suffix, scanned
from masksynth.discover.constructions.product import grid_product
from masksynth.discover.constructions.reroot import reroot
from masksynth.discover.constructions.shapes import (
    Shape,
    find_intervals,
    find_order,
    find_partners,
    find_sites,
    shape_of,
)
from masksynth.discover.constructions.sperner import (
    hubs_of_fewest_edges,
    hubs_of_least_cost,
    sperner,
    sperner_in_place,
    sperner_with_late_tokens,
)
from masksynth.discover.constructions.target_trees import Tree, binary_tree, tree_of_sets
from masksynth.discover.constructions.windows import block_windows, sparse_table, widths_of
from masksynth.discover.structure import Structure, embedded
from masksynth.mask.equal_values import run_starts
from masksynth.mask.typing import Int64Array


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
    ['rerooting', 'rerooting with hubs', 'Sperner in place', 'scan', 'Sperner', 'direct', 'expanding hole']
    """
    for structure in _candidates(contracts):
        if structure is not None and keeps(structure, contracts):
            yield structure


def _candidates(contracts: Contracts) -> Iterator[Structure | None]:
    shape = shape_of(contracts)
    layers = contracts.layers if contracts.masks == "layered" else None
    partners = find_partners(shape)
    if layers is not None:
        yield from _rerootings(contracts, shape, partners, layers)
        yield from _products(contracts, shape, layers)
        yield from _in_place(contracts, shape, partners, layers)
    for structure in _one_mask(contracts, shape, partners):
        yield structure if layers is None or structure is None else layer_by_layer(structure, layers)
    if layers is not None:
        yield direct_at_tokens(contracts)
    yield direct(contracts)
    if layers is not None:
        yield from _holes(contracts, shape, partners, layers)


def keeps(structure: Structure, contracts: Contracts) -> bool:
    """Return whether every target sees what it needs, within L layers, and nothing that it hides.

    Parameters
    ----------
    structure : Structure
        One mask must be acyclic, and is held to arrive completely within L.
    contracts : Contracts
    """
    tables = structure.reads
    if contracts.masks == "one":
        depth = max(int(levels_of(structure).max(initial=0)), 1)
        layered = layer_by_layer(structure, depth)
        if layered is None or depth > (contracts.layers or depth):
            return False
        tables = layered.reads
    state = embedded(structure, contracts)
    for reads in tables:
        if len(reads.query):
            first = np.flatnonzero(run_starts(reads.query))
            state[reads.query[first]] |= np.bitwise_or.reduceat(state[reads.key], first, axis=0)
    context = state[structure.target]
    embeds = structure.element[structure.target]
    if any(e >= 0 and contracts.targets[t].place == "query" for t, e in enumerate(embeds.tolist())):
        return False
    if (~contracts.need & embedded(structure, contracts)[structure.target]).any():
        return False  # a target at an element that it does not need
    return not ((contracts.need & ~context).any() or (contracts.hide & context).any())


def _rerootings(
    contracts: Contracts, shape: Shape, partners: Int64Array | None, layers: int
) -> Iterator[Structure | None]:
    """Yield rerootings on trees: hidden sets that are nested or disjoint are nodes of one."""
    elements, targets = shape.elements, len(contracts.targets)
    if partners is not None and targets >= 3:
        tree = rerooted_tree(targets, layers)
        leaf = tree.element
        named = Tree(tree.parent, np.where(leaf >= 0, elements[leaf], -1), np.where(leaf >= 0, partners[leaf], -1))
        yield reroot(named, targets, layers)
        return
    if not len(elements):
        return
    nested = tree_of_sets([np.flatnonzero(row) for row in shape.hide[:, elements]], len(elements))
    if nested is not None:
        nested = Tree(nested.parent, np.where(nested.element >= 0, elements[nested.element], -1), nested.target)
        yield reroot(binary_tree(nested), targets, layers)
        yield reroot(nested, targets, layers)


def _products(contracts: Contracts, shape: Shape, layers: int) -> Iterator[Structure | None]:
    """Yield the product of two leave-one-outs where each target hides the row and the column of its cell of a grid."""
    grid = contracts.elements.space.get("grid", ())
    if len(grid) == 2 and len(contracts.targets) == contracts.elements.count:
        rows, columns = grid
        if (shape.hide.sum(axis=1) == rows + columns - 1).all():
            yield grid_product(rows, columns, layers)


def _one_mask(contracts: Contracts, shape: Shape, partners: Int64Array | None) -> Iterator[Structure | None]:
    """Yield constructions with one mask that is safe at any depth."""
    if partners is not None and len(partners) >= 2:
        size = len(partners)
        for structure in (sperner(size), butterfly(size), tree_butterfly(heap_parents(size))):
            yield _rename(structure, shape.elements, partners)
    yield nested_queries(contracts)
    is_query = np.array([target.place == "query" for target in contracts.targets], bool)
    targets = np.arange(len(contracts.targets))
    for order in _orders(shape):
        starts, stops = find_intervals(shape.hide[:, order])
        # where a prefix ends, or a suffix begins: a target may be there if it needs that element
        last = order[np.where(starts > 0, starts - 1, np.minimum(stops, len(order) - 1))]
        is_blank = is_query | ~shape.need[targets, last]
        yield _rename(prefix_suffix(len(order), starts, stops, is_blank), order, targets)
        needed = find_intervals(shape.need[:, order])
        for width in widths_of(*needed):
            yield _rename(block_windows(len(order), *needed, width), order, targets)


def _in_place(
    contracts: Contracts, shape: Shape, partners: Int64Array | None, layers: int
) -> Iterator[Structure | None]:
    """Yield constructions of two layers or about log2 n, with a mask each."""
    if partners is not None and layers >= 2 and len(partners) >= 4:
        size = len(partners)
        yield _rename(reroot_with_hubs(size, layers), shape.elements, partners)
        yield _rename(sperner_in_place(size, hubs_of_fewest_edges(size), layers), shape.elements, partners)
        hubs = hubs_of_least_cost(size, contracts.weights)
        if hubs >= 4:  # fewer hubs hold a token each, and save nothing
            yield _rename(sperner_with_late_tokens(size, hubs, layers), shape.elements, partners)
    targets = np.arange(len(contracts.targets))
    for order in _orders(shape):
        yield _rename(scanned(len(order), *find_intervals(shape.hide[:, order]), layers), order, targets)
        yield _rename(sparse_table(len(order), *find_intervals(shape.need[:, order]), layers), order, targets)


def _holes(contracts: Contracts, shape: Shape, partners: Int64Array | None, layers: int) -> Iterator[Structure | None]:
    """Yield the cyclic hole where targets may be at tokens, and the expanding hole where each hides a ball."""
    places = {target.place for target in contracts.targets}
    if partners is not None and places == {"any"} and (reaches := cyclic_reaches(len(partners), layers)):
        yield _rename(cyclic_hole(len(partners), reaches, layers), shape.elements, partners)
    if len(shape.elements) and (sites := find_sites(contracts, shape)) is not None:
        reaches = doubling_reaches(int(sites.distance.max(initial=0)), layers, sites.radius)
        if reaches:
            yield expanding_hole(sites, reaches, layers)


def _orders(shape: Shape) -> list[Int64Array]:
    """Return the needed elements in their own order, and in that of nested needs where it differs."""
    if not len(shape.elements):
        return []
    order = find_order(shape)
    return [shape.elements] if np.array_equal(order, shape.elements) else [shape.elements, order]


def _rename(structure: Structure | None, elements: Int64Array, targets: Int64Array) -> Structure | None:
    """Return a structure whose element i is ``elements[i]`` and whose target i is ``targets[i]``."""
    if structure is None:
        return None
    element = np.where(structure.element >= 0, elements[structure.element], -1)
    target = np.empty_like(structure.target)
    target[targets] = structure.target
    return replace(structure, element=element, target=target)
