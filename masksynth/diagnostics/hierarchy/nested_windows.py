"""Nest parts of a list in windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def nest_windows(parts: list[Any], branching: Sequence[int]) -> Any:
    """Nest parts in windows of ``branching[0]`` parts, these in windows of ``branching[1]``, and so on."""
    for step in branching:
        if len(parts) > step:
            parts = [unwrap(parts[low : low + step]) for low in range(0, len(parts), step)]
    return unwrap(parts)


def unwrap(parts: list[Any]) -> Any:
    """Return the only part, or all of them."""
    return parts[0] if len(parts) == 1 else parts
