"""Booleans are not numbers, although numpy turns a list of both into one of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BOOLEANS = frozenset((bool, np.bool_))
"""Types of a boolean."""


def holds_booleans(values: Any) -> bool:
    """Whether a flat list or an array holds a boolean.

    Examples
    --------
    >>> np.asarray([5, True]).tolist(), holds_booleans([5, True]), holds_booleans([5, 1]), holds_booleans(np.eye(1) > 0)
    ([5, 1], True, False, True)
    """
    if isinstance(values, Sequence):
        return not BOOLEANS.isdisjoint(map(type, values))
    return getattr(getattr(values, "dtype", None), "kind", "") == "b"
