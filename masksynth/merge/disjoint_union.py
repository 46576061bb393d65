"""The disjoint union of the tasks' live nodes: the graph that colour refinement works on.

Rows are shared objects: node u reads row ``refs[t][u]`` in table t, and ``rows[r]`` lists its keys. Tasks given as
literal rows have one row object per node and table. While every task of the family is transitively closed, rows are
kept *compressed*: the dense row of a node in the strongly connected component C is

    row(u) = C  +  below(C),     below(C) = row of the only lower cover of C, or an explicit list where C has several
    lower covers,

so a chain or a tree needs O(n) entries instead of O(n^2). Comparing (C, members of the lower cover) class by class is
the same as comparing dense rows: all keys outside C have strictly shorter rows than u, so C is what is longest in
row(u), and the cover, when it is the only one, is what is longest in the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from masksynth.merge.condensation import (
    NO_COVER,
    SEVERAL_COVERS,
    Adjacency,
    check_entries,
    condense,
    find_covers,
    list_members,
    lowest_components,
)
from masksynth.tasks import Node, Task, TaskFamily


@dataclass(frozen=True, eq=False)
class Union:
    """Live nodes of a family, numbered task by task in the order of the file.

    Parameters
    ----------
    family : TaskFamily
    task, node : list of int
        Live node u is ``family.tasks[task[u]].nodes[node[u]]``.
    identity : list of int
        Code of (input, position, kind), by first appearance.
    keys : list of P adjacency lists
        For each table of the layer pattern, the keys of each live node as the file gives them (not closed).
    """

    family: TaskFamily
    task: list[int]
    node: list[int]
    identity: list[int]
    keys: list[Adjacency]

    def task_and_node(self, live: int) -> tuple[Task, Node]:
        """Return the task and the node of live node ``live``."""
        task = self.family.tasks[self.task[live]]
        return task, task.nodes[self.node[live]]


@dataclass(frozen=True, eq=False)
class Rows:
    """Row objects that the live nodes read.

    Parameters
    ----------
    rows : list of int lists
        Keys of each row object.
    refs : list of T int lists
        ``refs[t][u]`` is the row object that node u reads in table t. Compressed rows have two: the component and what
        is below it.
    size : list of int tuples
        An invariant of equivalent nodes: the length of the (dense) row, and whether what is below it is listed
        explicitly.
    compressed : bool
        True: a node's dense row is ``rows[refs[0][u]]`` plus the dense row of ``tail[u]`` if that is a node, else
        ``rows[refs[1][u]]``.
    tail : sequence of int
        For compressed rows: a node of the only lower cover; -1 where there is none.
    """

    rows: Adjacency
    refs: list[list[int]]
    size: list[tuple[int, ...]]
    compressed: bool = False
    tail: Sequence[int] = ()


def live_union(family: TaskFamily) -> Union:
    """Return the disjoint union of the live nodes of all tasks: those that some prediction depends on.

    Examples
    --------
    >>> from masksynth import catalog
    >>> len(live_union(catalog.causal_lm(n=4).family).task)
    6
    """
    codes: dict[tuple[str, int, str], int] = {}
    task_of: list[int] = []
    node_of: list[int] = []
    identity: list[int] = []
    keys: list[Adjacency] = [[] for _ in range(family.tables)]
    for task_index, task in enumerate(family.tasks):
        live = task.live()
        number: dict[str, int] = {}  # live node of each node name of this task
        for index, node in enumerate(task.nodes):
            if node.name in live:
                number[node.name] = len(task_of)
                task_of.append(task_index)
                node_of.append(index)
                identity.append(codes.setdefault(node.identity, len(codes)))
        for table, adjacency in zip(task.attends, keys, strict=True):
            adjacency.extend([number[key] for key in table.get(name, ())] for name in number)
    return Union(family, task_of, node_of, identity, keys)


def read_rows(union: Union, compress: bool) -> Rows:
    """Return the rows of all live nodes.

    Parameters
    ----------
    union : Union
    compress : bool
        Whether to compress rows where that is possible: if every task is closed.

    Raises
    ------
    Unsupported
        If more than ``MAX_ENTRIES`` entries would be listed.
    """
    closed = [task.closure for task in union.family.tasks]
    if compress and all(closed):
        return compress_rows(union.keys[0], union.task)
    if not any(closed):
        count = len(union.task)
        rows = [row for adjacency in union.keys for row in adjacency]
        refs = [list(range(table * count, (table + 1) * count)) for table in range(len(union.keys))]
        return Rows(rows, refs, [tuple(map(len, tables)) for tables in zip(*union.keys, strict=True)])
    return _expand(union, closed)


def compress_rows(adjacency: Adjacency, task: Sequence[int]) -> Rows:
    """Return the rows of closed tasks, one per component: its members, and its lower cover or all that is below.

    Parameters
    ----------
    adjacency : list of n int lists
        Keys of each live node, not closed.
    task : sequence of n ints
        Task of each live node, ascending.

    Raises
    ------
    Unsupported
        If more than ``MAX_ENTRIES`` entries would be listed.
    """
    parent = _single_keys(adjacency)
    if parent is not None:
        return _forest_rows(parent)
    graph = condense(adjacency)
    cover, down_sets = find_covers(graph, lowest_components(task, graph))
    rows = [*graph.members, []]
    empty = len(rows) - 1
    row_size: list[int] = []  # length of the dense row of each component
    below: list[int] = []  # row object of what is below each component
    for component, lower in enumerate(cover):
        if lower == SEVERAL_COVERS:
            rows.append(list_members(graph, down_sets[component]))
        below.append(len(rows) - 1 if lower == SEVERAL_COVERS else empty if lower == NO_COVER else lower)
        row_size.append(len(graph.members[component]) + (row_size[lower] if lower >= 0 else len(rows[below[-1]])))
    tail = [graph.members[lower][0] if lower >= 0 else -1 for lower in cover]
    size: list[tuple[int, ...]] = [(row_size[part], cover[part] == SEVERAL_COVERS) for part in graph.of]
    refs = [graph.of, [below[part] for part in graph.of]]
    return Rows(rows, refs, size, True, [tail[part] for part in graph.of])


def _single_keys(adjacency: Adjacency) -> list[int] | None:
    """Return the only key of each node other than itself, -1 for none; None unless all are earlier nodes."""
    parent = [-1] * len(adjacency)
    for live, row in enumerate(adjacency):
        for key in row:
            if key != live:
                if key > live or parent[live] >= 0:
                    return None
                parent[live] = key
    return parent


def _forest_rows(parent: list[int]) -> Rows:
    """Return the rows of a forest: each node is a component, its parent the only lower cover."""
    nodes = list(range(len(parent)))
    depth: list[int] = []
    for lower in parent:
        depth.append(depth[lower] + 1 if lower >= 0 else 1)
    below = [lower if lower >= 0 else len(parent) for lower in parent]
    rows: Adjacency = [*([live] for live in nodes), []]
    return Rows(rows, [nodes, below], [(size, False) for size in depth], True, parent)


def _expand(union: Union, closed: list[bool]) -> Rows:
    """Return all rows in full: literal rows as given, closed rows as dense down-sets, one per component."""
    is_closed = [closed[task] for task in union.task]
    keys = [row if in_closed else [] for row, in_closed in zip(union.keys[0], is_closed, strict=True)]
    packed = compress_rows(keys, union.task)
    rows: Adjacency = []
    row_of: dict[int, int] = {}  # dense row of each component of a closed task
    entries = 0
    for live in _first_of_components(packed, is_closed):
        component, tail = packed.refs[0][live], packed.tail[live]
        rest = rows[row_of[packed.refs[0][tail]]] if tail >= 0 else packed.rows[packed.refs[1][live]]
        row_of[component] = len(rows)
        rows.append(rest + packed.rows[component])
        entries += len(rows[-1])
        check_entries(entries)
    refs = [
        [row_of[packed.refs[0][live]] if in_closed else -1 for live, in_closed in enumerate(is_closed)]
        for _ in union.keys
    ]
    for table, adjacency in enumerate(union.keys):
        for live, in_closed in enumerate(is_closed):
            if not in_closed:
                refs[table][live] = len(rows)
                rows.append(adjacency[live])
    return Rows(rows, refs, [tuple(len(rows[row]) for row in read) for read in zip(*refs, strict=True)])


def _first_of_components(packed: Rows, is_closed: list[bool]) -> list[int]:
    """Return one node of each component of closed tasks, in the order of the components: from the bottom up."""
    first: dict[int, int] = {}
    for live, component in enumerate(packed.refs[0]):
        if is_closed[live]:
            first.setdefault(component, live)
    return [first[component] for component in sorted(first)]
