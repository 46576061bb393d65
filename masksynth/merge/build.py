"""From classes of nodes to the merged task: positions, embeddings, loss edges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from masksynth.mask import Mask
from masksynth.merge.class_mask import build_class_mask
from masksynth.merge.disjoint_union import Rows, Union
from masksynth.merge.layout import assign_positions
from masksynth.merge.refine import refine
from masksynth.tasks import LossEdge, MergedTask, Position, Question, TaskFamily
from masksynth.tasks.canonical import canonical


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
