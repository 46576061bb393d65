"""Each target reads the tokens that it needs, all in one layer: raw keys and values only."""

from __future__ import annotations

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.constructions.events import Events
from masksynth.discover.structure import Structure, prune


def direct(contracts: Contracts) -> Structure:
    """Return the structure in which every target is a blank that reads each token of its need, in the last layer.

    It fits any contracts: of every state only raw tokens are read.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> structure = direct(leave_one_out(n=4, layers=2))
    >>> structure.size, [len(reads.query) for reads in structure.reads]
    (8, [0, 12])
    """
    elements, targets = contracts.elements.count, len(contracts.targets)
    bits = np.unpackbits(contracts.need.view(np.uint8), axis=1, count=elements, bitorder="little")
    target, token = np.nonzero(bits)
    events = Events(np.ones(len(target), np.int64), elements + target, token)
    layers = (contracts.layers or 1) if contracts.masks == "layered" else 1
    element = np.concatenate([np.arange(elements), np.full(targets, -1)])
    reads = events.reads(elements + targets, 1, layers)
    return prune(Structure(element, reads, elements + np.arange(targets), "direct"), contracts.masks)
