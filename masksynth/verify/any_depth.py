"""Requirements at any depth: rows class by class as multisets, and not one position too many."""

from __future__ import annotations

from collections import Counter

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.tasks.merged import MergedTask
from masksynth.verify.answer_shape import Identity, word
from masksynth.verify.colour_refinement import Integers, draw, first_colours, most_in_a_row, row_sums
from masksynth.verify.mask_refinement import stable
from masksynth.verify.task_flow import Flow


def check_any_depth(flow: Flow, merged: MergedTask, identity: list[Identity], index: Integers, minimal: bool) -> int:
    """Compare every row of every live node with the row of its position, counting classes; returns the number of classes.

    With K the coarsest stable colouring of the positions, u -> K(position of u) is then a stable colouring of the tasks, so a node and
    its position hold equal values at every layer.

    Raises
    ------
    WrongAnswer
        ``rows`` or ``minimality``.
    """
    mask = merged.mask
    words = draw(
        mask.size,
        merged.problem.sha256.encode(),
        *(part.tobytes() for part in (mask.row_offset, mask.key_start, mask.key_end, index)),
    )
    classes = stable(first_colours(identity), mask, words)
    for table in range(mask.tables):
        due = row_sums(flow.rows, table, words[classes[index]])
        given = row_sums(mask, table, words[classes])[index]
        wrong = np.flatnonzero((due != given).any(axis=1))
        if len(wrong):
            raise _wrong_row(flow, merged, index, classes, int(wrong[0]), table)
    if minimal:
        check_minimal(flow, merged, index, classes)
    return int(classes.max(initial=-1)) + 1


def _wrong_row(
    flow: Flow, merged: MergedTask, index: Integers, classes: Integers, node: int, table: int
) -> WrongAnswer:
    """Name a class that the node sees more or less often in its task than its position does in the mask."""
    task, name = flow.where(node)
    due = Counter(classes[index[flow.rows.row(node, table)]].tolist())
    given = Counter(classes[merged.mask.row(int(index[node]), table)].tolist())
    odd = min(number for number in due | given if due[number] != given[number])
    like = int(np.flatnonzero(classes == odd)[0])
    place = f" in table {table}" if merged.mask.tables > 1 else ""
    seen = f"sees {due[odd]} of {word(merged.positions[like])} (class of position {like}) in its task"
    return WrongAnswer(
        "rows", f"{seen}, position {index[node]} sees {given[odd]} in the mask{place}", flow.tasks[task][0].name, name
    )


def check_minimal(flow: Flow, merged: MergedTask, index: Integers, classes: Integers) -> None:
    """Every class is hit, at its lowest index, and has exactly max(1, largest multiplicity in a row) positions."""
    size = np.bincount(classes)
    lowest = np.full(len(size), len(classes), np.int64)
    np.minimum.at(lowest, classes, np.arange(len(classes)))
    hit = np.zeros(len(size), bool)
    hit[classes[index]] = True
    if not hit.all():
        spare = int(lowest[~hit].min())
        raise WrongAnswer("minimality", f"no task needs position {spare} {word(merged.positions[spare])}")
    high = np.flatnonzero(lowest[classes[index]] != index)
    if len(high):
        task, name = flow.where(int(high[0]))
        right, given = lowest[classes[index[high[0]]]], index[high[0]]
        raise WrongAnswer(
            "minimality", f"equivalent positions {right} and {given}: the lowest is due", flow.tasks[task][0].name, name
        )
    # All rows of one class agree and every class is hit, so the rows of the lowest positions are the tasks' rows.
    most = np.ones(len(size), np.int64)
    for table in range(merged.mask.tables):
        most = np.maximum(most, most_in_a_row(merged.mask, table, lowest, classes, size))
    if (most < size).any():
        spare = int(np.flatnonzero(most < size)[0])
        first, second = np.flatnonzero(classes == spare)[[0, -1]].tolist()
        fact = f"positions {first} and {second} {word(merged.positions[first])} are equivalent"
        raise WrongAnswer("minimality", f"{fact}; {size[spare]} stand where {most[spare]} suffice")
