"""Find shortest paths through layers of attention, breadth first and within a budget."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from masksynth.audit.layer_reach import (
    ENTRIES,
    FAR,
    ROUNDS,
    Sets,
    count_hops,
    first_attended,
    keys_of_rows,
    tables_used,
)
from masksynth.audit.reach_bounds import is_transitive, reach_bounds
from masksynth.mask import Mask
from masksynth.mask.csr import repeat_index, repeat_ranges, row_of_entry
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array

BUDGET = 1 << 31
"""Entries that one search may touch."""
MAX_PATHS, MAX_HOPS = 500, 256
"""Maximum number of paths of two hops or more that are written out, and of hops of one path."""
VISIT_COST = 64
"""Cost of one step of `count_hops`, in entries of a round over all positions."""


class Answer(NamedTuple):
    """A question whose query reaches a member of its set.

    Parameters
    ----------
    number : int
        Index of the question.
    key : int
        The member that is reached.
    hops : int
        Fewest hops to it.
    path : list of int, optional
        Positions from the key to the query; None where there are too many paths or hops to write out.
    """

    number: int
    key: int
    hops: int
    path: list[int] | None


class Targets(NamedTuple):
    """Members of the sets of several questions, flattened.

    Parameters
    ----------
    line : (questions,) int64
        Line of the search that each question belongs to: one line per query.
    question, item : (members,) int64
        Question and position of each member.
    lines : int
        Number of lines.
    """

    line: Int64Array
    question: Int64Array
    item: Int64Array
    lines: int

    def open_lines(self, hops: Int32Array) -> BoolArray:
        """Return which lines have a question of whose set no member has been reached."""
        answered = np.zeros(len(self.line), bool)
        answered[self.question[hops[self.line[self.question], self.item] < FAR]] = True
        is_open = np.zeros(self.lines, bool)
        is_open[self.line[~answered]] = True
        return is_open


def _targets_of(query: Int64Array, which: Int64Array, sets: Sets) -> Targets:
    """Return the targets of questions (query, index of the set) that are sorted by query."""
    count = np.diff(sets.offset)[which]
    line = np.unique(query, return_inverse=True)[1].ravel()
    item = sets.item[repeat_ranges(sets.offset[:-1][which], count)]
    return Targets(line, repeat_index(count), item, int(line.max(initial=-1)) + 1)


class Search:
    """Count the fewest hops from some queries to all positions, and keep track of the budget."""

    def __init__(self, mask: Mask, layers: int | None) -> None:
        self.mask, self.layers, self.budget = mask, layers, BUDGET
        self.layered = mask.tables > 1 and layers is not None  # which table a hop may use then depends on the layer

    def hops(self, queries: Int64Array, targets: Targets) -> list[Int32Array] | None:
        """Return the fewest hops within the layers after each round, ``(m, N)``; None if the budget ends before.

        Positions that are not reached have ``FAR`` hops. Without a layer pattern only the last round is kept, and a
        line is followed no further than its questions need.
        """
        start = np.full((len(queries), self.mask.size), FAR, np.int32)
        start[np.arange(len(queries)), queries] = 0
        rounds = [start]
        for hops in self._layered_rounds(start) if self.layered else self._plain_rounds(start, targets):
            if self.budget < 0:
                return None
            rounds = [*rounds, hops] if self.layered else [hops]
        return rounds

    def _plain_rounds(self, hops: Int32Array, targets: Targets) -> Iterator[Int32Array]:
        """Yield the hops after each round: round r finds the positions r hops away, through any table."""
        number = 0
        while self.layers is None or number < self.layers:
            lines = np.flatnonzero(targets.open_lines(hops))
            current = hops[lines]
            frontier = current == number
            if not frontier.any():
                return
            if number == ROUNDS:
                yield from self._visit_deep_lines(hops, lines)
                return
            reached = np.zeros_like(frontier)
            for table in tables_used(self.mask, self.layers):
                reached |= keys_of_rows(self.mask, table, frontier)
            number += 1
            hops[lines] = np.where(reached & (current == FAR), np.int32(number), current)
            self.budget -= current.size
            yield hops

    def _visit_deep_lines(self, hops: Int32Array, lines: Int64Array) -> Iterator[Int32Array]:
        """Finish lines that are still open after ``ROUNDS`` rounds, one position after another."""
        for line in lines.tolist():
            self.budget -= VISIT_COST * (self.mask.size + len(self.mask.key_start))
            if self.budget >= 0:
                start = np.full(self.mask.size, FAR, np.int32)
                query = int(hops[line].argmin())
                start[query] = 0
                hops[line] = count_hops(self.mask, start, [query], self.layers)
        yield hops

    def _layered_rounds(self, hops: Int32Array) -> Iterator[Int32Array]:
        """Yield the hops after each layer from the top down; a hop uses the table of its layer."""
        unchanged, layer = 0, self.layers or 0
        while layer > 0 and unchanged < self.mask.tables:
            after = hops
            for number in np.unique(hops[hops < FAR]).tolist():
                reached = keys_of_rows(self.mask, (layer - 1) % self.mask.tables, hops == number)
                after = np.where(reached & (after > number + 1), np.int32(number + 1), after)
            unchanged = 0 if (after != hops).any() else unchanged + 1
            layer, hops = layer - 1, after
            self.budget -= hops.size
            yield hops

    def path(self, rounds: list[Int32Array], line: int, key: int) -> list[int]:
        """Return a shortest path from ``key`` to the query of a line, through the lowest positions."""
        path, turn = [key], len(rounds) - 1
        while (left := int(rounds[turn][line, path[-1]])) > 0:
            if self.layered and rounds[turn - 1][line, path[-1]] == left:  # no hop in this layer
                turn -= 1
                continue
            before = rounds[turn - 1][line] if self.layered else rounds[-1][line]
            tables = (
                [(self.layers - turn) % self.mask.tables]
                if self.layered and self.layers
                else list(tables_used(self.mask, self.layers))
            )
            path.append(_lowest_query(self.mask, tables, before == left - 1, path[-1]))
            turn -= self.layered
        return path


def _lowest_query(mask: Mask, tables: list[int], chosen: BoolArray, key: int) -> int:
    """Return the lowest of the chosen positions that attends to ``key`` in one of the tables."""
    lowest = mask.size
    for table in tables:
        query, start, end = row_intervals(mask, table)
        hit = query[(start <= key) & (key < end) & chosen[query]]
        lowest = min(lowest, int(hit.min(initial=lowest)))
    return lowest


def layers_of_path(mask: Mask, path: list[int]) -> list[int]:
    """Return the earliest layers, counted from 1, at which the hops of a path can happen one after another.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),)], [((0, 1),), ((1, 2),)]])
    >>> layers_of_path(mask, [0, 1])
    [1]
    """
    layers: list[int] = []
    for key, query in pairwise(path):
        layer = (layers[-1] if layers else 0) + 1
        while not any(start <= key < end for start, end in mask.intervals(query, (layer - 1) % mask.tables)):
            layer += 1
        layers.append(layer)
    return layers


def find_reachable(
    mask: Mask, query: Int64Array, which: Int64Array, sets: Sets, layers: int | None
) -> tuple[list[Answer], int]:
    """Return the questions whose query reaches a member of its set, with shortest paths, and how many are undecided.

    Parameters
    ----------
    mask : Mask
    query, which : (H,) int64
        Question i: does ``query[i]`` reach a member of set ``which[i]``?
    sets : Sets
    layers : int, optional
        Most hops, one per layer. None: any number.

    Examples
    --------
    >>> from masksynth.audit.layer_reach import build_sets
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]])
    >>> find_reachable(mask, np.array([2, 1]), np.array([0, 1]), build_sets([[0], [2]]), None)
    ([Answer(number=0, key=0, hops=2, path=[0, 1, 2])], 0)
    """
    query, which = np.asarray(query, np.int64), np.asarray(which, np.int64)
    width = mask.size + 1
    code = row_of_entry(sets.offset) * width + sets.item  # (set, member) as one integer, ascending
    itself = np.isin(which * width + query, code)
    direct = first_attended(mask, query, which, sets, layers)
    answers = [Answer(i, int(query[i]), 0, [int(query[i])]) for i in np.flatnonzero(itself).tolist()]
    hits = np.flatnonzero(~itself & (direct >= 0)).tolist()
    answers += [Answer(i, int(direct[i]), 1, [int(direct[i]), int(query[i])]) for i in hits]
    is_open: BoolArray = ~itself & (direct < 0) & (np.diff(sets.offset)[which] > 0)
    if not is_open.any() or layers == 1 or is_transitive(mask):
        return sorted(answers), 0
    low, high = reach_bounds(mask)
    number = np.flatnonzero(is_open)
    # the first member within the lower bound has to lie within the upper bound, too
    first = np.searchsorted(code, which[number] * width + low[query[number]])
    is_open[number] = np.append(code, FAR * width)[first] <= which[number] * width + high[query[number]]
    deeper, undecided = _search(mask, query, which, sets, layers, np.flatnonzero(is_open))
    return sorted([*answers, *deeper], key=lambda answer: answer.number), undecided


def _search(
    mask: Mask, query: Int64Array, which: Int64Array, sets: Sets, layers: int | None, numbers: Int64Array
) -> tuple[list[Answer], int]:
    """Answer the questions ``numbers`` breadth first; return the answers and how many the budget left open."""
    search = Search(mask, layers)
    answers: list[Answer] = []
    order = numbers[np.argsort(query[numbers], kind="stable")]  # questions of one query share a line
    queries, first = np.unique(query[order], return_index=True)
    ends = np.append(first[1:], len(order))
    step = max(1, ENTRIES // (max(mask.size, 1) * (min(layers or 1, 64) if search.layered else 1)))
    for low in range(0, len(queries), step):
        high = min(low + step, len(queries))
        batch = order[first[low] : ends[high - 1]]
        rounds = search.hops(queries[low:high], _targets_of(query[batch], which[batch], sets))
        if rounds is None:
            return answers, len(order) - int(first[low])
        for line in range(high - low):
            for number in order[first[low + line] : ends[low + line]].tolist():
                members = sets.item[sets.offset[which[number]] : sets.offset[which[number] + 1]]
                hops = rounds[-1][line, members]
                if (least := int(hops.min())) < FAR:
                    key = int(members[int(hops.argmin())])
                    written = len(answers) < MAX_PATHS and least <= MAX_HOPS
                    path = search.path(rounds, line, key) if written else None
                    answers.append(Answer(number, key, least, path))
    return answers, 0
