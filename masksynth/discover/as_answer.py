"""A structure as an ordinary instance and merged task, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.structure import Reads, Structure, prune, updated_positions
from masksynth.export.mask_arrays import mask_of_edges
from masksynth.mask.intervals import expand, row_intervals, stack_tables
from masksynth.merge import merge_family
from masksynth.tasks import Instance, LossEdge, MergedTask, Node, Position, Prediction, Task, TaskFamily
from masksynth.tasks.canonical import canonical
from masksynth.tasks.instance_files import question_of


def to_instance(structure: Structure, contracts: Contracts) -> Instance:
    """Return the instance of a pruned structure: one task whose row tables are the masks, with each diagonal.

    Parameters
    ----------
    structure : Structure
    contracts : Contracts

    Returns
    -------
    Instance
        ``layers`` is L for a mask per layer and None for one mask, which must be safe at any depth.
    """
    names = [f"q{index}" for index in range(structure.size)]
    inputs, positions = _identities(structure, contracts)
    nodes = tuple(Node(name, value, place) for name, value, place in zip(names, inputs, positions, strict=True))
    tables = tuple(_row_table(reads, names) for reads in structure.reads)
    predictions = tuple(
        Prediction(
            names[structure.target[index]],
            target.label,
            hides=tuple(contracts.elements.values[element] for element in contracts.hidden(index)),
        )
        for index, target in enumerate(contracts.targets)
    )
    task = Task(contracts.name, nodes, tables, predictions)
    layers = contracts.layers if contracts.masks == "layered" else None
    return Instance(TaskFamily((task,)), contracts.name, "discovered from contracts", layers)


def _identities(structure: Structure, contracts: Contracts) -> tuple[list[Any], list[int]]:
    """Return the input and the position id of each position."""
    blank_of = np.full(structure.size, -1)
    for index in reversed(range(len(contracts.targets))):
        blank_of[structure.target[index]] = index
    inputs: list[Any] = []
    positions: list[int] = []
    registers = 0
    for index, element in enumerate(structure.element.tolist()):
        if element >= 0:
            inputs.append(contracts.elements.values[element])
            positions.append(contracts.elements.positions[element])
            continue
        target = int(blank_of[index])
        number = target if target >= 0 else len(contracts.targets) + registers
        registers += target < 0
        inputs.append({"blank": 0 if contracts.same_blanks else number})
        positions.append(contracts.targets[target].position if target >= 0 else 0)
    return inputs, positions


def _row_table(reads: Reads, names: list[str]) -> dict[str, tuple[str, ...]]:
    """Return one row table: every position reads itself and its keys, in order."""
    size = len(names)
    codes = np.sort(np.concatenate([reads.query * size + reads.key, np.arange(size) * (size + 1)]))
    query, key = np.divmod(codes, max(size, 1))
    first = np.searchsorted(query, np.arange(size + 1))
    keys = key.tolist()
    return {name: tuple(names[k] for k in keys[first[q] : first[q + 1]]) for q, name in enumerate(names)}


def to_merged(structure: Structure, contracts: Contracts) -> tuple[Instance, MergedTask, Structure]:
    """Return the instance of a structure, its merged task with ``updated``, and the merged structure.

    Positions of equal contents may coincide in the merged task, so sizes are those of the merged structure.
    """
    structure = prune(structure, contracts.masks)
    instance = to_instance(structure, contracts)
    nodes = instance.family.tasks[0].nodes
    if len({(canonical(node.input), node.position) for node in nodes}) == len(nodes):
        return (
            instance,
            replace(_unmerged(structure, instance), updated=updated_positions(structure, contracts.masks)),
            structure,
        )
    merged = merge_family(instance.family, instance.layers)
    final = of_merged(merged, contracts, structure.found_by)
    return instance, replace(merged, updated=updated_positions(final, contracts.masks)), final


def _unmerged(structure: Structure, instance: Instance) -> MergedTask:
    """Return the merged task of a pruned structure whose positions all differ in input or position id.

    Each node then is a class of its own, so the merged task is the task itself.
    """
    task, size = instance.family.tasks[0], structure.size
    mask = stack_tables([mask_of_edges(reads.query, reads.key, size) for reads in structure.reads])
    return MergedTask(
        tuple(Position(node.input, node.position, node.kind) for node in task.nodes),
        mask,
        {task.name: {node.name: index for index, node in enumerate(task.nodes)}},
        tuple(prediction.label for prediction in task.predict),
        (task.name,),
        tuple(LossEdge(position, index, 0, 1.0) for index, position in enumerate(structure.target.tolist())),
        question_of(instance.family, instance.layers),
    )


def of_merged(merged: MergedTask, contracts: Contracts, found_by: str = "") -> Structure:
    """Return the structure that a merged task describes; its blanks are the inputs ``{"blank": k}``."""
    index = {canonical(value): number for number, value in enumerate(contracts.elements.values)}
    element = np.array([index.get(canonical(place.input), -1) for place in merged.positions], np.int64)
    size = len(element)
    reads = []
    for table in range(merged.mask.tables):
        query, key = expand(row_intervals(merged.mask, table))
        reads.append(Reads.of_pairs(query, key, size))
    place_of = {canonical(merged.labels[edge.label]): edge.position for edge in merged.loss_edges}
    target = np.array([place_of[canonical(target.label)] for target in contracts.targets], np.int64)
    return Structure(element, tuple(reads), target, found_by)
