"""Requirements at any depth: rows as multisets of classes, and the least number of positions."""

from __future__ import annotations

from collections import Counter

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask.typing import Int64Array
from masksynth.tasks.merged import MergedTask
from masksynth.verify.answer_shape import Identity, describe_position
from masksynth.verify.colour_refinement import draw, first_colours, most_in_a_row, row_sums
from masksynth.verify.mask_refinement import stable
from masksynth.verify.task_flow import Flow


def check_any_depth(flow: Flow, merged: MergedTask, identity: list[Identity], index: Int64Array, minimal: bool) -> int:
    """Compare the row of each live node with that of its position, as multisets of classes; return how many classes.

    With K the coarsest stable colouring of the positions, u -> K(position of u) is then a stable colouring of the
    tasks, so a node and its position hold equal values at every layer.

    Parameters
    ----------
    flow : Flow
    merged : MergedTask
    identity : list of Identity
        Identity of each position.
    index : (V,) int64
        The position of each live node.
    minimal : bool
        Whether the number of positions must be the least.

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
        expected = row_sums(flow.rows, table, words[classes[index]])
        given = row_sums(mask, table, words[classes])[index]
        wrong = np.flatnonzero((expected != given).any(axis=1))
        if len(wrong):
            raise _wrong_row(flow, merged, index, classes, int(wrong[0]), table)
    if minimal:
        check_minimal(flow, merged, index, classes)
    return int(classes.max(initial=-1)) + 1


def _wrong_row(
    flow: Flow, merged: MergedTask, index: Int64Array, classes: Int64Array, node: int, table: int
) -> WrongAnswer:
    """Return an error naming a class that the node sees more or less often than its position does in the mask."""
    task, name = flow.find_node(node)
    expected = Counter(classes[index[flow.rows.row(node, table)]].tolist())
    given = Counter(classes[merged.mask.row(int(index[node]), table)].tolist())
    wrong = min(number for number in expected | given if expected[number] != given[number])
    member = int(np.flatnonzero(classes == wrong)[0])
    which = f"{describe_position(merged.positions[member])} (class of position {member})"
    where = f" in table {table}" if merged.mask.tables > 1 else ""
    fact = (
        f"sees {expected[wrong]} of {which} in its task, position {index[node]} sees {given[wrong]} in the mask{where}"
    )
    return WrongAnswer("rows", fact, flow.tasks[task][0].name, name)


def check_minimal(flow: Flow, merged: MergedTask, index: Int64Array, classes: Int64Array) -> None:
    """Check that every class has a node, at its lowest index, and max(1, largest multiplicity in a row) positions."""
    size = np.bincount(classes)
    lowest = np.full(len(size), len(classes), np.int64)
    np.minimum.at(lowest, classes, np.arange(len(classes)))
    has_node = np.zeros(len(size), bool)
    has_node[classes[index]] = True
    if not has_node.all():
        spare = int(lowest[~has_node].min())
        raise WrongAnswer("minimality", f"no task needs position {spare} {describe_position(merged.positions[spare])}")
    check_lowest(flow, index, np.arange(len(index)), lowest[classes])
    # All rows of one class are equal and every class has a node, so the rows of the lowest positions are the tasks'
    # rows.
    most = np.ones(len(size), np.int64)
    for table in range(merged.mask.tables):
        most = np.maximum(most, most_in_a_row(merged.mask, table, lowest, classes, size))
    if (most < size).any():
        spare = int(np.flatnonzero(most < size)[0])
        first, second = np.flatnonzero(classes == spare)[[0, -1]].tolist()
        fact = f"positions {first} and {second} {describe_position(merged.positions[first])} are equivalent"
        raise WrongAnswer("minimality", f"{fact}; there are {size[spare]} of them, {most[spare]} suffice")


def check_lowest(flow: Flow, index: Int64Array, nodes: Int64Array, lowest: Int64Array) -> None:
    """Check that each of the nodes is at the lowest of its equivalent positions.

    Parameters
    ----------
    flow : Flow
    index : (V,) int64
        The position of each live node.
    nodes : (m,) int64
        The nodes to check.
    lowest : (n,) int64
        For each position the lowest equivalent one.

    Raises
    ------
    WrongAnswer
        ``minimality``.
    """
    wrong = nodes[lowest[index[nodes]] != index[nodes]]
    if len(wrong):
        task, name = flow.find_node(int(wrong[0]))
        given = index[wrong[0]]
        fact = f"equivalent positions {lowest[given]} and {given}: expected the lower one"
        raise WrongAnswer("minimality", fact, flow.tasks[task][0].name, name)
