"""From classes of nodes to the merged task: positions, rows as intervals, embeddings, loss edges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from masksynth.mask import Intervals, Mask
from masksynth.mask.typing import Int64Array
from masksynth.merge.bottom_up import is_acyclic
from masksynth.merge.disjoint_union import Rows, Union
from masksynth.merge.forest_mask import forest_mask
from masksynth.merge.position_order import heavy_paths
from masksynth.merge.refine import refine
from masksynth.tasks import LossEdge, MergedTask, Position, Question, TaskFamily
from masksynth.tasks.canonical import canonical


@dataclass(frozen=True)
class Layout:
    """Positions of the classes: class c has the positions ``start[c] .. start[c] + copies[c] - 1``.

    Parameters
    ----------
    start, copies : list of int
        First position and number of positions of each class.
    first : list of int
        First live node of each class.
    """

    start: list[int]
    copies: list[int]
    first: list[int]

    @property
    def size(self) -> int:
        """Number of positions."""
        return sum(self.copies)


def assign_positions(classes: Sequence[int], rows: Rows) -> Layout:
    """Give class c max(1, most members of c in one row) positions, the fewest that its readers can count.

    Closed families are ordered along heavy paths (`masksynth.merge.position_order`), others by first appearance; the
    copies of a class are adjacent.

    Parameters
    ----------
    classes : sequence of n ints
        Classes of the live nodes, numbered by first appearance.
    rows : Rows
        Its row objects show every multiplicity, compressed or not: members of one class share a component or an
        explicit row.

    Examples
    --------
    >>> assign_positions([0, 0, 1], Rows([[0, 1], [0, 1, 2]], [[0, 0, 1]], []))
    Layout(start=[0, 2], copies=[2, 1], first=[0, 2])
    """
    copies = [1] * (max(classes, default=-1) + 1)
    first = [-1] * len(copies)
    for live in range(len(classes) - 1, -1, -1):
        first[classes[live]] = live
    for row in rows.rows:
        classes_of_row = [classes[key] for key in row] if len(row) > 1 else []
        if len(set(classes_of_row)) < len(classes_of_row):
            for number, count in Counter(classes_of_row).items():
                copies[number] = max(copies[number], count)
    start = [0] * len(copies)
    position = 0
    for number in _order_classes(classes, rows, first, copies):
        start[number] = position
        position += copies[number]
    return Layout(start, copies, first)


def _order_classes(classes: Sequence[int], rows: Rows, first: Sequence[int], copies: Sequence[int]) -> list[int]:
    """Return the classes in the order of their positions; classes of one component are adjacent."""
    if not rows.compressed:
        return list(range(len(first)))
    by_component: dict[int, list[int]] = {}
    for number, live in enumerate(first):
        by_component.setdefault(rows.refs[0][live], []).append(number)
    groups = list(by_component.values())
    group_of = {number: group for group, members in enumerate(groups) for number in members}
    live_of_group = [first[members[0]] for members in groups]
    parent = [group_of[classes[rows.tail[live]]] if rows.tail[live] >= 0 else -1 for live in live_of_group]
    weight = [sum(copies[number] for number in members) for members in groups]
    depth = [rows.size[live][0] for live in live_of_group]  # the length of the dense row grows along the forest
    return [number for group in heavy_paths(parent, weight, depth) for number in groups[group]]


def coalesce_ranges(ranges: Iterable[tuple[int, int]]) -> Intervals:
    """Return disjoint ranges in order, those that touch merged.

    Examples
    --------
    >>> coalesce_ranges([(4, 6), (0, 2), (2, 4), (8, 9)])
    ((0, 6), (8, 9))
    """
    result: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if result and result[-1][1] == start:
            result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return tuple(result)


def build_class_mask(classes: Sequence[int], rows: Rows, layout: Layout) -> Mask:
    """Return the mask in which each position has the row of its class."""
    parent = _forest_parents(classes, rows, layout)
    if parent is not None:
        return forest_mask(parent)
    tables = 1 if rows.compressed else len(rows.refs)
    return Mask.from_intervals([_build_table(table, classes, rows, layout) for table in range(tables)])


def _forest_parents(classes: Sequence[int], rows: Rows, layout: Layout) -> Int64Array | None:
    """Return the position below each position, -1 for none; None unless rows are paths down, and lower ones earlier."""
    if not is_acyclic(rows) or len(rows.rows) > len(classes) + 1:  # a node with several lower covers
        return None
    start, class_of, tail = (np.array(numbers, np.int64) for numbers in (layout.start, classes, rows.tail))
    tail = tail[np.array(layout.first, np.int64)]  # a node of the lower cover of each class
    below = np.where(tail < 0, -1, start[class_of[tail]]) if len(tail) else tail
    parent = np.empty(layout.size, np.int64)
    parent[start] = below
    return parent if bool((parent < np.arange(layout.size)).all()) else None


def _build_table(table: int, classes: Sequence[int], rows: Rows, layout: Layout) -> list[Intervals]:
    """Return the rows of one table, each computed once for its row object.

    A row contains the lowest copies of each class; a copy that would not be among them replaces the last one of its
    class.
    """
    result: list[Intervals | None] = [None] * layout.size
    computed: dict[tuple[int, int], tuple[Intervals, Mapping[int, int]]] = {}
    for bottom in layout.first:
        for live in _list_pending(bottom, classes, rows, layout, result):
            number, tail = classes[live], rows.tail[live] if rows.compressed else -1
            row_key = rows.refs[table][live], tail
            if row_key not in computed:
                counts = _count_keys(table, live, tail, classes, rows)
                below = result[layout.start[classes[tail]]] if tail >= 0 else ()
                ranges = [(layout.start[key], layout.start[key] + count) for key, count in counts.items()]
                computed[row_key] = _append_ranges(below or (), ranges), counts
            row, counts = computed[row_key]
            first = layout.start[number]
            for copy in range(layout.copies[number]):
                outside = number in counts and copy >= counts[number]
                result[first + copy] = _replace_key(row, first + counts[number] - 1, first + copy) if outside else row
    return [row if row is not None else () for row in result]


def _count_keys(table: int, live: int, tail: int, classes: Sequence[int], rows: Rows) -> Mapping[int, int]:
    """Return the number of keys of each class in a row object, without those of the tail's row."""
    keys = rows.rows[rows.refs[table][live]]
    if rows.compressed and tail < 0:
        keys = keys + rows.rows[rows.refs[1][live]]
    return Counter([classes[key] for key in keys]) if len(keys) > 1 else {classes[key]: 1 for key in keys}


def _replace_key(row: Intervals, old: int, new: int) -> Intervals:
    """Return the row with key ``new`` instead of key ``old``."""
    kept = [
        part for start, end in row for part in ((start, min(end, old)), (max(start, old + 1), end)) if part[0] < part[1]
    ]
    return coalesce_ranges([*kept, (new, new + 1)])


def _append_ranges(below: Intervals, ranges: list[tuple[int, int]]) -> Intervals:
    """Return the union of a row and disjoint ranges; one range above the row, the usual case, needs no sorting."""
    if len(ranges) == 1 and below and below[-1][1] <= ranges[0][0]:
        (start, end), last = ranges[0], below[-1]
        return (*below[:-1], (last[0], end)) if last[1] == start else (*below, (start, end))
    return coalesce_ranges([*below, *ranges])


def _list_pending(
    live: int, classes: Sequence[int], rows: Rows, layout: Layout, result: Sequence[Intervals | None]
) -> list[int]:
    """Return the first node of each class whose row is needed for that of ``live``'s class, lowest first."""
    chain = []
    current = live
    while current >= 0:
        current = layout.first[classes[current]]
        if result[layout.start[classes[current]]] is not None:
            break
        chain.append(current)
        current = rows.tail[current] if rows.compressed else -1
    return chain[::-1]


def index_labels(family: TaskFamily) -> tuple[tuple[Any, ...], list[list[int]]]:
    """Return the distinct labels by first use, and for each task the label index of each prediction."""
    codes: dict[str, int] = {}
    labels: list[Any] = []
    indices = []
    for task in family.tasks:
        indices_of_task = []
        for prediction in task.predict:
            text = canonical(prediction.label)
            if text not in codes:
                codes[text] = len(labels)
                labels.append(prediction.label)
            indices_of_task.append(codes[text])
        indices.append(indices_of_task)
    return tuple(labels), indices


def assemble(
    union: Union,
    node_of_position: Sequence[int],
    mask: Mask,
    position_of_node: Sequence[int],
    question: Question,
) -> MergedTask:
    """Assemble a merged task from its positions, mask and embeddings.

    Parameters
    ----------
    union : Union
    node_of_position : sequence of int
        A live node with the identity of each position.
    mask : Mask
    position_of_node : sequence of int
        Position of each live node; -1 for nodes that no prediction depends on within L layers.
    question : Question
        What was solved: depth, sparsity and the hash of the family.
    """
    family = union.family
    embeddings: dict[str, dict[str, int]] = {}
    for number, task in enumerate(family.tasks):
        lives = range(bisect_left(union.task, number), bisect_right(union.task, number))
        names = [task.nodes[union.node[live]].name for live in lives]
        embeddings[task.name] = {
            name: position
            for name, position in zip(names, position_of_node[lives.start : lives.stop], strict=True)
            if position >= 0
        }
    labels, label_index = index_labels(family)
    edges = tuple(
        LossEdge(embeddings[task.name][prediction.node], label, number, prediction.weight)
        for number, task in enumerate(family.tasks)
        for prediction, label in zip(task.predict, label_index[number], strict=True)
    )
    nodes = [union.task_and_node(live)[1] for live in node_of_position]
    positions = tuple(Position(node.input, node.position, node.kind) for node in nodes)
    return MergedTask(positions, mask, embeddings, labels, tuple(task.name for task in family.tasks), edges, question)


def merge_from_classes(union: Union, rows: Rows, classes: Sequence[int], question: Question) -> MergedTask:
    """Return the merged task of a stable colouring of the live nodes; minimal iff the colouring is the coarsest."""
    layout = assign_positions(classes, rows)
    mask = build_class_mask(classes, rows, layout)
    node_of_position = [0] * layout.size
    for start, copies, node in zip(layout.start, layout.copies, layout.first, strict=True):
        node_of_position[start : start + copies] = [node] * copies
    return assemble(union, node_of_position, mask, [layout.start[number] for number in classes], question)


def use_lowest_copies(merged: MergedTask) -> MergedTask:
    """Return the merged task with every embedding and loss edge at the lowest position that holds equal values.

    A search may put equal keys of one row into separate classes, at the same cost as copies of one class.
    """
    size = range(len(merged.positions))
    identity = [(canonical(position.input), position.position, position.kind) for position in merged.positions]
    rows = [merged.mask.row(query, table).tolist() for table in range(merged.mask.tables) for query in size]
    refs = [range(table * len(size), (table + 1) * len(size)) for table in range(merged.mask.tables)]
    lowest_of_class: dict[int, int] = {}
    lowest = [
        lowest_of_class.setdefault(number, position) for position, number in enumerate(refine(identity, rows, refs))
    ]
    return replace(
        merged,
        embeddings={
            task: {node: lowest[position] for node, position in nodes.items()}
            for task, nodes in merged.embeddings.items()
        },
        loss_edges=tuple(edge._replace(position=lowest[edge.position]) for edge in merged.loss_edges),
    )
