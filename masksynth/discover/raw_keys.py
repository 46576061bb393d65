"""Conditions under which one mask of few positions lets every target read raw tokens only (theorem 7 of the docs)."""

from __future__ import annotations

import numpy as np

from masksynth.contracts import Contracts

LARGEST = 1 << 28
"""Elements or targets times targets times words beyond which the conditions are not examined."""


def tokens_stay_raw(contracts: Contracts) -> bool:
    """Return whether for each two needed elements some target needs the first and hides the second.

    Then a position that is the only one to embed an element can see nothing else.

    Examples
    --------
    >>> from masksynth.contracts.families import causal, leave_one_out
    >>> tokens_stay_raw(leave_one_out(n=4)), tokens_stay_raw(causal(n=4))
    (True, False)
    """
    count = contracts.elements.count
    if count * contracts.need.size > LARGEST:
        return False
    needed = np.unpackbits(contracts.need.view(np.uint8), axis=1, count=count, bitorder="little").view(bool)
    used = np.bitwise_or.reduce(contracts.need, axis=0)
    for element in np.flatnonzero(needed.any(axis=0)).tolist():
        hidden = np.bitwise_or.reduce(contracts.hide[needed[:, element]], axis=0)
        if int(np.bitwise_count(used & ~hidden).sum()) > 1:  # the element itself is hidden by none of these
            return False
    return True


def targets_hide_from_each_other(contracts: Contracts) -> bool:
    """Return whether each target hides something that each other target needs: then no blank can read another one's.

    Examples
    --------
    >>> from masksynth.contracts.families import causal, leave_one_out
    >>> targets_hide_from_each_other(leave_one_out(n=4)), targets_hide_from_each_other(causal(n=4))
    (True, False)
    """
    if len(contracts.targets) * contracts.need.size > LARGEST:
        return False
    return all(
        int((contracts.need & hidden).any(axis=1).sum()) == len(contracts.targets) - 1 for hidden in contracts.hide
    )
