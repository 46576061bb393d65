"""The most valuable sets of units that fit into a batch, by dynamic programming over a tree of classes.

The program goes through the nodes of the tree and the room in a batch (Johnson and Niemi 1983). Classes that overlap
without one inside the other form no tree. Of those, the ones of least weight are spread over their units: where at most
m units of a class fit into a batch, each is charged one m-th of its nodes. A batch holds at least the shares of its
units, so that more sets seem to fit, never fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from masksynth.mask.typing import BoolArray, Float64Array, Int64Array
from masksynth.verify.holder_classes import Holdings


class Step(NamedTuple):
    """A step of the walk through the tree: a class is entered or left, or one of its units may be taken.

    Parameters
    ----------
    kind : str
        ``enter``, ``take`` or ``leave``.
    item : int
        The class, or the unit.
    weight : int
        Number of nodes of the class, or of the unit alone.
    partner : int
        For ``leave`` the number of the step that enters the class.
    """

    kind: str
    item: int
    weight: int
    partner: int


@dataclass(frozen=True, eq=False)
class Tree:
    """Classes that form a tree, as a walk through it.

    Parameters
    ----------
    steps : sequence of Step
    units : int
        Number of units.
    path : list of lists of int
        Classes of the tree that each unit holds.
    own : list of int
        Number of nodes of each unit that are in no class of the tree.
    """

    steps: Sequence[Step]
    units: int
    path: list[list[int]]
    own: list[int]


def tree_of_classes(holdings: Holdings, most: Int64Array) -> Tree:
    """Return the classes of most weight that form a tree; the others are spread over their units.

    Parameters
    ----------
    holdings : Holdings
    most : (K,) int64
        At most this many units of each class fit into a batch.

    Examples
    --------
    >>> holdings = Holdings(np.array([3, 2, 1, 1]), np.array([0, 2, 4, 5, 6]), np.array([0, 1, 0, 1, 0, 1]))
    >>> [(step.kind, step.item, step.weight) for step in tree_of_classes(holdings, np.array([2, 2, 1, 1])).steps]
    [('enter', 0, 3), ('enter', 1, 2), ('take', 0, 1), ('take', 1, 1), ('leave', 1, 2), ('leave', 0, 3)]
    """
    offset, unit = holdings.offset.tolist(), holdings.unit.tolist()
    members = [frozenset(unit[a:b]) for a, b in pairwise(offset)]
    weight = holdings.weight.tolist()
    units = max(unit, default=-1) + 1
    own = [0] * units
    kept: list[int] = []
    for k in sorted(range(len(members)), key=lambda k: (-(len(members[k]) - 1) * weight[k], -len(members[k]), k)):
        # classes cross if they have units in common, but not all units of the smaller one
        crosses = any(
            0 < len(members[k] & members[other]) < min(len(members[k]), len(members[other])) for other in kept
        )
        if len(members[k]) > 1 and not crosses:
            kept.append(k)
            continue
        for u in members[k]:
            own[u] += weight[k] // int(most[k])
    path: list[list[int]] = [[] for _ in range(units)]
    for k in sorted(kept, key=lambda k: (-len(members[k]), k)):
        for u in members[k]:
            path[u].append(k)
    return Tree(_walk(path, own, weight), units, path, own)


def _walk(path: list[list[int]], own: list[int], weight: list[int]) -> list[Step]:
    """Return the steps: units sorted by the classes on their paths, so that each class is entered once."""
    steps: list[Step] = []
    entered: list[int] = []  # the steps that entered the classes on the present path
    for u in sorted(range(len(path)), key=lambda u: (path[u], u)):
        common = 0
        while common < min(len(entered), len(path[u])) and steps[entered[common]].item == path[u][common]:
            common += 1
        while len(entered) > common:
            start = entered.pop()
            steps.append(Step("leave", *steps[start][1:3], start))
        for k in path[u][common:]:
            entered.append(len(steps))
            steps.append(Step("enter", k, weight[k], -1))
        steps.append(Step("take", u, own[u], -1))
    while entered:
        start = entered.pop()
        steps.append(Step("leave", *steps[start][1:3], start))
    return steps


class Chosen(NamedTuple):
    """A set: its units, classes and number of nodes. It may hold classes of which it has no unit."""

    units: tuple[int, ...]
    classes: tuple[int, ...]
    weight: int


class Priced(NamedTuple):
    """The most valuable sets of units, for each number of nodes.

    Parameters
    ----------
    value : (C + 1,) float64
        Greatest value of a set of at most this many nodes; the values are integers.
    taken : list of (C + 1,) bool
        For each step whether the set takes the unit, or what is inside the class that is left.
    """

    value: Float64Array
    taken: list[BoolArray]


def price_sets(tree: Tree, unit_price: Int64Array, class_price: Int64Array, limit: int) -> Priced:
    """Return the most valuable sets of units.

    Parameters
    ----------
    tree : Tree
    unit_price : (u,) int64
    class_price : (K,) int64
        Price of each class, which counts once if the set holds it.
    limit : int
        Most nodes of a set.

    Examples
    --------
    >>> holdings = Holdings(np.array([3, 1, 1]), np.array([0, 2, 3, 4]), np.array([0, 1, 0, 1]))
    >>> priced = price_sets(tree_of_classes(holdings, np.array([2, 1, 1])), np.array([5, 4]), np.zeros(3, np.int64), 5)
    >>> priced.value.tolist()
    [0.0, 0.0, 0.0, 0.0, 5.0, 9.0]
    """
    value = np.zeros(limit + 1)
    outside: list[Float64Array] = []
    taken: list[BoolArray] = []
    for kind, item, weight, _ in tree.steps:
        if kind == "leave":
            other = outside.pop()
        else:
            price = float((class_price if kind == "enter" else unit_price)[item])
            other, value = value, np.full(limit + 1, -np.inf)
            value[weight:] = other[: limit + 1 - weight] + price
        if kind == "enter":  # the set need not hold the class: what it is worth without it is compared at the end
            outside.append(other)
            taken.append(np.zeros(0, bool))
        else:
            taken.append(value > other)
            value = np.maximum(value, other)
    return Priced(value, taken)


def best_set(tree: Tree, priced: Priced, nodes: int) -> Chosen:
    """Return the most valuable set of at most this many nodes."""
    units: list[int] = []
    classes: list[int] = []
    weight = 0
    number = len(tree.steps) - 1
    while number >= 0:
        step = tree.steps[number]
        taken = step.kind == "enter" or bool(priced.taken[number][nodes - weight])
        if step.kind == "leave" and not taken:
            number = step.partner  # the class is not entered
        elif step.kind != "leave" and taken:
            (units if step.kind == "take" else classes).append(step.item)
            weight += step.weight
        number -= 1
    return Chosen(tuple(sorted(units)), tuple(sorted(classes)), weight)
