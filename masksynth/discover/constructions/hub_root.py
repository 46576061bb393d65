"""Rerooting with Sperner hubs at the root: leave-one-out in few layers with far fewer edges.

A root of s children that read one another costs s (s - 1) edges in one layer. Hubs over the children cost about s log2
s, in two. Hubs are collectors that grow once more, so that 2 n positions suffice here too.
"""

from __future__ import annotations

import numpy as np

from masksynth.discover.constructions.arities import tables_of_excess, tree_sizes
from masksynth.discover.constructions.events import Events
from masksynth.discover.constructions.reroot import reads_of_tree
from masksynth.discover.constructions.sperner import (
    edges_with_hubs,
    hubs_needed,
    hubs_of_fewest_edges,
    sperner_in_place,
)
from masksynth.discover.constructions.target_trees import tree_of_levels
from masksynth.discover.structure import Structure, prune


def reroot_with_hubs(n: int, layers: int) -> Structure | None:
    """Return the rerooting of n tokens whose root is a Sperner mask of its children, in an even number of layers.

    Subtrees of height h are collected in h layers, hubs in one, the complements of subtrees in one, and those of tokens
    in h: 2 h + 2 in all. The sizes of levels are the best for this kind of tree.

    Parameters
    ----------
    n : int
        Number of tokens, at least 4.
    layers : int
        L >= 2; of an odd number the first layer is left empty.

    Returns
    -------
    Structure or None
        None if no number of children fits.

    Examples
    --------
    >>> structure = reroot_with_hubs(64, layers=6)
    >>> structure.size, sum(len(reads.query) for reads in structure.reads)
    (128, 279)
    """
    height = layers // 2 - 1
    below = tables_of_excess(n, height)
    size = np.arange(n + 1)
    hub_edges = np.min([edges_with_hubs(size, hubs) for hubs in range(2, hubs_needed(n) + 1)], axis=0)
    # fewer than four children need no hubs; an inner node of a children costs 4 (a - 1)
    cost = np.append(np.full(4, 1 << 62), hub_edges[4:] + 4 * (n - size[4:]) + below[height][4:])
    for children in np.argsort(cost, kind="stable")[:8].tolist():
        root = sperner_in_place(children, hubs_of_fewest_edges(children))
        if root is not None and children >= 4:
            return _join(n, [1, *tree_sizes(children, below)], root, layers)
    return None


def _join(n: int, sizes: list[int], root: Structure, layers: int) -> Structure:
    """Return a tree whose root's children exchange what they hold as the tokens of another structure do."""
    tree = tree_of_levels(sizes)
    below, collector, host, height = reads_of_tree(tree, n, len(root.reads))
    place = np.concatenate([collector, host])
    parts = [below]
    for layer, table in enumerate(root.reads, start=1):
        parts.append(Events(np.full(len(table.query), height + layer), place[table.query], place[table.key]))
    element = np.concatenate([np.arange(n), np.full(n, -1)])
    depth = 2 * height + len(root.reads)
    reads = Events.join(*parts).reads(2 * n, depth, layers)
    return prune(Structure(element, reads, n + np.arange(n), "rerooting with hubs"), "layered")
