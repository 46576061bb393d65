"""Names that a stream has shown before, ids or groups, in 8 bytes each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


class SeenNames:
    """Hashes of names: a sorted array, and a set of the latest ones that joins it as it grows.

    Two names are taken for one with a chance of 2^-64. ``1`` and ``"1"`` are two names.

    Examples
    --------
    >>> seen = SeenNames()
    >>> seen.add(["a", 1]), seen.add(["b", "1", "a"])
    ([False, False], [False, False, True])
    """

    def __init__(self) -> None:
        self.old = np.zeros(0, np.uint64)
        self.new: set[int] = set()

    def add(self, names: Sequence[str | int]) -> list[bool]:
        """Return which of some distinct names were there before; all are there now."""
        codes = [_code(name) for name in names]
        array = np.array(codes, np.uint64)
        at = np.minimum(np.searchsorted(self.old, array), max(len(self.old) - 1, 0))
        old = self.old[at] == array if len(self.old) else np.zeros(len(array), bool)
        found = [was or code in self.new for was, code in zip(old.tolist(), codes, strict=True)]
        self.new.update(codes)
        if len(self.new) > 1024 + len(self.old) // 8:
            self.old = np.union1d(self.old, np.fromiter(self.new, np.uint64, len(self.new)))
            self.new = set()
        return found


def _code(name: str | int) -> int:
    text = f"{type(name).__name__}:{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
