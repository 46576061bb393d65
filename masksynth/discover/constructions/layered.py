"""One mask as a mask for each layer: every position reads all its keys at once, in the layer after their last read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from masksynth.discover.constructions.events import Events
from masksynth.discover.structure import Structure
from masksynth.mask.typing import Int64Array


def layer_by_layer(structure: Structure, layers: int) -> Structure | None:
    """Return the structure with each read of its one mask in one of L layers; None if they do not suffice.

    Contexts are those of the one mask at any depth, and so is the number of reads.

    Parameters
    ----------
    structure : Structure
        With one mask, in which no position reads itself over others.
    layers : int

    Examples
    --------
    >>> from masksynth.discover.constructions.butterfly import butterfly
    >>> [len(reads.query) for reads in layer_by_layer(butterfly(4), layers=4).reads]
    [0, 2, 6, 2]
    """
    (reads,) = structure.reads
    level = levels_of(structure)
    depth = int(level.max(initial=0))
    if depth > layers:
        return None
    events = Events(level[reads.query], reads.query, reads.key)
    return replace(structure, reads=events.reads(structure.size, depth, layers))


def levels_of(structure: Structure) -> Int64Array:
    """Return the length of the longest way of reads to each position: the layer after which it is complete."""
    (reads,) = structure.reads
    level = np.zeros(structure.size, np.int64)
    while True:
        following = level.copy()
        np.maximum.at(following, reads.query, level[reads.key] + 1)
        if np.array_equal(following, level):
            return level
        level = following
