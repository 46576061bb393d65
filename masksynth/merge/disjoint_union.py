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

import numpy as np

from masksynth.errors import Unsupported
from masksynth.mask.csr import indptr
from masksynth.posets import components
from masksynth.tasks import Node, Task, TaskFamily

MAX_ENTRIES = 50_000_000
"""Number of row entries that may be listed explicitly."""

NO_COVER, SEVERAL_COVERS = -1, -2
"""Instead of the index of a component's only lower cover."""

Adjacency = list[list[int]]


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


def check_entries(entries: int) -> None:
    """Raise Unsupported if more than ``MAX_ENTRIES`` row entries would be listed."""
    if entries > MAX_ENTRIES:
        raise Unsupported(
            f"more than {MAX_ENTRIES} row entries would be listed; split the family, or give closed tasks and no layers"
        )


@dataclass(frozen=True, eq=False)
class _Condensation:
    """Strongly connected components of closed tasks, each numbered after the components below it.

    Parameters
    ----------
    of : list of int
        Component of each live node.
    members : adjacency lists
        Live nodes of each component.
    below : list of int lists
        Lower components that some row names, in descending order (not reduced to covers).
    """

    of: list[int]
    members: Adjacency
    below: list[list[int]]


def _condense(adjacency: Adjacency) -> _Condensation:
    """Return the condensation of a graph given by adjacency lists."""
    keys = np.array([key for row in adjacency for key in row], np.int64)
    of = list(map(int, components(indptr([len(row) for row in adjacency]), keys)))
    members: Adjacency = [[] for _ in range(max(of, default=-1) + 1)]
    for live, component in enumerate(of):
        members[component].append(live)
    below = [
        sorted({of[key] for live in nodes for key in adjacency[live]} - {component}, reverse=True)
        for component, nodes in enumerate(members)
    ]
    return _Condensation(of, members, below)


def _find_covers(graph: _Condensation, lowest: list[int]) -> tuple[list[int], dict[int, list[int]]]:
    """Return the only lower cover of each component, and the strict down-set of each that has several.

    Parameters
    ----------
    graph : _Condensation
    lowest : list of int
        For each component the first component of its task; down-sets are integers whose bit i stands for component
        lowest + i.

    Returns
    -------
    cover : list of int
        ``NO_COVER`` for a minimal component, ``SEVERAL_COVERS`` if there are several.
    down_sets : mapping of int to list of int
    """
    cover = [NO_COVER] * len(graph.below)
    bits_of: dict[int, int] = {}  # down-sets as bits, each computed once
    down_sets: dict[int, list[int]] = {}
    entries = 0
    for component, below in enumerate(graph.below):
        reached, covers = 0, []
        for lower in below:  # descending: a later component is never above an earlier one
            if not reached >> (lower - lowest[component]) & 1:
                covers.append(lower)
                if len(below) > 1:
                    reached |= _down_set_bits(lower, cover, bits_of, lowest[component])
        if len(covers) == 1:
            cover[component] = covers[0]
        elif covers:
            cover[component] = SEVERAL_COVERS
            down_sets[component] = [lowest[component] + bit for bit in _set_bits(reached)]
            entries += sum(len(graph.members[lower]) for lower in down_sets[component])
            check_entries(entries)
            bits_of[component] = reached | 1 << (component - lowest[component])
    return cover, down_sets


def _down_set_bits(component: int, cover: list[int], bits_of: dict[int, int], lowest: int) -> int:
    """Return the down-set of a component, itself included, as bits: its chain of only covers and what that ends in."""
    chain, current = [], component
    while current != NO_COVER and current not in bits_of:
        chain.append(current - lowest)
        current = cover[current]
    bits = np.zeros(component - lowest + 1, bool)
    bits[chain] = True
    chain_bits = int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
    bits_of[component] = chain_bits | bits_of.get(current, 0)
    return bits_of[component]


def _set_bits(number: int) -> list[int]:
    """Return the indices of the set bits, ascending."""
    data = np.frombuffer(number.to_bytes(number.bit_length() // 8 + 1, "little"), np.uint8)
    bits: list[int] = np.flatnonzero(np.unpackbits(data, bitorder="little")).tolist()
    return bits


def _lowest_components(task: Sequence[int], graph: _Condensation) -> list[int]:
    """Return for each component the first component of its task."""
    first: dict[int, int] = {}
    tasks = [task[nodes[0]] for nodes in graph.members]
    for component, task in enumerate(tasks):
        first.setdefault(task, component)
    return [first[task] for task in tasks]


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
    graph = _condense(adjacency)
    cover, down_sets = _find_covers(graph, _lowest_components(task, graph))
    rows = [*graph.members, []]
    empty = len(rows) - 1
    row_size: list[int] = []  # length of the dense row of each component
    below: list[int] = []  # row object of what is below each component
    for component, lower in enumerate(cover):
        if lower == SEVERAL_COVERS:
            rows.append([live for part in down_sets[component] for live in graph.members[part]])
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
