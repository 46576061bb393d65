"""The disjoint union of the tasks' live parts, as the graph that refinement colours.

Rows are shared objects: node u reads row ``refs[t][u]`` in table t, and ``rows[r]`` lists its keys. Literal tasks have one row object per
node and table. Closed tasks are kept *compressed* while every task of the family is closed: the dense row of a node in component C is

    row(u) = C  +  below(C),     below(C) = row of the only lower cover of C, or an explicit list where C has several lower covers,

so a chain or a tree needs O(n) entries instead of O(n^2). Comparing (C, members of the lower cover) class by class is the same as comparing
dense rows: all keys outside C have strictly shorter rows than u, so C is what is longest in row(u), and the cover, when it is the only one,
is what is longest in the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from masksynth.errors import Unsupported
from masksynth.posets import components
from masksynth.tasks import Node, Task, TaskFamily

MAX_ENTRIES = 50_000_000
"""Most row entries that are written out explicitly."""

Adjacency = list[list[int]]


@dataclass(frozen=True, eq=False)
class Union:
    """Live nodes of a family, numbered task by task in the order of the files.

    Parameters
    ----------
    task, node : list of int
        Live node u is ``family.tasks[task[u]].nodes[node[u]]``.
    identity : list of int
        Equal iff (input, position, kind) are equal; numbered by first appearance.
    keys : list of P adjacency lists
        Literal keys, not closed.
    """

    family: TaskFamily
    task: list[int]
    node: list[int]
    identity: list[int]
    keys: list[Adjacency]

    def at(self, live: int) -> tuple[Task, Node]:
        """The task and node of live node ``live``."""
        task = self.family.tasks[self.task[live]]
        return task, task.nodes[self.node[live]]


@dataclass(frozen=True, eq=False)
class Rows:
    """Row objects read by the live nodes.

    Parameters
    ----------
    rows : list of int lists
        Keys of each row object.
    refs : list of T int lists
        ``refs[t][u]`` is the row object that node u reads in table t. Compressed rows have two: the component and what lies below it.
    size : list of int
        An invariant of equivalent nodes: the length of the (dense) row, and whether it is compressed further.
    compressed : bool
        True: a node's dense row is rows[refs[0][u]] plus, if ``tail[u]`` is a node, that node's dense row, else rows[refs[1][u]].
    tail : list of int
        For compressed rows; -1 where there is none.
    """

    rows: Adjacency
    refs: list[list[int]]
    size: list[tuple[int, ...]]
    compressed: bool = False
    tail: Sequence[int] = ()


def live_union(family: TaskFamily) -> Union:
    """The live nodes of a family: those that some prediction depends on.

    Examples
    --------
    >>> from masksynth import catalog
    >>> len(live_union(catalog.causal_lm(n=4).family).task)
    6
    """
    numbers: dict[tuple[str, int, str], int] = {}
    task_of: list[int] = []
    node_of: list[int] = []
    identity: list[int] = []
    keys: list[Adjacency] = [[] for _ in range(family.tables)]
    for place, task in enumerate(family.tasks):
        live = task.live()
        local: dict[str, int] = {}
        for index, node in enumerate(task.nodes):
            if node.name in live:
                local[node.name] = len(task_of)
                task_of.append(place)
                node_of.append(index)
                identity.append(numbers.setdefault(node.identity, len(numbers)))
        for table, adjacency in zip(task.attends, keys, strict=True):
            adjacency.extend([local[key] for key in table.get(name, ())] for name in local)
    return Union(family, task_of, node_of, identity, keys)


def read_rows(union: Union, compress: bool) -> Rows:
    """The rows of all live nodes; ``compress`` asks for the compressed form, possible when every task is closed."""
    closed = [task.closure for task in union.family.tasks]
    if compress and all(closed):
        return _compressed(union)
    if not any(closed):
        count = len(union.task)
        rows = [row for adjacency in union.keys for row in adjacency]
        return Rows(
            rows, [list(range(t * count, (t + 1) * count)) for t in range(len(union.keys))], _lengths(union.keys)
        )
    return _expanded(union, closed)


def _lengths(keys: list[Adjacency]) -> list[tuple[int, ...]]:
    return [tuple(map(len, rows)) for rows in zip(*keys, strict=True)]


@dataclass(frozen=True, eq=False)
class _Condensed:
    """Components of closed tasks, every component numbered after the components below it."""

    of: list[int]
    members: Adjacency
    below: list[list[int]]
    """Lower components named by literal keys (not reduced)."""


def _condense(adjacency: Adjacency) -> _Condensed:
    offset = np.zeros(len(adjacency) + 1, np.int64)
    np.cumsum([len(row) for row in adjacency], out=offset[1:])
    of = list(map(int, components(offset, np.array([key for row in adjacency for key in row], np.int64))))
    members: Adjacency = [[] for _ in range(max(of, default=-1) + 1)]
    for live, component in enumerate(of):
        members[component].append(live)
    below = [
        sorted({of[key] for live in part for key in adjacency[live]} - {number}, reverse=True)
        for number, part in enumerate(members)
    ]
    return _Condensed(of, members, below)


def _down_sets(parts: _Condensed, low: list[int]) -> tuple[list[int], dict[int, list[int]]]:
    """The only lower cover of each component (-1: none, -2: several), and the strict down-set of those that have several.

    ``low[c]`` is the first component of c's task; down-sets are integers whose bit i stands for component low + i.
    """
    cover = [-1] * len(parts.below)
    packed: dict[int, int] = {}
    strict: dict[int, list[int]] = {}
    entries = 0
    for number, below in enumerate(parts.below):
        found, covers = 0, []
        for part in below:  # descending: nothing that comes later can lie above what came before
            if not found >> (part - low[number]) & 1:
                covers.append(part)
                if len(below) > 1:
                    found |= _closed_down(part, cover, packed, low[number])
        if len(covers) == 1:
            cover[number] = covers[0]
        elif covers:
            cover[number] = -2
            strict[number] = [low[number] + bit for bit in _bits(found)]
            entries += sum(len(parts.members[part]) for part in strict[number])
            check_entries(entries)
            packed[number] = found | 1 << (number - low[number])
    return cover, strict


def _closed_down(part: int, cover: list[int], packed: dict[int, int], low: int) -> int:
    chain, at = [], part
    while at != -1 and at not in packed:
        chain.append(at - low)
        at = cover[at]
    bits = np.zeros(part - low + 1, bool)
    bits[chain] = True
    packed[part] = int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little") | packed.get(at, 0)
    return packed[part]


def _bits(number: int) -> list[int]:
    data = np.frombuffer(number.to_bytes(number.bit_length() // 8 + 1, "little"), np.uint8)
    bits: list[int] = np.flatnonzero(np.unpackbits(data, bitorder="little")).tolist()
    return bits


def check_entries(entries: int) -> None:
    """Refuse to write out more than ``MAX_ENTRIES`` row entries."""
    if entries > MAX_ENTRIES:
        raise Unsupported(
            f"more than {MAX_ENTRIES} row entries to write out; split the family, or give closed tasks and no layers"
        )


def _first_components(union: Union, parts: _Condensed) -> list[int]:
    first: dict[int, int] = {}
    tasks = [union.task[part[0]] for part in parts.members]
    for number, task in enumerate(tasks):
        first.setdefault(task, number)
    return [first[task] for task in tasks]


def _compressed(union: Union) -> Rows:
    """Rows of closed tasks, each component's once: its members, and its lower cover or everything below."""
    parts = _condense(union.keys[0])
    cover, strict = _down_sets(parts, _first_components(union, parts))
    rows = [*parts.members, []]
    nothing = len(rows) - 1
    sizes: list[int] = []
    below: list[int] = []
    for number, lower in enumerate(cover):
        if lower == -2:
            rows.append([live for part in strict[number] for live in parts.members[part]])
        below.append(len(rows) - 1 if lower == -2 else lower if lower >= 0 else nothing)
        sizes.append(len(parts.members[number]) + (sizes[lower] if lower >= 0 else len(rows[below[-1]])))
    tail = [parts.members[lower][0] if lower >= 0 else -1 for lower in cover]
    size: list[tuple[int, ...]] = [(sizes[part], cover[part] == -2) for part in parts.of]
    return Rows(rows, [parts.of, [below[part] for part in parts.of]], size, True, [tail[part] for part in parts.of])


def _expanded(union: Union, closed: list[bool]) -> Rows:
    """Every row written out: literal rows as they are, closed rows as dense down-sets (one object for a component)."""
    count = len(union.task)
    dense = [closed[task] for task in union.task]
    packed = _compressed(Union(union.family, union.task, union.node, union.identity, [_only(union.keys[0], dense)]))
    rows: Adjacency = []
    of: dict[int, int] = {}
    entries = 0
    for live in _bottom_up(packed, dense):
        part, tail = packed.refs[0][live], packed.tail[live]
        rest = rows[of[packed.refs[0][tail]]] if tail >= 0 else packed.rows[packed.refs[1][live]]
        of[part] = len(rows)
        rows.append(rest + packed.rows[part])
        entries += len(rows[-1])
        check_entries(entries)
    refs = [[of[packed.refs[0][live]] if dense[live] else -1 for live in range(count)] for _ in union.keys]
    for table, adjacency in enumerate(union.keys):
        for live in range(count):
            if not dense[live]:
                refs[table][live] = len(rows)
                rows.append(adjacency[live])
    return Rows(rows, refs, [tuple(len(rows[row]) for row in places) for places in zip(*refs, strict=True)])


def _only(adjacency: Adjacency, dense: list[bool]) -> Adjacency:
    return [row if kept else [] for row, kept in zip(adjacency, dense, strict=True)]


def _bottom_up(packed: Rows, dense: list[bool]) -> list[int]:
    """One closed node for each component, in the order of the components (numbered bottom-up)."""
    first: dict[int, int] = {}
    for live, part in enumerate(packed.refs[0]):
        if dense[live]:
            first.setdefault(part, live)
    return [first[part] for part in sorted(first)]
