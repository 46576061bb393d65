"""Reads with their layers, collected into the masks of a structure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from masksynth.discover.structure import Reads
from masksynth.mask.typing import Int64Array


@dataclass(frozen=True, eq=False)
class Events:
    """Reads: in layer ``layer[i]``, from 1, position ``query[i]`` reads position ``key[i]``."""

    layer: Int64Array
    query: Int64Array
    key: Int64Array

    @classmethod
    def join(cls, *parts: Events) -> Events:
        """Return the events of several parts, in their order."""
        return cls(
            np.concatenate([part.layer for part in parts]),
            np.concatenate([part.query for part in parts]),
            np.concatenate([part.key for part in parts]),
        )

    def reads(self, size: int, depth: int, layers: int) -> tuple[Reads, ...]:
        """Return the masks of ``layers`` layers, of which the last ``depth`` hold the events.

        Layers that a construction does not need come first and read nothing: a blank costs nothing before its first
        read. Events after layer ``depth`` are left out.

        Parameters
        ----------
        size : int
            Number of positions.
        depth : int
            Number of layers that the events need.
        layers : int
            L, at least ``depth``.
        """
        order = np.argsort(self.layer, kind="stable")
        layer, query, key = self.layer[order], self.query[order], self.key[order]
        first = np.searchsorted(layer, np.arange(1, depth + 2))
        nothing = Reads(np.zeros(0, np.int64), np.zeros(0, np.int64))
        used = [Reads.of_pairs(query[a:b], key[a:b], size) for a, b in pairwise(first)]
        return (nothing,) * (layers - depth) + tuple(used)
