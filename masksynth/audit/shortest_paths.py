"""Shortest paths through layers: hop by hop, breadth first, within a budget."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.layer_reach import (
    ENTRIES,
    FAR,
    ROUNDS,
    Bools,
    Ints,
    Sets,
    bounds,
    closed,
    seen_directly,
    spread,
    tables_used,
    walked,
)
from masksynth.mask import Mask
from masksynth.verify.interval_sets import ranges, runs_of

BUDGET = 1 << 31
"""Entries that the search may touch."""
MAX_PATHS, MAX_HOPS = 500, 256
"""Most paths of two hops or more that are written out, and the most hops of one."""
WALK = 64
"""What a step of a walk counts beside an entry."""


class Asked(NamedTuple):
    """Questions of some lines: question ``owner[i]``, which belongs to ``line[owner[i]]``, asks for ``item[i]``, a member of its set."""

    line: Ints
    owner: Ints
    item: Ints
    lines: int

    def unanswered(self, best: NDArray[np.int32]) -> Bools:
        """Which lines have a question of whose set nothing has been reached."""
        answered = np.zeros(len(self.line), bool)
        answered[self.owner[best[self.line[self.owner], self.item] < FAR]] = True
        found = np.zeros(self.lines, bool)
        found[self.line[~answered]] = True
        return found


def asked_of(query: Ints, which: Ints, sets: Sets) -> Asked:
    """The questions (query, number of the set), sorted by query; a line for each query."""
    count = np.diff(sets.offset)[which]
    line = np.unique(query, return_inverse=True)[1].ravel()
    item = sets.item[ranges(sets.offset[:-1][which], count)]
    return Asked(line, np.repeat(np.arange(len(query)), count), item, int(line.max(initial=-1)) + 1)


class Search:
    """Fewest hops from some queries to all positions, with what is left of the budget."""

    def __init__(self, mask: Mask, layers: int | None) -> None:
        self.mask, self.layers, self.left = mask, layers, BUDGET
        self.layered = mask.tables > 1 and layers is not None

    def hops(self, queries: Ints, asked: Asked) -> list[NDArray[np.int32]] | None:
        """``(m, N)`` fewest hops within the layers after each round, FAR where there are none; None where the budget ends.

        Without a layer pattern only the last round is kept, and a line is followed no further than its questions need.
        """
        start = np.full((len(queries), self.mask.size), FAR, np.int32)
        start[np.arange(len(queries)), queries] = 0
        found = [start]
        for after in self._layered(start) if self.layered else self._plain(start, asked):
            if self.left < 0:
                return None
            found = [*found, after] if self.layered else [after]
        return found

    def _plain(self, best: NDArray[np.int32], asked: Asked) -> Iterator[NDArray[np.int32]]:
        """Round r finds what is r hops away; any table may serve, waiting is allowed."""
        number = 0
        while self.layers is None or number < self.layers:
            lines = np.flatnonzero(asked.unanswered(best))
            here = best[lines]
            fresh = here == number
            if not fresh.any():
                return
            if number == ROUNDS:
                yield from self._one_by_one(best, lines)
                return
            reached = np.zeros_like(fresh)
            for table in tables_used(self.mask, self.layers):
                reached |= spread(self.mask, table, fresh)
            number += 1
            best[lines] = np.where(reached & (here == FAR), np.int32(number), here)
            self.left -= here.size
            yield best

    def _one_by_one(self, best: NDArray[np.int32], lines: Ints) -> Iterator[NDArray[np.int32]]:
        """Lines that are deep are walked to their end, position by position."""
        for line in lines.tolist():
            self.left -= WALK * (self.mask.size + len(self.mask.key_start))
            if self.left >= 0:
                start = np.full(self.mask.size, FAR, np.int32)
                query = int(best[line].argmin())
                start[query] = 0
                best[line] = walked(self.mask, start, [query], self.layers)
        yield best

    def _layered(self, best: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
        """Round r is layer L - r + 1, from the top down; a hop reads the table of its layer."""
        quiet, layer = 0, self.layers or 0
        while layer > 0 and quiet < self.mask.tables:
            after = best
            for number in np.unique(best[best < FAR]).tolist():
                reached = spread(self.mask, (layer - 1) % self.mask.tables, best == number)
                after = np.where(reached & (after > number + 1), np.int32(number + 1), after)
            quiet = 0 if (after != best).any() else quiet + 1
            layer, best = layer - 1, after
            self.left -= best.size
            yield best

    def path(self, rounds: list[NDArray[np.int32]], line: int, key: int) -> list[int]:
        """A shortest path from ``key`` to the query of a line, lowest positions first."""
        path, turn = [key], len(rounds) - 1
        while (left := int(rounds[turn][line, path[-1]])) > 0:
            if self.layered and rounds[turn - 1][line, path[-1]] == left:
                turn -= 1
                continue
            before = rounds[turn - 1][line] if self.layered else rounds[-1][line]
            tables = (
                [(self.layers - turn) % self.mask.tables]
                if self.layered and self.layers
                else list(tables_used(self.mask, self.layers))
            )
            path.append(_reader(self.mask, tables, before == left - 1, path[-1]))
            turn -= self.layered
        return path


def _reader(mask: Mask, tables: list[int], among: Bools, key: int) -> int:
    """The lowest position among some whose row holds ``key`` in one of the tables."""
    best = mask.size
    for table in tables:
        rows = runs_of(mask, table)
        query = np.repeat(np.arange(mask.size), np.diff(rows.offset))
        hit = query[(rows.start <= key) & (key < rows.end) & among[query]]
        best = min(best, int(hit.min(initial=best)))
    return best


def layers_of(mask: Mask, path: list[int]) -> list[int]:
    """The earliest layers at which the hops of a path can happen, one after the other.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),)], [((0, 1),), ((1, 2),)]])
    >>> layers_of(mask, [0, 1])
    [1]
    """
    found: list[int] = []
    for key, query in pairwise(path):
        layer = (found[-1] if found else 0) + 1
        while not any(start <= key < end for start, end in mask.intervals(query, (layer - 1) % mask.tables)):
            layer += 1
        found.append(layer)
    return found


class Found(NamedTuple):
    """Question ``number`` is answered by a path of ``hops`` hops to ``key``; the path may be left out (None) where there are many."""

    number: int
    key: int
    hops: int
    path: list[int] | None


def reached(mask: Mask, query: Ints, which: Ints, sets: Sets, layers: int | None) -> tuple[list[Found], int]:
    """The questions whose query reaches a member of its set within the layers, with shortest paths, and how many were not decided.

    Parameters
    ----------
    query, which : (H,) int64
        Question i: does ``query[i]`` reach a member of set ``which[i]``?
    layers : int, optional
        None: at any depth.

    Examples
    --------
    >>> from masksynth.audit.layer_reach import sets_of
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]])
    >>> reached(mask, np.array([2, 1]), np.array([0, 1]), sets_of([[0], [2]]), None)
    ([Found(number=0, key=0, hops=2, path=[0, 1, 2])], 0)
    """
    query, which = np.asarray(query, np.int64), np.asarray(which, np.int64)
    width = mask.size + 1
    code = np.repeat(np.arange(len(sets.offset) - 1), np.diff(sets.offset)) * width + sets.item
    own = np.isin(which * width + query, code)
    direct = seen_directly(mask, query, which, sets, layers)
    found = [Found(i, int(query[i]), 0, [int(query[i])]) for i in np.flatnonzero(own).tolist()]
    hits = np.flatnonzero(~own & (direct >= 0)).tolist()
    found += [Found(i, int(direct[i]), 1, [int(direct[i]), int(query[i])]) for i in hits]
    open_: Bools = ~own & (direct < 0) & (np.diff(sets.offset)[which] > 0)
    if not open_.any() or layers == 1 or closed(mask):
        return sorted(found), 0
    low, high = bounds(mask)
    asked = np.flatnonzero(open_)
    place = np.searchsorted(code, which[asked] * width + low[query[asked]])
    open_[asked] = np.append(code, FAR * width)[place] <= which[asked] * width + high[query[asked]]
    deeper, undecided = _searched(mask, query, which, sets, layers, np.flatnonzero(open_))
    return sorted([*found, *deeper], key=lambda one: one.number), undecided


def _searched(
    mask: Mask, query: Ints, which: Ints, sets: Sets, layers: int | None, open_: Ints
) -> tuple[list[Found], int]:
    search = Search(mask, layers)
    found: list[Found] = []
    order = open_[np.argsort(query[open_], kind="stable")]
    queries, first = np.unique(query[order], return_index=True)
    ends = np.append(first[1:], len(order))
    step = max(1, ENTRIES // (max(mask.size, 1) * (min(layers or 1, 64) if search.layered else 1)))
    for low in range(0, len(queries), step):
        high = min(low + step, len(queries))
        part = order[first[low] : ends[high - 1]]
        rounds = search.hops(queries[low:high], asked_of(query[part], which[part], sets))
        if rounds is None:
            return found, len(order) - int(first[low])
        for line in range(high - low):
            for number in order[first[low + line] : ends[low + line]].tolist():
                members = sets.item[sets.offset[which[number]] : sets.offset[which[number] + 1]]
                hops = rounds[-1][line, members]
                if (least := int(hops.min())) < FAR:
                    key = int(members[int(hops.argmin())])
                    path = search.path(rounds, line, key) if len(found) < MAX_PATHS and least <= MAX_HOPS else None
                    found.append(Found(number, key, least, path))
    return found, 0
