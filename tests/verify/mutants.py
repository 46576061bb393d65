"""Every way to change one thing in a merged task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import nextafter
from typing import Any

import numpy as np

from masksynth.mask import Mask
from masksynth.tasks import LossEdge, MergedTask, Position

Mutant = tuple[str, MergedTask]


def mask_bits(merged: MergedTask, places: Iterable[tuple[int, ...]] | None = None) -> Iterator[Mutant]:
    """Single bits of the mask flipped: those at the given places, or every one."""
    dense = merged.mask.dense()
    for place in np.ndindex(dense.shape) if places is None else places:
        dense[place] ^= True
        yield f"mask bit {place}", replace(merged, mask=Mask.from_dense(dense))
        dense[place] ^= True


def changed(items: tuple[Any, ...], at: int, item: Any) -> tuple[Any, ...]:
    return (*items[:at], item, *items[at + 1 :])


def swapped(items: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    return (*items[:at], items[at + 1], items[at], *items[at + 2 :])


def positions(merged: MergedTask) -> Iterator[Mutant]:
    """Every position id, kind and input changed."""
    for at, place in enumerate(merged.positions):
        others = {other.position for other in merged.positions} | {place.position + 1, 2**31 - 1}
        news = [place._replace(position=other) for other in sorted(others - {place.position})]
        for new in [*news, place._replace(kind=place.kind + "?"), place._replace(input=["not", place.input])]:
            yield f"position {at} becomes {new}", replace(merged, positions=changed(merged.positions, at, new))


def labels(merged: MergedTask) -> Iterator[Mutant]:
    """Every label renamed, doubled or swapped with its neighbour; one too many."""
    for at in range(len(merged.labels)):
        yield f"label {at} renamed", replace(merged, labels=changed(merged.labels, at, {"another": at}))
        if at:
            yield f"label {at} doubled", replace(merged, labels=changed(merged.labels, at, merged.labels[at - 1]))
            yield f"label {at} swapped", replace(merged, labels=swapped(merged.labels, at - 1))
    yield "label added", replace(merged, labels=(*merged.labels, "nobody predicts this"))


def other_edges(merged: MergedTask, edge: LossEdge) -> Iterator[LossEdge]:
    """Every other position, label and task, and nearby weights."""
    yield from (edge._replace(position=at) for at in range(-1, len(merged.positions) + 1) if at != edge.position)
    yield from (edge._replace(label=at) for at in range(-1, len(merged.labels) + 1) if at != edge.label)
    yield from (edge._replace(task=at) for at in range(-1, len(merged.tasks) + 1) if at != edge.task)
    weights = (-edge.weight, nextafter(edge.weight, 9e9), edge.weight + 1, float("nan"))
    yield from (edge._replace(weight=weight) for weight in weights)
    yield edge._replace(weight=int(edge.weight))


def loss_edges(merged: MergedTask) -> Iterator[Mutant]:
    """Every loss edge moved, relabelled, reweighted, dropped, doubled or swapped with its neighbour."""
    for at, edge in enumerate(merged.loss_edges):
        for new in other_edges(merged, edge):
            yield f"loss edge {at} becomes {new}", replace(merged, loss_edges=changed(merged.loss_edges, at, new))
        yield (
            f"loss edge {at} dropped",
            replace(merged, loss_edges=merged.loss_edges[:at] + merged.loss_edges[at + 1 :]),
        )
        yield (
            f"loss edge {at} doubled",
            replace(merged, loss_edges=(*merged.loss_edges[:at], edge, *merged.loss_edges[at:])),
        )
        if at and edge != merged.loss_edges[at - 1]:
            yield f"loss edge {at} swapped", replace(merged, loss_edges=swapped(merged.loss_edges, at - 1))


def embeddings(merged: MergedTask) -> Iterator[Mutant]:
    """Every embedding moved to every other position and beyond, dropped, or given to a node that is not there."""
    for task, nodes in merged.embeddings.items():
        for node, index in nodes.items():
            for other in (*range(-1, len(merged.positions) + 1), True, float(index), str(index)):
                if other != index or type(other) is not int:
                    yield f"{node} of {task} at {other!r}", _embedded(merged, task, {**nodes, node: other})
            yield (
                f"{node} of {task} dropped",
                _embedded(merged, task, {key: at for key, at in nodes.items() if key != node}),
            )
        yield f"a node added to {task}", _embedded(merged, task, {**nodes, "nobody": 0})


def _embedded(merged: MergedTask, task: str, nodes: dict[str, Any]) -> MergedTask:
    return replace(merged, embeddings={**merged.embeddings, task: nodes})


def tasks(merged: MergedTask) -> Iterator[Mutant]:
    """Every task renamed or swapped with its neighbour."""
    for at, task in enumerate(merged.tasks):
        yield f"task {task} renamed", replace(merged, tasks=changed(merged.tasks, at, task + "?"))
        without = {key: nodes for key, nodes in merged.embeddings.items() if key != task}
        yield (
            f"embeddings of {task} renamed",
            replace(merged, embeddings={**without, task + "?": merged.embeddings[task]}),
        )
        yield f"embeddings of {task} dropped", replace(merged, embeddings=without)
        if at:
            yield f"task {task} swapped", replace(merged, tasks=swapped(merged.tasks, at - 1))


def problems(merged: MergedTask) -> Iterator[Mutant]:
    """The question changed."""
    asked = merged.problem
    for change in (
        {"sha256": "0" * 64},
        {"pattern": asked.pattern + 1},
        {"pattern": True},
        {"layers": 0},
        {"layers": True},
        {"sparse": 0},
    ):
        yield f"problem {change}", replace(merged, problem=replace(asked, **change))


def sizes(merged: MergedTask) -> Iterator[Mutant]:
    """A position too few, one too many, a copy of a position with its row and column, an empty row."""
    size, dense = len(merged.positions), merged.mask.dense()
    if size:
        yield "position dropped", replace(merged, positions=merged.positions[:-1])
    yield "position added", replace(merged, positions=(*merged.positions, Position("x", 0)))
    for at in range(size):
        copy = np.append(np.arange(size), at)
        rows = dense[..., copy, :]
        for name, last in (
            ("seen by nobody", np.zeros((*rows.shape[:-1], 1), bool)),
            ("seen with it", rows[..., [at]]),
        ):
            new = Mask.from_dense(np.concatenate([rows, last], axis=-1))
            yield (
                f"position {at} twice, {name}",
                replace(merged, positions=(*merged.positions, merged.positions[at]), mask=new),
            )
        empty = dense.copy()
        empty[..., at, :] = False
        yield f"row {at} empty", replace(merged, mask=Mask.from_dense(empty))


KINDS = (mask_bits, positions, labels, loss_edges, embeddings, tasks, problems, sizes)


def mutants(merged: MergedTask) -> Iterator[Mutant]:
    """All of the above."""
    for kind in KINDS:
        yield from kind(merged)
