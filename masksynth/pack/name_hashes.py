"""Detect repeated names in a stream, ids or groups, with 8 bytes for each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from masksynth.mask.equal_values import distinct


class SeenNames:
    """The set of names seen so far, as 64-bit hashes: a sorted array, and a set of the latest ones.

    Two different names are confused with a probability of 2^-64. ``1`` and ``"1"`` are different names.

    Examples
    --------
    >>> seen = SeenNames()
    >>> seen.add(["a", 1]), seen.add(["b", "1", "a"])
    ([False, False], [False, False, True])
    """

    def __init__(self) -> None:
        self.old = np.zeros(0, np.uint64)
        self.new: set[int] = set()
        self.first: Sequence[str | int] | None = None

    def add(self, names: Sequence[str | int]) -> list[bool]:
        """Add distinct names, and return for each whether it was added before."""
        if self.first is None:  # hashed when more names come: a batch in a training loop has one table
            self.first = tuple(names)
            return [False] * len(self.first)
        self.new.update(map(_code, self.first))
        self.first = ()
        codes = [_code(name) for name in names]
        array = np.array(codes, np.uint64)
        index = np.minimum(np.searchsorted(self.old, array), max(len(self.old) - 1, 0))
        in_old = self.old[index] == array if len(self.old) else np.zeros(len(array), bool)
        seen = [old or code in self.new for old, code in zip(in_old.tolist(), codes, strict=True)]
        self.new.update(codes)
        if len(self.new) > 1024 + len(self.old) // 8:  # so that merging costs O(1) per name on average
            self.old = distinct(np.append(self.old, np.fromiter(self.new, np.uint64, len(self.new))))
            self.new = set()
        return seen


def _code(name: str | int) -> int:
    """Return the 64-bit hash of a name and its type."""
    text = f"{type(name).__name__}:{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
