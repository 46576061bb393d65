"""Lower bounds on batches by prices: what each batch can hold is worth at most what it costs.

Let every unit u have a price p(u) >= 0, and every class K a price q(K) >= 0, such that the prices of the units and of
the classes that a batch holds sum to at most its number of nodes, whatever units it has. Then all batches together have
at least sum p(u) + sum q(K) N(K) nodes, where N(K) is a lower bound on the number of batches that hold K. If the prices
of the units of a batch sum to at most 1, there are at least sum p(u) batches (``docs/theory.md``, section 12).

Good prices come from a linear program over sets of units that fit into a batch (Gilmore and Gomory 1961), to which the
most valuable set is added until no set is worth more than it costs. `masksynth.verify.price_sets` finds that set, which
proves the prices: if it is worth r times its cost, all prices are divided by r (Farley 1990). So the result is valid
however prices were found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from masksynth.mask.typing import Float64Array, Int64Array
from masksynth.verify.holder_classes import Holdings
from masksynth.verify.price_sets import Chosen, Priced, Tree, best_set, price_sets

LARGEST = 1 << 23
"""Most entries of the table of one dynamic program; beyond it, no prices are sought."""
EFFORT = 1 << 31
"""Most entries of all tables of one linear program, with what its rounds cost besides: about two seconds."""
STEP, COLUMN = 1 << 11, 1 << 12
"""A step of a dynamic program costs as much as this many entries before it fills any, a set of the linear program in
each round as this many: with narrow tables these are most of the time."""
SCALE = 1 << 36
"""Prices are integers of at most this size, so that sums of them are exact."""


def count_batches(tree: Tree, classes: int, limit: int, enough: int) -> int:
    """Return a lower bound on the number of batches; at ``enough`` the search for a better one ends.

    Parameters
    ----------
    tree : Tree
    classes : int
        Number of classes.
    limit, enough : int

    Examples
    --------
    Two of these five units do not fit into a batch, though three batches have room for their nodes.

    >>> from masksynth.verify.price_sets import tree_of_classes
    >>> holdings = Holdings(np.full(5, 4), np.arange(6), np.arange(5))
    >>> count_batches(tree_of_classes(holdings, np.ones(5, np.int64)), 5, 7, 5)
    5
    """
    none = np.zeros(classes, np.int64)

    def bound(unit_price: Int64Array, class_price: Int64Array, priced: Priced) -> tuple[float, int]:
        return float(unit_price.sum()) / max(float(priced.value[-1]), 1.0), limit

    return _raise_prices(tree, none, limit, enough, lambda chosen: 1, bound)


def bound_nodes(holdings: Holdings, tree: Tree, copies: Int64Array, limit: int, enough: int) -> int:
    """Return a lower bound on the nodes of all batches; at ``enough`` the search for a better one ends.

    Parameters
    ----------
    holdings : Holdings
    tree : Tree
    copies : (K,) int64
        Lower bounds on the number of batches that hold each class.
    limit : int
    enough : int

    Examples
    --------
    >>> from masksynth.verify.price_sets import tree_of_classes
    >>> holdings = Holdings(np.array([3, 4, 4, 1]), np.array([0, 3, 4, 5, 6]), np.array([0, 1, 2, 0, 1, 2]))
    >>> bound_nodes(holdings, tree_of_classes(holdings, np.array([3, 1, 1, 1])), np.ones(4, np.int64), 8, 15)
    15
    """

    def bound(unit_price: Int64Array, class_price: Int64Array, priced: Priced) -> tuple[float, int]:
        worth = priced.value[1:] / np.arange(1, limit + 1)  # of a node of the best sets
        best = int(worth.argmax())
        total = float(unit_price.sum()) + float((class_price * copies).sum())
        return total / max(float(worth[best]), 1e-9), best + 1

    wanted = np.where(np.isin(np.arange(len(copies)), [k for path in tree.path for k in path]), copies, 0)
    return _raise_prices(tree, wanted, limit, enough, lambda chosen: chosen.weight, bound)


def _raise_prices(
    tree: Tree,
    copies: Int64Array,
    limit: int,
    enough: int,
    cost: Callable[[Chosen], int],
    bound: Callable[[Int64Array, Int64Array, Priced], tuple[float, int]],
) -> int:
    """Return the best bound of a sequence of prices.

    Parameters
    ----------
    tree : Tree
    copies : (K,) int64
        Number of batches that hold each class at least; 0 for classes without a price.
    limit, enough : int
    cost : callable
        Cost of a batch of some units.
    bound : callable
        Returns the bound that prices prove, and the number of nodes of the set that is worth most.
    """
    size = len(tree.steps) * (limit + 1)
    if size > LARGEST:
        return 0
    program = _Program(tree, copies, cost)
    best, centre, effort = 0.0, None, EFFORT
    while effort > 0:
        prices = program.prices()
        effort -= COLUMN * len(program.sets)
        added = False
        # prices of the program oscillate; those halfway to the best ones so far are tried first (Wentges 1997)
        for tried in (prices,) if centre is None else ((prices + centre) / 2, prices):
            whole = np.floor(tried * (SCALE / max(float(tried.max(initial=0)), 1e-9))).astype(np.int64)
            unit_price, class_price = whole[: tree.units], whole[tree.units :]
            priced = price_sets(tree, unit_price, class_price, limit)
            effort -= size + STEP * len(tree.steps)
            value, nodes = bound(unit_price, class_price, priced)
            if value > best:
                best, centre = value, tried
            if math.ceil(best - 1e-6) >= enough:
                return math.ceil(best - 1e-6)
            added = program.add(best_set(tree, priced, nodes))
            if added:
                break
        if not added:
            break
    return math.ceil(best - 1e-6)


class _Program:
    """The linear program: the least cost of sets of units that hold each unit once, and each class as often as known.

    Parameters
    ----------
    tree : Tree
    copies : (K,) int64
    cost : callable
    """

    def __init__(self, tree: Tree, copies: Int64Array, cost: Callable[[Chosen], int]) -> None:
        from ortools.linear_solver import pywraplp

        self.tree, self.cost = tree, cost
        self.solver: Any = pywraplp.Solver.CreateSolver("GLOP")
        self.units = [self.solver.Constraint(1, self.solver.infinity()) for _ in range(tree.units)]
        self.classes = {
            k: self.solver.Constraint(count, self.solver.infinity()) for k, count in enumerate(copies.tolist()) if count
        }
        self.count = len(copies)
        self.sets: set[Chosen] = set()
        weights = {step.item: step.weight for step in tree.steps if step.kind == "enter"}
        for unit, path in enumerate(tree.path):
            weight = tree.own[unit] + sum(weights[k] for k in path)
            self.add(Chosen((unit,), tuple(sorted(path)), weight))

    def add(self, chosen: Chosen) -> bool:
        """Add a set, and return whether it is new."""
        if chosen in self.sets:
            return False
        self.sets.add(chosen)
        variable = self.solver.NumVar(0, self.solver.infinity(), "")
        self.solver.Objective().SetCoefficient(variable, self.cost(chosen))
        for unit in chosen.units:
            self.units[unit].SetCoefficient(variable, 1)
        for k in chosen.classes:
            if k in self.classes:
                self.classes[k].SetCoefficient(variable, 1)
        return True

    def prices(self) -> Float64Array:
        """Return the prices of the units, then those of the classes: dual values of the least cost."""
        self.solver.Solve()
        result = np.zeros(self.tree.units + self.count)
        for unit, row in enumerate(self.units):
            result[unit] = row.dual_value()
        for k, row in self.classes.items():
            result[self.tree.units + k] = row.dual_value()
        return np.maximum(result, 0)
