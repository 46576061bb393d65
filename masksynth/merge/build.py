"""From classes of nodes to the merged task: positions, rows as intervals, embeddings, loss edges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from masksynth.mask import Intervals, Mask
from masksynth.merge.disjoint_union import Rows, Union
from masksynth.merge.position_order import heavy_paths
from masksynth.merge.refine import refine
from masksynth.tasks import LossEdge, MergedTask, Position, Question, TaskFamily
from masksynth.tasks.canonical import canonical


@dataclass(frozen=True)
class Layout:
    """Where the classes stand: class c holds positions ``start[c] .. start[c] + copies[c] - 1``; ``first[c]`` is its first node."""

    start: list[int]
    copies: list[int]
    first: list[int]

    @property
    def size(self) -> int:
        """Number of positions."""
        return sum(self.copies)


def lay_out(classes: Sequence[int], rows: Rows) -> Layout:
    """Give class c max(1, most members of c in one row) positions, the least that its readers can count.

    Closed families stand along heavy paths (`masksynth.merge.position_order`), others in the order of first appearance; copies stand together.

    Parameters
    ----------
    classes : sequence of n ints
        Classes of the live nodes, numbered by first appearance.
    rows : Rows
        Its row objects show every multiplicity, compressed or not: members of one class share a component or an explicit row.

    Examples
    --------
    >>> lay_out([0, 0, 1], Rows([[0, 1], [0, 1, 2]], [[0, 0, 1]], []))
    Layout(start=[0, 2], copies=[2, 1], first=[0, 2])
    """
    copies = [1] * (max(classes, default=-1) + 1)
    first = [-1] * len(copies)
    for live in range(len(classes) - 1, -1, -1):
        first[classes[live]] = live
    for row in rows.rows:
        seen = [classes[key] for key in row]
        if len(set(seen)) < len(seen):
            for own, count in Counter(seen).items():
                copies[own] = max(copies[own], count)
    start = [0] * len(copies)
    at = 0
    for own in _order(classes, rows, first, copies):
        start[own] = at
        at += copies[own]
    return Layout(start, copies, first)


def _order(classes: Sequence[int], rows: Rows, first: Sequence[int], copies: Sequence[int]) -> list[int]:
    """Classes in the order of their positions; classes of one component stand together."""
    if not rows.compressed:
        return list(range(len(first)))
    units: dict[int, list[int]] = {}
    for own, live in enumerate(first):
        units.setdefault(rows.refs[0][live], []).append(own)
    number = {own: unit for unit, members in enumerate(units.values()) for own in members}
    lowest = [first[members[0]] for members in units.values()]
    parent = [number[classes[rows.tail[live]]] if rows.tail[live] >= 0 else -1 for live in lowest]
    weight = [sum(copies[own] for own in members) for members in units.values()]
    members = list(units.values())
    return [
        own for unit in heavy_paths(parent, weight, [rows.size[live][0] for live in lowest]) for own in members[unit]
    ]


def joined(ranges: Iterable[tuple[int, int]]) -> Intervals:
    """Sorted, disjoint, not touching intervals with the same union as disjoint ``ranges``.

    Examples
    --------
    >>> joined([(4, 6), (0, 2), (2, 4), (8, 9)])
    ((0, 6), (8, 9))
    """
    result: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if result and result[-1][1] == start:
            result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return tuple(result)


def class_rows(classes: Sequence[int], rows: Rows, layout: Layout) -> Mask:
    """The mask in which every position takes the row of its class."""
    tables = 1 if rows.compressed else len(rows.refs)
    return Mask.from_intervals([_table(table, classes, rows, layout) for table in range(tables)])


def _table(table: int, classes: Sequence[int], rows: Rows, layout: Layout) -> list[Intervals]:
    """One table's rows, computed once for each row object: the lowest copies of every class, a high copy before the last of its own."""
    result: list[Intervals | None] = [None] * layout.size
    known: dict[tuple[int, int], tuple[Intervals, Mapping[int, int]]] = {}
    for bottom in layout.first:
        for live in _with_tails(bottom, classes, rows, layout, result):
            own, tail = classes[live], rows.tail[live] if rows.compressed else -1
            number = rows.refs[table][live], tail
            if number not in known:
                counts = _counts(table, live, tail, classes, rows)
                below = result[layout.start[classes[tail]]] if tail >= 0 else ()
                ranges = [(layout.start[key], layout.start[key] + count) for key, count in counts.items()]
                known[number] = _appended(below or (), ranges), counts
            row, counts = known[number]
            first = layout.start[own]
            for copy in range(layout.copies[own]):
                high = own in counts and copy >= counts[own]
                result[first + copy] = _exchanged(row, first + counts[own] - 1, first + copy) if high else row
    return [row if row is not None else () for row in result]


def _counts(table: int, live: int, tail: int, classes: Sequence[int], rows: Rows) -> Mapping[int, int]:
    """How many keys of each class a row object holds, without those of the tail's row."""
    explicit = rows.rows[rows.refs[table][live]]
    if rows.compressed and tail < 0:
        explicit = explicit + rows.rows[rows.refs[1][live]]
    return Counter([classes[key] for key in explicit]) if len(explicit) > 1 else {classes[key]: 1 for key in explicit}


def _exchanged(row: Intervals, old: int, new: int) -> Intervals:
    """The row with key ``new`` in the place of key ``old``."""
    kept = [
        part for start, end in row for part in ((start, min(end, old)), (max(start, old + 1), end)) if part[0] < part[1]
    ]
    return joined([*kept, (new, new + 1)])


def _appended(below: Intervals, ranges: list[tuple[int, int]]) -> Intervals:
    if len(ranges) == 1 and below and below[-1][1] <= ranges[0][0]:
        (start, end), last = ranges[0], below[-1]
        return (*below[:-1], (last[0], end)) if last[1] == start else (*below, (start, end))
    return joined([*below, *ranges])


def _with_tails(
    live: int, classes: Sequence[int], rows: Rows, layout: Layout, result: Sequence[Intervals | None]
) -> list[int]:
    """First nodes of the classes whose rows must be known before that of ``live``'s class, lowest first."""
    chain = []
    at = live
    while at >= 0:
        at = layout.first[classes[at]]
        if result[layout.start[classes[at]]] is not None:
            break
        chain.append(at)
        at = rows.tail[at] if rows.compressed else -1
    return chain[::-1]


def labelled(family: TaskFamily) -> tuple[tuple[Any, ...], list[list[int]]]:
    """Distinct labels in order of first use, and the label index of every prediction of every task."""
    numbers: dict[str, int] = {}
    labels: list[Any] = []
    uses = []
    for task in family.tasks:
        row = []
        for prediction in task.predict:
            text = canonical(prediction.label)
            if text not in numbers:
                numbers[text] = len(labels)
                labels.append(prediction.label)
            row.append(numbers[text])
        uses.append(row)
    return tuple(labels), uses


def assemble(
    union: Union, positions: Sequence[int], mask: Mask, place: Mapping[int, int] | Sequence[int], question: Question
) -> MergedTask:
    """The merged task whose position i has the identity of live node ``positions[i]`` and in which node u stands at ``place[u]``.

    ``place`` may leave out nodes (``-1`` or absent): those that no prediction demands within L layers.
    """
    family = union.family
    embeddings: dict[str, dict[str, int]] = {task.name: {} for task in family.tasks}
    for live in range(len(union.task)):
        if place[live] >= 0:
            task, node = union.at(live)
            embeddings[task.name][node.name] = place[live]
    labels, uses = labelled(family)
    edges = tuple(
        LossEdge(embeddings[task.name][prediction.node], label, number, prediction.weight)
        for number, task in enumerate(family.tasks)
        for prediction, label in zip(task.predict, uses[number], strict=True)
    )
    identities = tuple(Position(node.input, node.position, node.kind) for _, node in map(union.at, positions))
    return MergedTask(identities, mask, embeddings, labels, tuple(task.name for task in family.tasks), edges, question)


def merged_from_classes(union: Union, rows: Rows, classes: Sequence[int], question: Question) -> MergedTask:
    """The merged task of a stable colouring of the live nodes (any depth); minimal iff the colouring is the coarsest."""
    layout = lay_out(classes, rows)
    mask = class_rows(classes, rows, layout)
    positions = [0] * layout.size
    for start, copies, node in zip(layout.start, layout.copies, layout.first, strict=True):
        positions[start : start + copies] = [node] * copies
    return assemble(union, positions, mask, [layout.start[own] for own in classes], question)


def at_lowest_copies(merged: MergedTask) -> MergedTask:
    """The same positions and mask, with every embedding and loss edge at the lowest position that holds equal values.

    A search may keep equal keys of one row in classes of their own, at the same cost as copies of one class.
    """
    size = range(len(merged.positions))
    start = [(canonical(at.input), at.position, at.kind) for at in merged.positions]
    rows = [merged.mask.row(q, table).tolist() for table in range(merged.mask.tables) for q in size]
    refs = [range(table * len(size), (table + 1) * len(size)) for table in range(merged.mask.tables)]
    lowest: dict[int, int] = {}
    place = [lowest.setdefault(own, position) for position, own in enumerate(refine(start, rows, refs))]
    return replace(
        merged,
        embeddings={task: {node: place[q] for node, q in places.items()} for task, places in merged.embeddings.items()},
        loss_edges=tuple(edge._replace(position=place[edge.position]) for edge in merged.loss_edges),
    )
