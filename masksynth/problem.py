"""What a backend is asked: which live nodes may coincide, so that the fewest positions remain.

Meaning of an answer. A *coincidence* is an equivalence relation on the live nodes such that coinciding nodes have the same identity and,
for each table, rows that can be matched one to one with matched keys coinciding. Its cost is the sum over classes of max(1, most members
of the class in one row).
Nothing here knows colour refinement: liveness and dense rows are computed anew, by naive search and by the closure of small relations.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np

from masksynth.errors import Unsupported
from masksynth.posets import closure
from masksynth.tasks import Task, TaskFamily

MAX_SEARCH_NODES = 20_000
"""Most live nodes that a search backend accepts."""
MAX_SEARCH_ENTRIES = 20_000_000
"""Most row entries that a search backend accepts."""


@dataclass(frozen=True)
class Nodes:
    """The live nodes of a family, written out.

    Parameters
    ----------
    name : tuple of (str, str)
        (task, node) of each live node, in the order of the files.
    identity : tuple of n ints
        Equal iff (input, position, kind) are equal.
    rows : P-tuple of n-tuples of int tuples
        ``rows[t][u]``: keys of node u in table t, dense where the task is closed.
    predicting : frozenset of int
    """

    name: tuple[tuple[str, str], ...]
    identity: tuple[int, ...]
    rows: tuple[tuple[tuple[int, ...], ...], ...]
    predicting: frozenset[int]


@dataclass(frozen=True)
class Problem:
    """A family, and the number of layers at which equality suffices (None: any depth)."""

    family: TaskFamily
    layers: int | None = None

    @cached_property
    def nodes(self) -> Nodes:
        """The live nodes, written out; raises Unsupported above ``MAX_SEARCH_NODES`` and ``MAX_SEARCH_ENTRIES``."""
        return written_out(self.family)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Nodes that may coincide, in ascending order: same identity and, table by table, as many keys of every identity."""
        groups: dict[object, list[int]] = {}
        nodes = self.nodes
        for node, identity in enumerate(nodes.identity):
            inventory = tuple(tuple(sorted(nodes.identity[key] for key in table[node])) for table in nodes.rows)
            groups.setdefault((identity, inventory), []).append(node)
        return tuple(map(tuple, groups.values()))

    @property
    def pair_count(self) -> int:
        """How many pairs there are, without listing them."""
        return sum(comb(len(group), 2) for group in self.groups)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs u < v that may coincide."""
        return tuple((u, v) for group in self.groups for place, v in enumerate(group) for u in group[:place])

    @cached_property
    def most_clauses(self) -> int:
        """An upper bound on the clauses: three a triple, and for each pair and k equal keys in a row k + k^2 (k + 1) / 2 (one if k = 1)."""
        nodes = self.nodes
        total = 3 * sum(comb(len(group), 3) for group in self.groups)
        for group in self.groups:
            crowds = [Counter(nodes.identity[key] for key in table[group[0]]).values() for table in nodes.rows]
            matching = sum(1 if k == 1 else k + k * k * (k + 1) // 2 for crowd in crowds for k in crowd)
            total += comb(len(group), 2) * matching
        return total


def live_rows(task: Task) -> dict[str, list[tuple[str, ...]]]:
    """Rows of a task's live nodes, one for each table; dense if the task is closed.

    Examples
    --------
    >>> from masksynth.tasks import Node, Prediction
    >>> task = Task("t", [Node("a", "x", 0), Node("b", "y", 1), Node("c", "z", 2)], {"b": ["a"], "c": ["b"]}, [Prediction("b", "z")], True)
    >>> live_rows(task)
    {'a': [('a',)], 'b': [('a', 'b')]}
    """
    live = task.live()
    names = [node.name for node in task.nodes if node.name in live]
    if not task.closure:
        return {name: [tuple(table.get(name, ())) for table in task.attends] for name in names}
    place = {name: number for number, name in enumerate(names)}
    literal = np.zeros((len(names), len(names)), bool)
    for name in names:
        for key in task.attends[0].get(name, ()):
            literal[place[name], place[key]] = True
    dense = closure(literal)
    return {name: [tuple(names[key] for key in np.flatnonzero(row))] for name, row in zip(names, dense, strict=True)}


def written_out(family: TaskFamily) -> Nodes:
    """The live nodes of a family with their rows written out."""
    count = sum(len(task.live()) for task in family.tasks)
    if count > MAX_SEARCH_NODES:
        raise Unsupported(
            f"{count} live nodes, more than the {MAX_SEARCH_NODES} that a search backend takes; use --backend criterion"
        )
    name: list[tuple[str, str]] = []
    identity: list[int] = []
    tables: list[list[tuple[int, ...]]] = [[] for _ in range(family.tables)]
    predicting: set[int] = set()
    numbers: dict[tuple[str, int, str], int] = {}
    entries = 0
    for task in family.tasks:
        rows = live_rows(task)
        place = {node: len(name) + number for number, node in enumerate(rows)}
        name += [(task.name, node) for node in rows]
        identity += [numbers.setdefault(task.nodes[task.index[node]].identity, len(numbers)) for node in rows]
        predicting |= {place[prediction.node] for prediction in task.predict}
        for node in rows:
            for table, row in zip(tables, rows[node], strict=True):
                table.append(tuple(place[key] for key in row))
                entries += len(row)
        if entries > MAX_SEARCH_ENTRIES:
            raise Unsupported(
                f"more than the {MAX_SEARCH_ENTRIES} row entries that a search backend takes; use --backend criterion"
            )
    return Nodes(tuple(name), tuple(identity), tuple(map(tuple, tables)), frozenset(predicting))
