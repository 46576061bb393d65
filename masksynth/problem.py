"""The problem that a backend solves: which live nodes may coincide, so that the fewest positions remain.

A *coincidence* is an equivalence relation on the live nodes such that coinciding nodes have the same identity and,
for each table, rows that can be matched one to one with matched keys coinciding. Its cost is the sum over classes of
max(1, most members of the class in one row).
Colour refinement is not used here: liveness and dense rows are computed independently, by plain search and by the
closure of small relations.
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
"""Maximal number of live nodes for a search backend."""
MAX_SEARCH_ENTRIES = 20_000_000
"""Maximal number of row entries for a search backend."""


@dataclass(frozen=True)
class Nodes:
    """The live nodes of a family, with their rows in full.

    Parameters
    ----------
    name : tuple of (str, str)
        (task, node) of each live node, in the order of the file.
    identity : tuple of n ints
        Code of (input, position, kind).
    rows : P-tuple of n-tuples of int tuples
        ``rows[t][u]``: keys of node u in table t; closed if the task is.
    predicting : frozenset of int
        Live nodes with a prediction.
    """

    name: tuple[tuple[str, str], ...]
    identity: tuple[int, ...]
    rows: tuple[tuple[tuple[int, ...], ...], ...]
    predicting: frozenset[int]


@dataclass(frozen=True)
class Problem:
    """A merging problem.

    Parameters
    ----------
    family : TaskFamily
    layers : int, optional
        Number of layers of the model, at which equality suffices [default: any depth].
    """

    family: TaskFamily
    layers: int | None = None

    @cached_property
    def nodes(self) -> Nodes:
        """The live nodes with their rows; Unsupported if they exceed ``MAX_SEARCH_NODES`` or ``MAX_SEARCH_ENTRIES``."""
        return list_nodes(self.family)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Groups of nodes that may coincide, ascending.

        Nodes may coincide if they have equal identity and, table by table, equally many keys of each identity.
        """
        groups: dict[object, list[int]] = {}
        nodes = self.nodes
        for node, identity in enumerate(nodes.identity):
            key_identities = tuple(tuple(sorted(nodes.identity[key] for key in table[node])) for table in nodes.rows)
            groups.setdefault((identity, key_identities), []).append(node)
        return tuple(map(tuple, groups.values()))

    @property
    def pair_count(self) -> int:
        """Number of pairs that may coincide, without listing them."""
        return sum(comb(len(group), 2) for group in self.groups)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs u < v that may coincide."""
        return tuple((u, v) for group in self.groups for index, v in enumerate(group) for u in group[:index])

    @cached_property
    def most_clauses(self) -> int:
        """An upper bound on the number of clauses.

        Three for each triple in a group (transitivity); for each pair and k keys of equal identity in a row k + k^2 (k
        + 1) / 2 (matching), one if k = 1.
        """
        nodes = self.nodes
        total = 3 * sum(comb(len(group), 3) for group in self.groups)
        for group in self.groups:
            tables = [Counter(nodes.identity[key] for key in table[group[0]]).values() for table in nodes.rows]
            matching = sum(1 if k == 1 else k + k * k * (k + 1) // 2 for counts in tables for k in counts)
            total += comb(len(group), 2) * matching
        return total


def live_rows(task: Task) -> dict[str, list[tuple[str, ...]]]:
    """Return the rows of a task's live nodes, one for each table; closed if the task is.

    Examples
    --------
    >>> from masksynth.tasks import Node, Prediction
    >>> nodes = [Node("a", "x", 0), Node("b", "y", 1), Node("c", "z", 2)]
    >>> task = Task("t", nodes, {"b": ["a"], "c": ["b"]}, [Prediction("b", "z")], closure=True)
    >>> live_rows(task)
    {'a': [('a',)], 'b': [('a', 'b')]}
    """
    live = task.live()
    names = [node.name for node in task.nodes if node.name in live]
    if not task.closure:
        return {name: [tuple(table.get(name, ())) for table in task.attends] for name in names}
    index = {name: number for number, name in enumerate(names)}
    relation = np.zeros((len(names), len(names)), bool)
    for name in names:
        for key in task.attends[0].get(name, ()):
            relation[index[name], index[key]] = True
    dense = closure(relation)
    return {name: [tuple(names[key] for key in np.flatnonzero(row))] for name, row in zip(names, dense, strict=True)}


def list_nodes(family: TaskFamily) -> Nodes:
    """Return the live nodes of a family with their rows in full.

    Raises
    ------
    Unsupported
        If there are more than ``MAX_SEARCH_NODES`` live nodes or ``MAX_SEARCH_ENTRIES`` row entries.
    """
    count = sum(len(task.live()) for task in family.tasks)
    if count > MAX_SEARCH_NODES:
        raise Unsupported(
            f"search backends support {MAX_SEARCH_NODES} live nodes, got {count}; use --backend criterion"
        )
    name: list[tuple[str, str]] = []
    identity: list[int] = []
    tables: list[list[tuple[int, ...]]] = [[] for _ in range(family.tables)]
    predicting: set[int] = set()
    codes: dict[tuple[str, int, str], int] = {}
    entries = 0
    for task in family.tasks:
        rows = live_rows(task)
        index = {node: len(name) + number for number, node in enumerate(rows)}
        name += [(task.name, node) for node in rows]
        identity += [codes.setdefault(task.nodes[task.index[node]].identity, len(codes)) for node in rows]
        predicting |= {index[prediction.node] for prediction in task.predict}
        for node in rows:
            for table, row in zip(tables, rows[node], strict=True):
                table.append(tuple(index[key] for key in row))
                entries += len(row)
        if entries > MAX_SEARCH_ENTRIES:
            raise Unsupported(
                f"search backends support {MAX_SEARCH_ENTRIES} row entries, got more; use --backend criterion"
            )
    return Nodes(tuple(name), tuple(identity), tuple(map(tuple, tables)), frozenset(predicting))
