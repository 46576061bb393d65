"""Requirements at L layers: colours after L layers at the loss edges, and the least number of positions by its own recursion."""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.tasks.canonical import canonical
from masksynth.tasks.merged import MergedTask
from masksynth.verify.answer_shape import Identity, word
from masksynth.verify.colour_refinement import Integers, draw, first_colours, levels, most_in_a_row
from masksynth.verify.task_flow import Flow


class Demand(NamedTuple):
    """What L layers ask of the tasks.

    Parameters
    ----------
    age : (V,) int64
        Node u is demanded at the levels 0 .. L - age[u]; -1: never.
    depth : int
        The greatest age, after which nothing new is demanded.
    """

    age: Integers
    depth: int


def demand(flow: Flow, layers: int) -> Demand:
    """(L, p) for each predicting p; (l, u) asks for (l - 1, u) and for (l - 1, k) of u's keys k in the table of layer l."""
    age = np.full(flow.first[-1], -1, np.int64)
    age[
        [
            first + own.number[p.node]
            for (task, own), first in zip(flow.tasks, flow.first, strict=False)
            for p in task.predict
        ]
    ] = 0
    quiet = ago = 0
    while ago < layers and quiet < flow.rows.tables:
        seen = _seen(flow.rows, (layers - ago - 1) % flow.rows.tables, age >= 0)
        ago += 1
        quiet = 0 if (fresh := seen & (age < 0)).any() else quiet + 1
        age[fresh] = ago
    return Demand(age, int(age.max(initial=0)))


def _seen(rows: Mask, table: int, queries: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the keys of a set of queries."""
    bounds = rows.row_offset[table]
    part = slice(int(bounds[0]), int(bounds[-1]))
    wanted = np.repeat(queries, np.diff(bounds))
    steps = np.bincount(rows.key_start[part][wanted], minlength=rows.size + 1)
    steps -= np.bincount(rows.key_end[part][wanted], minlength=rows.size + 1)
    seen: NDArray[np.bool_] = steps.cumsum()[:-1] > 0
    return seen


def check_unread(mask: Mask, layers: int) -> None:
    """Demand the identity of every table that no layer reads."""
    identity = np.arange(mask.size)
    for table in range(min(layers, mask.tables), mask.tables):
        part = slice(int(mask.row_offset[table, 0]), int(mask.row_offset[table, -1]))
        start, end = mask.key_start[part], mask.key_end[part]
        if not (np.array_equal(start, identity) and np.array_equal(end, identity + 1)):
            raise WrongAnswer("rows", f"table {table} is never read within {layers} layers and is not the identity")


def check_layers(
    flow: Flow, merged: MergedTask, identity: list[Identity], index: Integers, asked: Demand, layers: int, minimal: bool
) -> int:
    """Compare task nodes and positions by their colours over L layers; returns the number of colours at the loss edges' level.

    Raises
    ------
    WrongAnswer
        ``rows`` or ``minimality``.
    """
    mask, total = merged.mask, flow.first[-1]
    check_unread(mask, layers)
    parts = (mask.row_offset, mask.key_start, mask.key_end, index)
    words = draw(total + mask.size, merged.problem.sha256.encode(), *(part.tobytes() for part in parts))
    nodes = (task.nodes[task.index[name]] for task, own in flow.tasks for name in own.names)
    both = chain(((canonical(node.input), node.position, node.kind) for node in nodes), identity)
    colour = levels(first_colours(both), (flow.rows, mask), words, layers)
    for ago in np.unique(asked.age[asked.age >= 0]).tolist():
        level = layers - ago
        task_side, mask_side = np.split(colour[min(level, len(colour) - 1)], [total])
        due = np.flatnonzero(asked.age == ago)
        wrong = due[task_side[due] != mask_side[index[due]]]
        if len(wrong):
            task, name = flow.where(int(wrong[0]))
            at = int(index[wrong[0]])
            fact = f"differs from position {at} {word(merged.positions[at])} after {level} layers"
            raise WrongAnswer("rows", fact, flow.tasks[task][0].name, name)
        if minimal:
            _check_lowest(flow, index, due, mask_side)
    if minimal and mask.size != (least := _least(flow, [part[:total] for part in colour], asked, layers)):
        raise WrongAnswer("minimality", _spare(merged, colour[-1][total:], least))
    return len(np.unique(colour[-1][total:]))


def _check_lowest(flow: Flow, index: Integers, due: Integers, colour: Integers) -> None:
    """Each node lies at the lowest position of the colour that it is demanded in."""
    lowest = np.full(int(colour.max(initial=0)) + 1, len(colour), np.int64)
    np.minimum.at(lowest, colour, np.arange(len(colour)))
    high = due[lowest[colour[index[due]]] != index[due]]
    if len(high):
        task, name = flow.where(int(high[0]))
        right, given = lowest[colour[index[high[0]]]], index[high[0]]
        raise WrongAnswer(
            "minimality", f"equivalent positions {right} and {given}: the lowest is due", flow.tasks[task][0].name, name
        )


def _spare(merged: MergedTask, colour: Integers, least: int) -> str:
    """Two positions that hold the same after all layers, if there are such, in words."""
    order = np.argsort(colour, kind="stable")
    twins = np.flatnonzero(np.diff(colour[order]) == 0)
    fact = f"{merged.mask.size} positions where {least} suffice"
    if not len(twins):
        return fact
    first, second = order[twins[0]], order[twins[0] + 1]
    return f"{fact}; positions {first} and {second} {word(merged.positions[first])} are equivalent"


def _least(flow: Flow, colour: list[Integers], asked: Demand, layers: int) -> int:
    """Least number of positions: the sum of need(0, c) over the identities c.

    need(L, c) = 1; need(l, c) = max(m_l(c), sum of need(l + 1, c') over demanded c' refining c), where m_l(c) is the most keys of colour
    c in one demanded row read at layer l + 1. Where neither colours nor demand change, need settles within one period of the pattern.
    """
    last, period = len(colour) - 1, flow.rows.tables
    colours = max(int(part.max(initial=-1)) for part in colour) + 1
    above = colour[min(layers, last)]
    need = np.minimum(np.bincount(above[asked.age == 0], minlength=colours), 1)
    for level in _unsettled(layers, layers - asked.depth - period, last):
        own = colour[min(level, last)]
        upper = np.flatnonzero((asked.age >= 0) & (asked.age < layers - level))
        finer, at = np.unique(above[upper], return_index=True)
        total = np.zeros(colours, np.int64)
        np.add.at(total, own[upper[at]], need[finer])
        demanded = own[(asked.age >= 0) & (asked.age <= layers - level)]
        most = most_in_a_row(flow.rows, level % period, upper, own, most_in_a_task(flow, own, colours))
        need = np.zeros(colours, np.int64)
        need[demanded] = np.maximum(total, most)[demanded]
        above = own
    return int(need.sum())


def _unsettled(layers: int, low: int, last: int) -> list[int]:
    """List the levels below L at which need may change: all, or those from ``low`` up and those below ``last``."""
    return [*range(layers - 1, low - 1, -1), *range(last - 1, -1, -1)] if low > last else [*range(layers - 1, -1, -1)]


def most_in_a_task(flow: Flow, colour: Integers, colours: int) -> Integers:
    """Count the most nodes of each colour that one task holds, at least 1."""
    task = np.repeat(np.arange(len(flow.tasks)), np.diff(flow.first))
    pairs, count = np.unique(task * colours + colour, return_counts=True)
    most = np.ones(colours, np.int64)
    np.maximum.at(most, pairs % max(colours, 1), count)
    return most
