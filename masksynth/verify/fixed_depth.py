"""Requirements at L layers: equal colours after L layers at the loss edges, and the least number of positions."""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.tasks.canonical import canonical
from masksynth.tasks.merged import MergedTask
from masksynth.verify.answer_shape import Identity, describe_position
from masksynth.verify.any_depth import check_lowest
from masksynth.verify.colour_refinement import draw, first_colours, levels, most_in_a_row
from masksynth.verify.ragged import mask_rows, row_of_entry
from masksynth.verify.task_flow import Flow


class Demand(NamedTuple):
    """The nodes that predictions depend on through L layers, level by level (level l: after l layers).

    Parameters
    ----------
    layers : int
        L.
    age : (V,) int64
        Node u is demanded at the levels 0 .. L - age[u]; -1: never.
    depth : int
        The largest age, after which nothing new is demanded.
    """

    layers: int
    age: Int64Array
    depth: int


def find_demand(flow: Flow, layers: int) -> Demand:
    """Return the demanded nodes: each predicting p at level L, and for u at level l, u and its keys at level l - 1.

    The keys are those in the table of layer l.
    """
    age = np.full(flow.first[-1], -1, np.int64)
    for (task, task_flow), first in zip(flow.tasks, flow.first, strict=False):
        for prediction in task.predict:
            age[first + task_flow.number[prediction.node]] = 0
    unchanged = ago = 0
    while ago < layers and unchanged < flow.rows.tables:
        keys = _mark_keys(flow.rows, (layers - ago - 1) % flow.rows.tables, age >= 0)
        ago += 1
        new = keys & (age < 0)
        unchanged = 0 if new.any() else unchanged + 1
        age[new] = ago
    return Demand(layers, age, int(age.max(initial=0)))


def _mark_keys(rows: Mask, table: int, queries: BoolArray) -> BoolArray:
    """Return (n,) bool: the keys of a set of queries."""
    query, start, end = mask_rows(rows, table)
    used = queries[query]
    opened, closed = (np.bincount(bound[used], minlength=rows.size + 1) for bound in (start, end))
    marked: BoolArray = (opened - closed).cumsum()[:-1] > 0
    return marked


def check_unread(mask: Mask, layers: int) -> None:
    """Check that every table that no layer reads is the identity."""
    identity = np.arange(mask.size)
    for table in range(min(layers, mask.tables), mask.tables):
        _, start, end = mask_rows(mask, table)
        if not (np.array_equal(start, identity) and np.array_equal(end, identity + 1)):
            raise WrongAnswer("rows", f"table {table} is never read within {layers} layers and is not the identity")


def check_layers(
    flow: Flow, merged: MergedTask, identity: list[Identity], index: Int64Array, demand: Demand, minimal: bool
) -> int:
    """Compare nodes and positions by their colours over L layers; return the number of colours after L layers.

    Parameters
    ----------
    flow : Flow
    merged : MergedTask
    identity : list of Identity
        Identity of each position.
    index : (V,) int64
        The position of each live node, -1 where none is demanded.
    demand : Demand
    minimal : bool
        Whether the number of positions must be the least.

    Raises
    ------
    WrongAnswer
        ``rows`` or ``minimality``.
    """
    mask, total, layers = merged.mask, flow.first[-1], demand.layers
    check_unread(mask, layers)
    parts = (mask.row_offset, mask.key_start, mask.key_end, index)
    words = draw(total + mask.size, merged.problem.sha256.encode(), *(part.tobytes() for part in parts))
    nodes = (task.nodes[task.index[name]] for task, task_flow in flow.tasks for name in task_flow.names)
    both = chain(((canonical(node.input), node.position, node.kind) for node in nodes), identity)
    colour = levels(first_colours(both), (flow.rows, mask), words, layers)
    for ago in np.unique(demand.age[demand.age >= 0]).tolist():
        level = layers - ago
        task_side, mask_side = np.split(colour[min(level, len(colour) - 1)], [total])
        nodes_of_age = np.flatnonzero(demand.age == ago)
        wrong = nodes_of_age[task_side[nodes_of_age] != mask_side[index[nodes_of_age]]]
        if len(wrong):
            task, name = flow.find_node(int(wrong[0]))
            position = int(index[wrong[0]])
            shown = describe_position(merged.positions[position])
            fact = f"differs from position {position} {shown} after {level} layers"
            raise WrongAnswer("rows", fact, flow.tasks[task][0].name, name)
        if minimal:
            lowest = np.full(int(mask_side.max(initial=0)) + 1, len(mask_side), np.int64)
            np.minimum.at(lowest, mask_side, np.arange(len(mask_side)))
            check_lowest(flow, index, nodes_of_age, lowest[mask_side])
    if minimal and mask.size != (least := _least_positions(flow, [part[:total] for part in colour], demand)):
        raise WrongAnswer("minimality", _describe_excess(merged, colour[-1][total:], least))
    return len(np.unique(colour[-1][total:]))


def _describe_excess(merged: MergedTask, colour: Int64Array, least: int) -> str:
    """Return a message with the least number of positions and, if there are any, two positions of one final colour."""
    order = np.argsort(colour, kind="stable")
    twins = np.flatnonzero(np.diff(colour[order]) == 0)
    fact = f"{merged.mask.size} positions, {least} suffice"
    if not len(twins):
        return fact
    first, second = order[twins[0]], order[twins[0] + 1]
    return f"{fact}; positions {first} and {second} {describe_position(merged.positions[first])} are equivalent"


def _least_positions(flow: Flow, colour: list[Int64Array], demand: Demand) -> int:
    """Return the least number of positions: the sum of need(0, c) over the identities c.

    need(L, c) = 1; need(l, c) = max(m_l(c), sum of need(l + 1, c') over demanded c' that refine c), where m_l(c) is the
    largest number of keys of colour c in one demanded row read at layer l + 1. Where neither colours nor demand change,
    need is constant after one period of the pattern.

    Parameters
    ----------
    flow : Flow
    colour : list of (V,) int64
        Colours of the nodes after 0, 1, ... layers.
    demand : Demand
    """
    last, period, layers, age = len(colour) - 1, flow.rows.tables, demand.layers, demand.age
    colours = max(int(part.max(initial=-1)) for part in colour) + 1
    above = colour[min(layers, last)]
    need = np.minimum(np.bincount(above[age == 0], minlength=colours), 1)
    for level in _changing_levels(layers, layers - demand.depth - period, last):
        current = colour[min(level, last)]
        upper = np.flatnonzero((age >= 0) & (age < layers - level))  # nodes demanded at level + 1
        finer, example = np.unique(above[upper], return_index=True)  # their colours at level + 1, and a node of each
        total = np.zeros(colours, np.int64)
        np.add.at(total, current[upper[example]], need[finer])
        demanded = current[(age >= 0) & (age <= layers - level)]
        most = most_in_a_row(flow.rows, level % period, upper, current, most_in_a_task(flow, current, colours))
        need = np.zeros(colours, np.int64)
        need[demanded] = np.maximum(total, most)[demanded]
        above = current
    return int(need.sum())


def _changing_levels(layers: int, low: int, last: int) -> list[int]:
    """Return the levels below L at which need may change: all, or those from ``low`` up and those below ``last``."""
    return [*range(layers - 1, low - 1, -1), *range(last - 1, -1, -1)] if low > last else [*range(layers - 1, -1, -1)]


def most_in_a_task(flow: Flow, colour: Int64Array, colours: int) -> Int64Array:
    """Return for each colour the largest number of its nodes in one task, at least 1."""
    task = row_of_entry(np.array(flow.first))
    pairs, count = np.unique(task * colours + colour, return_counts=True)
    most = np.ones(colours, np.int64)
    np.maximum.at(most, pairs % max(colours, 1), count)
    return most
