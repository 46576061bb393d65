"""Each target reads the tokens that it needs, all in one layer: raw keys and values only."""

from __future__ import annotations

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.constructions.events import Events
from masksynth.discover.structure import Structure, prune
from masksynth.mask.typing import BoolArray, Int64Array


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
    need = _needs(contracts)
    return _read_at(contracts, need, contracts.elements.count + np.arange(len(contracts.targets)), "direct")


def direct_at_tokens(contracts: Contracts) -> Structure | None:
    """Return `direct` with targets that may be at a token of their need predicted there, one at each token.

    Only for a mask per layer: with one mask a token that reads is no longer raw. A target that finds no token is a
    blank. None is returned if no target may be at a token.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> structure = direct_at_tokens(leave_one_out(n=4, layers=2, place="any"))
    >>> structure.size, structure.target.tolist()
    (4, [3, 0, 1, 2])
    """
    elements = contracts.elements.count
    free, place = np.ones(elements, bool), elements + np.arange(len(contracts.targets))
    need = _needs(contracts)
    for target, row in enumerate(need):
        if contracts.targets[target].place == "any" and len(tokens := np.flatnonzero(row & free)):
            # the token before the target, if it can be had
            place[target] = tokens[np.searchsorted(tokens, target) - 1]
            free[place[target]] = False
    if contracts.masks == "one" or free.all():
        return None
    return _read_at(contracts, need, place, "direct at tokens")


def _needs(contracts: Contracts) -> BoolArray:
    bits = np.unpackbits(contracts.need.view(np.uint8), axis=1, count=contracts.elements.count, bitorder="little")
    return bits.view(bool)


def _read_at(contracts: Contracts, need: BoolArray, place: Int64Array, name: str) -> Structure:
    """Return the structure in which the targets at given positions read the tokens of their need."""
    elements, targets = contracts.elements.count, len(contracts.targets)
    target, token = np.nonzero(need)
    events = Events(np.ones(len(target), np.int64), place[target], token)
    layers = (contracts.layers or 1) if contracts.masks == "layered" else 1
    element = np.concatenate([np.arange(elements), np.full(targets, -1)])
    return prune(Structure(element, events.reads(elements + targets, 1, layers), place, name), contracts.masks)
