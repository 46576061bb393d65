"""Disjoint ways from elements to a target through the states (q, l), by augmenting paths."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.verify.discovery.layer_rows import Rows


class Ways:
    """Ways through a structure: from positions that embed an element, read by read, to a position.

    State (q, l) is split in two vertices, 2 (l N + q) where ways arrive and 2 (l N + q) + 1 where they leave, with one
    arc between them, so that one way passes. Vertex -1 - e is element e. Each arc carries one way.

    Parameters
    ----------
    layers : list of Rows
        The rows of each layer.
    element : (N,) int64
        The element that each position embeds, -1 for a blank.

    Examples
    --------
    Two tokens that reach a blank through one hub, in two layers:

    >>> hub = Rows(np.array([0, 1, 2, 5, 6]), np.array([0, 1, 0, 1, 2, 3]))
    >>> top = Rows(np.array([0, 1, 2, 3, 5]), np.array([0, 1, 2, 2, 3]))
    >>> Ways([hub, top], np.array([0, 1, -1, -1])).count(3, [0, 1], 2)
    1
    """

    def __init__(self, layers: list[Rows], element: Int64Array) -> None:
        self.layers, self.element, self.size = layers, element, len(element)
        self.heads: dict[int, list[int]] = {}
        for position in np.flatnonzero(element >= 0).tolist():
            self.heads.setdefault(-1 - int(element[position]), []).append(2 * position)
        for layer, rows in enumerate(layers):
            order = np.argsort(rows.key, kind="stable")
            first = np.searchsorted(rows.key[order], np.arange(self.size + 1))
            readers = (2 * ((layer + 1) * self.size + rows.query[order])).tolist()
            for position in range(self.size):
                vertex = 2 * (layer * self.size + position)
                self.heads[vertex] = [vertex + 1]
                self.heads[vertex + 1] = readers[first[position] : first[position + 1]]

    def count_raw(self, target: int, needed: set[int]) -> int:
        """Return of how many needed elements a position that embeds one is read: their ways share nothing."""
        keys = np.concatenate([rows.others(target) for rows in self.layers])
        return len(needed & set(self.element[keys].tolist()))

    def count(self, target: int, needed: list[int], most: int) -> int:
        """Return the greatest number of disjoint ways from different needed elements to a target, at most ``most``."""
        # ways[v] are the vertices from which a way comes to v: it may be sent back there.
        ways: dict[int, set[int]] = {}
        used: set[int] = set()
        for found in range(most):
            path = self._find(target, [-1 - number for number in needed if number not in used], ways)
            if not path:
                return found
            used.add(-1 - path[0])
            for tail, head in pairwise(path):
                if head in ways.get(tail, ()):
                    ways[tail].remove(head)
                else:
                    ways.setdefault(head, set()).add(tail)
        return most

    def _find(self, target: int, starts: list[int], ways: dict[int, set[int]]) -> list[int]:
        """Return a path from a start to a state of the target, over free arcs and back along ways; empty if none."""
        before: dict[int, int | None] = dict.fromkeys(starts)
        pending = deque(starts)
        while pending:
            vertex = pending.popleft()
            if vertex >= 0 and vertex % 2 == 0 and vertex // 2 % self.size == target:
                return _path_to(vertex, before)
            free = [head for head in self.heads.get(vertex, ()) if vertex not in ways.get(head, ())]
            for head in (*free, *ways.get(vertex, ())):
                if head not in before:
                    before[head] = vertex
                    pending.append(head)
        return []


def _path_to(vertex: int, before: dict[int, int | None]) -> list[int]:
    """Return the vertices that lead to one."""
    path = [vertex]
    while (previous := before[path[-1]]) is not None:
        path.append(previous)
    return path[::-1]
