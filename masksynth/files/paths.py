"""Paths: which lead to the same file, which files a glob matches, and which are inputs, never replaced."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from masksynth.errors import InvalidInstance

Paths = Iterable[str | Path]
FORCE = "or give --force (in Python force=True)"


def is_same(left: str | Path, right: str | Path) -> bool:
    """Return whether two paths lead to the same file or folder, through links and relative paths too.

    Examples
    --------
    >>> is_same("masksynth", "./masksynth/../masksynth"), is_same("no such file", "/")
    (True, False)
    """
    try:
        return os.path.samefile(left, right)
    except (OSError, ValueError):
        return os.path.realpath(left) == os.path.realpath(right)


def match_files(pattern: str) -> list[str]:
    """Return the files that a glob matches, sorted, each once by its shortest path even if several links lead to it.

    Examples
    --------
    >>> match_files("no such file*")
    []
    """
    shortest: dict[str, str] = {}
    if glob.has_magic(pattern):
        for path in sorted(glob.iglob(pattern, recursive=True), key=lambda path: (len(path), path)):
            if os.path.isfile(path):
                shortest.setdefault(os.path.realpath(path), path)
    return sorted(shortest.values())


def check_inputs(target: str | Path, inputs: Paths) -> None:
    """Raise InvalidInstance if the target is one of the inputs; ``-`` is the file redirected to stdin, if any."""
    for path in inputs:
        if _is_stdin(target) if str(path) == "-" else is_same(target, path):
            raise InvalidInstance("is the input, which is never replaced", "", "choose another name", str(target))


def _is_stdin(target: str | Path) -> bool:
    try:
        return os.path.samestat(os.fstat(0), os.stat(target))
    except (OSError, ValueError):
        return False
