"""Versions of the software that computed an answer."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version


def versions(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the versions of masksynth, Python and numpy, and of others that took part.

    Parameters
    ----------
    more : mapping of str to str, optional
        Name -> version of additional packages.

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
