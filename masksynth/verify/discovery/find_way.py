"""A way through the rows, layer by layer: the witness of a leak."""

from __future__ import annotations

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.verify.discovery.layer_rows import Rows


def find_way(tables: list[Rows], sources: Int64Array, target: int, is_one: bool) -> tuple[int, ...]:
    """Return positions, each read by the next, from a source to the target; each read is in a later layer.

    Parameters
    ----------
    tables : list
        The rows of each layer, or of all layers.
    sources : (S,) int64
        Where a way may begin.
    target : int
        Where it ends, after the last layer.
    is_one : bool
        Whether one mask serves any number of layers.

    Returns
    -------
    tuple of int
        Empty if there is no way. Layers in which a position only keeps what it has are left out.
    """
    size = len(tables[0].offset) - 1
    is_source = np.zeros(size, bool)
    is_source[sources] = True
    depth = size if is_one else len(tables)
    # Backwards from the target: reached[i] are the positions whose state i layers before the end arrives at it.
    reached = [np.zeros(size, bool)]
    reached[0][target] = True
    for step in range(depth):
        if is_one and (reached[-1] & is_source).any():
            break
        earlier = reached[-1] | tables[0 if is_one else depth - 1 - step].keys_of(reached[-1])
        if is_one and np.array_equal(earlier, reached[-1]):
            break
        reached.append(earlier)
    starts = np.flatnonzero(reached[-1] & is_source)
    if not len(starts):
        return ()
    way = [int(starts[0])]
    for step in range(len(reached) - 2, -1, -1):
        if reached[step][way[-1]]:  # its state is kept: no read is needed in this layer
            continue
        rows = tables[0 if is_one else depth - 1 - step]
        readers = rows.query[rows.key == way[-1]]
        way.append(int(readers[reached[step][readers]][0]))
    return tuple(way)
