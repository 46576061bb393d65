"""Check the installed version of transformers against those whose models masksynth reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import metadata
from types import ModuleType

TRANSFORMERS = ((5, 20), (6, 0))
"""The first supported version, and the first that is not."""


def require_transformers() -> ModuleType:
    """Import transformers; raise if its version is not one whose attention and mask interfaces are supported.

    Raises
    ------
    ImportError
        If it is missing or another version; the message has the supported range and the installed version.
    """
    _check_version(metadata.version)
    import transformers

    return transformers


@cache  # reading a package's metadata takes milliseconds; failures are not cached
def _check_version(version_of: Callable[[str], str]) -> None:
    low, high = (f"{major}.{minor}" for major, minor in TRANSFORMERS)
    needs = f"reading a model needs transformers >={low},<{high}"
    remedy = f"pip install 'transformers>={low},<{high}'"
    try:
        installed = version_of("transformers")
    except metadata.PackageNotFoundError:
        raise ImportError(f"{needs}, which is not installed; {remedy}") from None
    if not TRANSFORMERS[0] <= _release(installed) < TRANSFORMERS[1]:
        raise ImportError(f"{needs}, installed is {installed}; {remedy}")


def _release(version: str) -> tuple[int, int]:
    """Return the first two numbers of a version."""
    parts = [*version.split(".")[:2], "0"]
    return int("".join(c for c in parts[0] if c.isdigit()) or 0), int("".join(c for c in parts[1] if c.isdigit()) or 0)
