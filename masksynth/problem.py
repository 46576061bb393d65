"""What a backend is asked: which live nodes may coincide, so that the fewest positions remain.

Meaning of an answer. A *coincidence* is an equivalence relation on the live nodes such that coinciding nodes have the same identity and,
for each table, rows that can be matched one to one with matched keys coinciding. Its cost is the sum over classes of max(1, most members
of the class in one row).
Nothing here knows colour refinement: liveness and dense rows are computed anew, by naive search and by the closure of small relations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from masksynth.errors import Unsupported
from masksynth.orders import closure
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
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs u < v that may coincide: same identity and, table by table, as many keys of every identity."""
        groups: dict[object, list[int]] = {}
        nodes = self.nodes
        for node, identity in enumerate(nodes.identity):
            inventory = tuple(tuple(sorted(nodes.identity[key] for key in table[node])) for table in nodes.rows)
            groups.setdefault((identity, inventory), []).append(node)
        return tuple((u, v) for group in groups.values() for place, v in enumerate(group) for u in group[:place])


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
    if sum(len(task.nodes) for task in family.tasks) > 4 * MAX_SEARCH_NODES:
        raise Unsupported(f"a search backend takes at most {MAX_SEARCH_NODES} live nodes; use --backend criterion")
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
        if len(name) > MAX_SEARCH_NODES or entries > MAX_SEARCH_ENTRIES:
            raise Unsupported(f"a search backend takes at most {MAX_SEARCH_NODES} live nodes; use --backend criterion")
    return Nodes(tuple(name), tuple(identity), tuple(map(tuple, tables)), frozenset(predicting))
