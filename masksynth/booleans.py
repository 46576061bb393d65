"""Detect booleans among numbers: numpy converts a list of both to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BOOLEANS = frozenset((bool, np.bool_))
"""Boolean types."""


def holds_booleans(values: Any) -> bool:
    """Return whether a flat list or an array contains a boolean.

    Examples
    --------
    >>> np.asarray([5, True]).tolist(), holds_booleans([5, True]), holds_booleans([5, 1]), holds_booleans(np.eye(1) > 0)
    ([5, 1], True, False, True)
    """
    if isinstance(values, Sequence):
        return not BOOLEANS.isdisjoint(map(type, values))
    return getattr(getattr(values, "dtype", None), "kind", "") == "b"
