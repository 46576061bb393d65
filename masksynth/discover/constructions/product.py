"""Product of two leave-one-outs: all but row and column of a grid."""

from __future__ import annotations

import numpy as np

from masksynth.discover.constructions.arities import edges_of_arities, least_depth, rerooted_tree
from masksynth.discover.constructions.events import Events
from masksynth.discover.constructions.reroot import reroot
from masksynth.discover.structure import Structure


def grid_product(rows: int, columns: int, layers: int) -> Structure | None:
    """Return the structure in which target (r, c) sees every token of another row and another column.

    Each row is rerooted first, so that a register at (r, c) holds the row r without column c; then each column of
    registers is rerooted in place, so that the blank at (r, c) holds their union without row r. The layers are shared
    so that the edges are fewest.

    Parameters
    ----------
    rows, columns : int
        At least 3 each.
    layers : int
        L >= 2, a mask for each.

    Examples
    --------
    >>> structure = grid_product(8, 8, layers=8)
    >>> structure.size, sum(len(reads.query) for reads in structure.reads) - 2 * 64
    (192, 288)
    """
    if min(rows, columns) < 3 or layers < 2:
        return None
    first = min(range(1, layers), key=lambda share: _edges(rows, columns, share, layers - share))
    second = min(layers - first, least_depth(rows))
    first = min(first, least_depth(columns))
    across = reroot(rerooted_tree(columns, first), columns, first)
    down = reroot(rerooted_tree(rows, second), rows, second)
    if across is None or down is None:
        raise AssertionError("a tree that was chosen for this many layers needs more")
    cell = np.arange(rows * columns).reshape(rows, columns)
    count = rows * columns
    names_across = np.concatenate([cell, count + cell], axis=1)  # tokens, then registers, of each row
    names_down = np.concatenate([count + cell.T, 2 * count + cell.T], axis=1)
    parts = [*_copies(across, names_across, 0), *_copies(down, names_down, first)]
    reads = Events.join(*parts).reads(3 * count, first + second, layers)
    element = np.concatenate([np.arange(count), np.full(2 * count, -1)])
    return Structure(element, reads, 2 * count + np.arange(count), "product")


def _edges(rows: int, columns: int, first: int, second: int) -> int:
    """Return the number of reads if the rows take this many layers, and then the columns that many."""
    return rows * edges_of_arities(columns, first) + columns * edges_of_arities(rows, second)


def _copies(structure: Structure, names: np.ndarray, before: int) -> list[Events]:
    """Return the reads of a structure on each row of positions, after the layers before it."""
    return [
        Events(
            np.full(len(reads.query) * len(names), before + layer),
            names[:, reads.query].ravel(),
            names[:, reads.key].ravel(),
        )
        for layer, reads in enumerate(structure.reads, start=1)
    ]
