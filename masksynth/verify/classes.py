"""Requirements of a sparse answer: the classes of the tasks, as many positions as they need, and exactly their flow.

The rows of a sparse mask are not those of the tasks, so the classes come from the tasks alone. Flow is compared class by class: a position
sees a class if it sees any of its copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.tasks.canonical import canonical
from masksynth.tasks.merged import MergedTask
from masksynth.verify.answer_shape import Identity, word
from masksynth.verify.check_sparse_flow import Fault, find_fault, told
from masksynth.verify.colour_refinement import Integers, draw, first_colours, most_in_a_row
from masksynth.verify.interval_sets import Runs, chosen
from masksynth.verify.layer_flow import Due
from masksynth.verify.layered import most_in_a_task
from masksynth.verify.mask_refinement import stable
from masksynth.verify.path_numbering import Bounds, contexts, paths
from masksynth.verify.task_flow import Flow


class Classes(NamedTuple):
    """The classes of the live nodes at any depth, numbered along the heavy paths of their flow.

    Parameters
    ----------
    of_node : (V,) int64
        The class of every live node.
    first : (C,) int64
        The first node of every class.
    copies : (C,) int64
        max(1, most keys of the class in one row): the positions that it needs.
    due : Runs
        The classes in the closed row of every class.
    """

    of_node: Integers
    first: Integers
    copies: Integers
    due: Runs


def classes_of(flow: Flow, sha256: str) -> Classes:
    """Colour the nodes of closed tasks until stable."""
    nodes = (task.nodes[task.index[name]] for task, own in flow.tasks for name in own.names)
    start = first_colours((canonical(node.input), node.position, node.kind) for node in nodes)
    rows = flow.rows
    parts = (rows.row_offset, rows.key_start, rows.key_end, start)
    colour = stable(start, rows, draw(rows.size, sha256.encode(), *(part.tobytes() for part in parts)))
    walk = paths(_keys(flow, colour), range(int(colour.max(initial=-1)) + 1))
    number = np.argsort(np.array(walk.order, np.int64))
    of_node = number[colour]
    _, first = np.unique(of_node, return_index=True)
    most = most_in_a_row(rows, 0, first, of_node, most_in_a_task(flow, of_node, len(first)))
    return Classes(of_node, first, most, _runs(contexts(walk)))


def _keys(flow: Flow, colour: Integers) -> list[list[int]]:
    """The classes that the members of each class see at one hop."""
    pairs = [
        (first + number, first + own.number[key])
        for (task, own), first in zip(flow.tasks, flow.first, strict=False)
        for number, name in enumerate(own.names)
        for key in task.attends[0].get(name, ())
    ]
    query, key = colour[np.array(pairs, np.int64).reshape(-1, 2).T]
    width = max(int(colour.max(initial=-1)) + 1, 1)
    query, key = np.divmod(np.unique(query * width + key), width)
    cut = np.searchsorted(query, np.arange(int(colour.max(initial=-1)) + 2)).tolist()
    keys = key.tolist()
    return [keys[a:b] for a, b in pairwise(cut)]


def _runs(sets: Sequence[Bounds]) -> Runs:
    ends = np.fromiter(chain.from_iterable(sets), np.int64)
    return Runs(np.append(0, np.cumsum([len(bounds) // 2 for bounds in sets], dtype=np.int64)), ends[::2], ends[1::2])


def check_sparse(flow: Flow, merged: MergedTask, identity: list[Identity], index: Integers, minimal: bool) -> int:
    """Check that L layers of the mask carry exactly the flow of the tasks; returns the number of classes.

    Raises
    ------
    WrongAnswer
        ``classes``, ``minimality`` or ``flow``.
    """
    classes = classes_of(flow, merged.problem.sha256)
    home = homes(flow, merged, identity, index, classes, minimal)
    _check_copies(merged, classes, home)
    if minimal:
        _check_least(flow, merged, index, classes, home)
    due = Due(home, chosen(classes.due, home), len(classes.first))
    fault = find_fault(merged.mask, due, merged.problem.layers)
    if fault is not None:
        raise _wrong_flow(flow, merged, index, int(classes.first[home[fault.query]]), fault)
    return len(classes.first)


def homes(
    flow: Flow, merged: MergedTask, identity: list[Identity], index: Integers, classes: Classes, minimal: bool
) -> Integers:
    """The class of every position: that of the nodes that stand there; where none does, a class that may need the copy.

    Such a class has the identity of the position and, in a minimal answer, more than one copy. Where several have, the position is one of
    those that may see all that it sees, and of these the one that it comes closest to. Any reading would do that makes the answer right;
    this one finds it by what flows and, among equals, by place.
    """
    home = np.full(len(identity), -1, np.int64)
    home[index] = classes.of_node
    wrong = np.flatnonzero(home[index] != classes.of_node)
    if len(wrong):
        (task, name), other = flow.where(int(wrong[0])), int(np.flatnonzero(index == index[wrong[0]])[-1])
        beside, mate = flow.where(other)
        fact = f"stands at position {index[wrong[0]]} with node {mate!r} of task {flow.tasks[beside][0].name!r}, which is not equivalent"
        raise WrongAnswer("classes", fact, flow.tasks[task][0].name, name)
    known: dict[Identity, list[int]] = {}
    for number in np.flatnonzero((classes.copies > 1) | (not minimal)).tolist():
        known.setdefault(identity[index[classes.first[number]]], []).append(number)
    for at in np.flatnonzero(home < 0).tolist():
        found = known.get(identity[at], [])
        if not found:
            fact = f"no task needs position {at} {word(merged.positions[at])}"
            raise WrongAnswer("minimality" if minimal else "classes", fact)
        home[at] = found[0] if len(found) == 1 else _closest(merged.mask, home, at, found, classes)
    return home


def _closest(mask: Mask, home: Integers, at: int, found: list[int], classes: Classes) -> int:
    """Choose among classes of one identity by what the position sees of the known ones; then by free copies and nearness."""
    seen, todo = {at}, [at]
    while todo:
        fresh = set(mask.row(todo.pop()).tolist()) - seen
        seen |= fresh
        todo += fresh
    visible = set(home[sorted(seen)].tolist()) - {-1}

    def rank(number: int) -> tuple[int, int, bool, int]:
        runs = chosen(classes.due, np.array([number]))
        due = {
            key for start, end in zip(runs.start.tolist(), runs.end.tolist(), strict=True) for key in range(start, end)
        }
        mates = np.flatnonzero(home == number)
        below = mates[mates < at]
        return (
            len(visible - due),
            len(due - visible - {number}),
            len(mates) >= classes.copies[number],
            at - int(below.max(initial=-at)),
        )

    return min(found, key=rank)


def _check_copies(merged: MergedTask, classes: Classes, home: Integers) -> None:
    """No class has fewer positions than one row holds of it."""
    size = np.bincount(home, minlength=len(classes.first))
    few = np.flatnonzero(size < classes.copies)
    if len(few):
        at = int(np.flatnonzero(home == few[0])[0])
        fact = f"{size[few[0]]} positions like {at} {word(merged.positions[at])}, of which one row holds {classes.copies[few[0]]}"
        raise WrongAnswer("classes", fact)


def _check_least(flow: Flow, merged: MergedTask, index: Integers, classes: Classes, home: Integers) -> None:
    """No class has more positions than it needs, and its nodes stand at the lowest."""
    size = np.bincount(home, minlength=len(classes.first))
    many = np.flatnonzero(size > classes.copies)
    if len(many):
        first, second = np.flatnonzero(home == many[0])[[0, -1]].tolist()
        fact = f"positions {first} and {second} {word(merged.positions[first])} are equivalent"
        raise WrongAnswer("minimality", f"{fact}; {size[many[0]]} stand where {classes.copies[many[0]]} suffice")
    lowest = np.full(len(size), len(home), np.int64)
    np.minimum.at(lowest, home, np.arange(len(home)))
    high = np.flatnonzero(lowest[home[index]] != index)
    if len(high):
        task, name = flow.where(int(high[0]))
        right, given = lowest[home[index[high[0]]]], index[high[0]]
        raise WrongAnswer(
            "minimality", f"equivalent positions {right} and {given}: the lowest is due", flow.tasks[task][0].name, name
        )


def _wrong_flow(flow: Flow, merged: MergedTask, index: Integers, node: int, fault: Fault) -> WrongAnswer:
    """Name a node at the position, or of its class, and for a leak the edge."""
    standing = np.flatnonzero(index == fault.query)
    task, name = flow.where(int(standing[0]) if len(standing) else node)
    query, key = (word(merged.positions[at]) for at in (fault.query, fault.key))
    fact = told(fault, merged.problem.layers, f"position {fault.query} {query}", f"position {fault.key} {key}")
    return WrongAnswer("flow", fact, flow.tasks[task][0].name, name, (key, query) if fault.leak else ())
