"""Which software gave an answer."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version


def versions(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Versions of masksynth, Python and numpy, and whatever else took part.

    Examples
    --------
    >>> list(versions({"ortools": "9.15"}))
    ['masksynth', 'python', 'numpy', 'ortools']
    """
    return {
        "masksynth": version("masksynth"),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        **(more or {}),
    }
