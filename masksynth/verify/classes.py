"""Requirements of a sparse answer: the classes of the tasks, as many positions as they need, and exactly their flow.

The rows of a sparse mask are not those of the tasks, so classes are computed from the tasks alone. Flow is compared
class by class: a position sees a class if it sees any of its copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.typing import Int64Array
from masksynth.tasks.canonical import canonical
from masksynth.tasks.merged import MergedTask
from masksynth.verify.answer_shape import Identity, describe_position
from masksynth.verify.any_depth import check_lowest
from masksynth.verify.check_sparse_flow import Fault, describe_fault, find_fault
from masksynth.verify.colour_refinement import draw, first_colours, most_in_a_row
from masksynth.verify.fixed_depth import most_in_a_task
from masksynth.verify.interval_sets import Sets, select_sets
from masksynth.verify.layer_flow import Required
from masksynth.verify.mask_refinement import stable
from masksynth.verify.path_numbering import Bounds, find_contexts, find_paths
from masksynth.verify.ragged import distinct, prefix_sums
from masksynth.verify.task_flow import Flow


class Classes(NamedTuple):
    """The classes of the live nodes at any depth, numbered along heavy paths.

    Parameters
    ----------
    of_node : (V,) int64
        The class of each live node.
    first : (C,) int64
        The first node of each class.
    copies : (C,) int64
        max(1, largest number of keys of the class in one row): the positions that it needs.
    row : Sets
        The classes in the closed row of each class.
    """

    of_node: Int64Array
    first: Int64Array
    copies: Int64Array
    row: Sets


def find_classes(flow: Flow, sha256: str) -> Classes:
    """Return the classes of the nodes of closed tasks, by refining their identities until stable."""
    nodes = (task.nodes[task.index[name]] for task, task_flow in flow.tasks for name in task_flow.names)
    start = first_colours((canonical(node.input), node.position, node.kind) for node in nodes)
    rows = flow.rows
    parts = (rows.row_offset, rows.key_start, rows.key_end, start)
    colour = stable(start, rows, draw(rows.size, sha256.encode(), *(part.tobytes() for part in parts)))
    paths = find_paths(_class_keys(flow, colour), range(int(colour.max(initial=-1)) + 1))
    number = np.argsort(np.array(paths.order, np.int64))  # inverse permutation of the order
    of_node = number[colour]
    _, first = np.unique(of_node, return_index=True)
    most = most_in_a_row(rows, 0, first, of_node, most_in_a_task(flow, of_node, len(first)))
    return Classes(of_node, first, most, _to_sets(find_contexts(paths)))


def _class_keys(flow: Flow, colour: Int64Array) -> list[list[int]]:
    """Return the classes of the keys of the members of each class."""
    pairs = [
        (first + number, first + task_flow.number[key])
        for (task, task_flow), first in zip(flow.tasks, flow.first, strict=False)
        for number, name in enumerate(task_flow.names)
        for key in task.attends[0].get(name, ())
    ]
    query, key = colour[np.array(pairs, np.int64).reshape(-1, 2).T]
    width = max(int(colour.max(initial=-1)) + 1, 1)
    query, key = np.divmod(distinct(query * width + key), width)
    cut = np.searchsorted(query, np.arange(int(colour.max(initial=-1)) + 2)).tolist()
    keys = key.tolist()
    return [keys[a:b] for a, b in pairwise(cut)]


def _to_sets(sets: Sequence[Bounds]) -> Sets:
    """Return sets given by their bounds as one family."""
    ends = np.fromiter(chain.from_iterable(sets), np.int64)
    counts = np.array([len(bounds) // 2 for bounds in sets], np.int64)
    return Sets(prefix_sums(counts), ends[::2], ends[1::2])


def check_sparse(flow: Flow, merged: MergedTask, identity: list[Identity], index: Int64Array, minimal: bool) -> int:
    """Check that L layers of the mask carry exactly the flow of the tasks; return the number of classes.

    Raises
    ------
    WrongAnswer
        ``classes``, ``minimality`` or ``flow``.
    """
    classes = find_classes(flow, merged.problem.sha256)
    class_of = assign_classes(flow, merged, identity, index, classes, minimal)
    _check_copies(merged, classes, class_of)
    if minimal:
        _check_least(flow, merged, index, classes, class_of)
    required = Required(class_of, select_sets(classes.row, class_of), len(classes.first))
    fault = find_fault(merged.mask, required, merged.problem.layers)
    if fault is not None:
        raise _wrong_flow(flow, merged, index, int(classes.first[class_of[fault.query]]), fault)
    return len(classes.first)


def assign_classes(
    flow: Flow, merged: MergedTask, identity: list[Identity], index: Int64Array, classes: Classes, minimal: bool
) -> Int64Array:
    """Return the class of each position: that of its nodes or, without any, a class that may need the copy.

    Such a class has the identity of the position and, in a minimal answer, more than one copy. Among several, the
    position is assigned to one that may see all that it sees, and of these to the one whose row is closest. Any
    assignment under which the answer is right would do; this one is found from what flows and, among equals, from the
    order of positions.

    Raises
    ------
    WrongAnswer
        ``classes`` or ``minimality``.
    """
    class_of = np.full(len(identity), -1, np.int64)
    class_of[index] = classes.of_node
    wrong = np.flatnonzero(class_of[index] != classes.of_node)
    if len(wrong):
        (task, name), other = flow.find_node(int(wrong[0])), int(np.flatnonzero(index == index[wrong[0]])[-1])
        other_task, other_name = flow.find_node(other)
        where = f"is at position {index[wrong[0]]} with node {other_name!r} of task {flow.tasks[other_task][0].name!r}"
        raise WrongAnswer("classes", f"{where}, which is not equivalent", flow.tasks[task][0].name, name)
    candidates: dict[Identity, list[int]] = {}
    for number in np.flatnonzero((classes.copies > 1) | (not minimal)).tolist():
        candidates.setdefault(identity[index[classes.first[number]]], []).append(number)
    for position in np.flatnonzero(class_of < 0).tolist():
        numbers = candidates.get(identity[position], [])
        if not numbers:
            fact = f"no task needs position {position} {describe_position(merged.positions[position])}"
            raise WrongAnswer("minimality" if minimal else "classes", fact)
        is_unique = len(numbers) == 1
        class_of[position] = numbers[0] if is_unique else _closest(merged.mask, class_of, position, numbers, classes)
    return class_of


def _closest(mask: Mask, class_of: Int64Array, position: int, numbers: list[int], classes: Classes) -> int:
    """Return the class, of those given, whose row is closest to what the position sees.

    Ties are broken by free copies, then by the distance to the nearest earlier copy.
    """
    seen, stack = {position}, [position]
    while stack:
        new = set(mask.row(stack.pop()).tolist()) - seen
        seen |= new
        stack += new
    visible = set(class_of[sorted(seen)].tolist()) - {-1}

    def rank(number: int) -> tuple[int, int, bool, int]:
        row = select_sets(classes.row, np.array([number]))
        intervals = zip(row.start.tolist(), row.end.tolist(), strict=True)
        expected = {key for start, end in intervals for key in range(start, end)}
        copies = np.flatnonzero(class_of == number)
        earlier = copies[copies < position]
        return (
            len(visible - expected),
            len(expected - visible - {number}),
            len(copies) >= classes.copies[number],
            position - int(earlier.max(initial=-position)),
        )

    return min(numbers, key=rank)


def _check_copies(merged: MergedTask, classes: Classes, class_of: Int64Array) -> None:
    """Check that no class has fewer positions than one row holds of it."""
    size = np.bincount(class_of, minlength=len(classes.first))
    wrong = np.flatnonzero(size < classes.copies)
    if len(wrong):
        position = int(np.flatnonzero(class_of == wrong[0])[0])
        shown = f"{size[wrong[0]]} positions equivalent to {position} {describe_position(merged.positions[position])}"
        raise WrongAnswer("classes", f"{shown}, of which one row holds {classes.copies[wrong[0]]}")


def _check_least(flow: Flow, merged: MergedTask, index: Int64Array, classes: Classes, class_of: Int64Array) -> None:
    """Check that no class has more positions than it needs, and that its nodes are at the lowest."""
    size = np.bincount(class_of, minlength=len(classes.first))
    wrong = np.flatnonzero(size > classes.copies)
    if len(wrong):
        first, second = np.flatnonzero(class_of == wrong[0])[[0, -1]].tolist()
        fact = f"positions {first} and {second} {describe_position(merged.positions[first])} are equivalent"
        count = f"there are {size[wrong[0]]} of them, {classes.copies[wrong[0]]} suffice"
        raise WrongAnswer("minimality", f"{fact}; {count}")
    lowest = np.full(len(size), len(class_of), np.int64)
    np.minimum.at(lowest, class_of, np.arange(len(class_of)))
    check_lowest(flow, index, np.arange(len(index)), lowest[class_of])


def _wrong_flow(flow: Flow, merged: MergedTask, index: Int64Array, node: int, fault: Fault) -> WrongAnswer:
    """Return an error naming a node at the position, else ``node`` of its class, and for a leak the edge."""
    nodes = np.flatnonzero(index == fault.query)
    task, name = flow.find_node(int(nodes[0]) if len(nodes) else node)
    query, key = (describe_position(merged.positions[position]) for position in (fault.query, fault.key))
    layers = merged.problem.layers
    fact = describe_fault(fault, layers, f"position {fault.query} {query}", f"position {fault.key} {key}")
    return WrongAnswer("flow", fact, flow.tasks[task][0].name, name, (key, query) if fault.leak else ())
