"""Families of contracts, one function each."""

from __future__ import annotations

import numpy as np

from masksynth.contracts.model import Contracts, Elements, Masks, Target
from masksynth.posets.bit_rows import pack


def leave_one_out(n: int = 8, layers: int | None = None) -> Contracts:
    """Return the contracts of n tokens that are each predicted from all others.

    Parameters
    ----------
    n : int
        Number of tokens.
    layers : int, optional
        Number of layers, each with a mask of its own; None: one mask, safe at any depth.

    Examples
    --------
    >>> leave_one_out(n=3).needed(1).tolist()
    [0, 2]
    """
    itself = np.eye(n, dtype=bool)
    targets = tuple(Target(index, position=index) for index in range(n))
    elements = Elements(tuple(range(n)), tuple(range(n)))
    masks: Masks = "one" if layers is None else "layered"
    return Contracts(f"leave_one_out-{n}", elements, targets, pack(~itself), pack(itself), layers, masks)
