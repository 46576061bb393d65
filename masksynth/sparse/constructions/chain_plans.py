"""Plan few edges through which L layers carry a total order (chain): nested hubs.

A *strip* is a run of n elements between two hubs, one below and one above it. With budgets (L, a, b) its edges must
carry every pair of its elements in L hops, every element down to the hub below in a hops, and the hub above down to
every element in b hops; a budget ``FREE`` means that there is no such hub. A chain is the strip (L, FREE, FREE). Plans
of a strip:

- *path*: the covers, where n <= a, n <= b and n <= L + 1.
- *comb*: at a = 1 every element attends to the hub below, which helps no other pair; at a = L + 1 only the lowest does.
  Above likewise.
- *hubs*: r hubs with budgets (c, a - x, b - y) among themselves, c = L - x - y, and strips with budgets (L, x, y)
  between them, (L, a, y) at the bottom, (L, x, b) at the top: an element reaches another strip by x hops to its hub, c
  to the hub above the target, y more.

With x = y = 1 these are the schemes of the literature: n log n edges at L = 2, n log log n at L = 3, n log* n at L = 4.
Small strips take the best plan by dynamic programming; longer ones try equal strips of many lengths.

References
----------
A. C. Yao, "Space-time tradeoff for answering range queries", STOC 1982.
N. Alon, B. Schieber, "Optimal preprocessing for answering on-line product queries", Tel Aviv University 71/87 (1987).
B. Chazelle, "Computing on a free tree via complexity-preserving mappings", Algorithmica 2 (1987).
H. L. Bodlaender, G. Tel, N. Santoro, "Trade-offs in non-reversing diameter", Nordic J. Computing 1 (1994).
"""

from __future__ import annotations

from functools import cache
from math import isqrt
from typing import NamedTuple

import numpy as np

from masksynth.mask.typing import Int64Array

FREE = 99
"""Budget of a hub that does not exist."""


SMALL = 32
"""Longest strip that is planned optimally (within the plans above)."""


DEEPEST = 6
"""Greatest L for which plans are computed; beyond it, the path of covers and such a plan on equally spaced hubs."""


NEVER = 10**12


class Budget(NamedTuple):
    """Maximum number of hops inside a strip, down to the hub below it, and from the hub above it."""

    layers: int
    below: int = FREE
    above: int = FREE


class Plan(NamedTuple):
    """Edges of a strip: strips of the given lengths with a hub between neighbours; no strips: a path or a comb.

    Parameters
    ----------
    cost : int
        Number of edges.
    down, up : int
        Hops down to a hub, x, and up from a hub, y; of a comb, 1 for the side of its hub.
    strips : tuple of int
        Lengths of the strips, lowest first.
    """

    cost: int
    down: int = 0
    up: int = 0
    strips: tuple[int, ...] = ()


def _hub_count(budget: Budget) -> int:
    return (budget.below != FREE) + (budget.above != FREE)


@cache
def hub_budget(budget: Budget, down: int, up: int) -> Budget | None:
    """Return the budget among the hubs of a plan; None if the plan is impossible."""
    below = FREE if budget.below == FREE else budget.below - down
    above = FREE if budget.above == FREE else budget.above - up
    layers = budget.layers - down - up
    if below < 1 or above < 1:
        return None
    most = layers + 1 if layers else 1  # c = 0: a single hub
    return Budget(layers, below if below == FREE else min(below, most), above if above == FREE else min(above, most))


@cache
def strip_budgets(budget: Budget, down: int, up: int) -> tuple[Budget, Budget, Budget]:
    """Return the budgets of the lowest, an inner and the highest strip."""
    return budget._replace(above=up), budget._replace(below=down, above=up), budget._replace(below=down)


@cache
def _splits(layers: int) -> list[tuple[int, int]]:
    """Return the pairs (x, y) of hops that a plan may use outside its hubs."""
    return [(down, up) for down in range(1, layers) for up in range(1, layers + 1 - down)]


def best_plan(budget: Budget, size: int) -> Plan:
    """Return the best known plan of a strip of ``size`` elements; an impossible one costs ``NEVER``."""
    if size == 0:
        return Plan(0)
    if budget.layers < 2:
        pairs = size * (size - 1) // 2 if budget.layers else (size > 1) * NEVER
        return Plan(pairs + sum(size if hub == 1 else 1 for hub in budget[1:] if hub != FREE))
    return _plan_table(budget.layers).plans_to(size)[budget][size] if size <= SMALL else _large_plan(budget, size)


def _simple_plans(budget: Budget, size: int, free: dict[Budget, list[Plan]] | None) -> list[Plan]:
    """Return the path and the combs of a strip; ``free`` has the plans of strips with fewer hubs."""
    layers, below, above = budget
    plans = [Plan(size - 1 + _hub_count(budget))] if size <= min(below, above, layers + 1) else []
    for name, hub in (("below", below), ("above", above)):
        if hub in (1, layers + 1):
            rest = budget._replace(**{name: FREE})
            cost = free[rest][size].cost if free else best_plan(rest, size).cost
            plans.append(Plan(cost + (size if hub == 1 else 1), int(name == "below"), int(name == "above")))
    return plans


@cache
def _plan_table(layers: int) -> _PlanTable:
    """Return the table of plans for a number of layers, which grows on demand."""
    return _PlanTable(layers)


class _PlanTable:
    """Best plans of all strips of up to ``SMALL`` elements, by budget and length (dynamic programming).

    For each length, all numbers of hubs and all lengths of the strips between them are tried.
    """

    def __init__(self, layers: int) -> None:
        hubs = (FREE, *range(1, layers + 2))
        budgets = [Budget(layers, below, above) for below in hubs for above in hubs]
        self.plans = {budget: [Plan(0)] for budget in budgets}
        self.middles = {split: _Middle(self.plans[Budget(layers, *split)]) for split in _splits(layers)}
        self.ends: dict[tuple[Budget, Budget], list[int]] = {}
        self.computed = 0

    def plans_to(self, size: int) -> dict[Budget, list[Plan]]:
        """Return the plans of each budget, indexed by length, of at least ``size`` elements."""
        for length in range(self.computed + 1, size + 1):
            for budget, plans in self.plans.items():
                plans.append(self._best(budget, length))
            self.computed = length
        return self.plans

    def _best(self, budget: Budget, size: int) -> Plan:
        """Return the best plan of a budget; all plans of shorter strips are in the table, and of ``size`` those before.

        Budgets with fewer hubs come first, so that a comb finds the plan without its hub.
        """
        choices = _simple_plans(budget, size, self.plans)
        for split, middle in self.middles.items():
            if inner := hub_budget(budget, *split):
                low, _, high = strip_budgets(budget, *split)
                lowest, highest = self.plans[low], self.plans[high]
                both = self.ends.setdefault((low, high), [])
                both += [_least(lowest, highest, total)[0] for total in range(len(both), size)]
                choices.append(_with_hubs(inner, split, (lowest, middle, highest), both))
        return min(choices)


class _Middle:
    """Cheapest r inner strips of t elements in total: ``cost[r][t]``, with a last strip of length ``last[r][t]``."""

    def __init__(self, plans: list[Plan]) -> None:
        self.plans = plans
        self.cost = np.full((SMALL + 1, SMALL + 1), NEVER)
        self.last = np.zeros((SMALL + 1, SMALL + 1), int)
        self.cost[:, 0], self.computed = 0, 0

    def extend_to(self, total: int) -> Int64Array:
        """Extend both arrays to ``total`` elements, for which all plans exist, and return the costs."""
        strip = np.array([plan.cost for plan in self.plans[: total + 1]])
        for t in range(self.computed + 1, total + 1):
            for r in range(1, SMALL + 1):
                costs = self.cost[r - 1, t::-1][: t + 1] + strip[: t + 1]
                self.last[r, t] = costs.argmin()
                self.cost[r, t] = costs[self.last[r, t]]
        self.computed = max(self.computed, total)
        return self.cost

    def strips(self, count: int, total: int) -> tuple[int, ...]:
        """Return the lengths of the cheapest ``count`` strips."""
        lengths = []
        for r in range(count, 0, -1):
            lengths.append(int(self.last[r, total]))
            total -= lengths[-1]
        return tuple(reversed(lengths))


def _least(left: list[Plan], right: list[Plan], total: int) -> tuple[int, int]:
    """Return the least cost of two strips of ``total`` elements in total, and the length of the first."""
    return min((left[first].cost + right[total - first].cost, first) for first in range(total + 1))


def _with_hubs(
    inner: Budget, split: tuple[int, int], parts: tuple[list[Plan], _Middle, list[Plan]], both: list[int]
) -> Plan:
    """Return the best plan with hubs for the length ``len(both)``.

    ``both[u]`` is the least cost of the two end strips with u elements in total.
    """
    lowest, middle, highest = parts
    size = len(both)
    hubs = np.array([NEVER] + [best_plan(inner, r).cost for r in range(1, size + 1)])
    inside = middle.extend_to(size - 1)
    # all r hubs and u elements in the two end strips with r + u <= size
    r, u = np.nonzero(np.tri(size + 1, dtype=bool)[::-1])
    r, u = r[r > 0], u[r > 0]
    costs = hubs[r] + np.array(both)[u] + inside[r - 1, size - r - u]
    best = int(costs.argmin())
    count, total = int(r[best]), int(u[best])
    first = _least(lowest, highest, total)[1]
    return Plan(int(costs[best]), *split, (first, *middle.strips(count - 1, size - count - total), total - first))


@cache
def _large_plan(budget: Budget, size: int) -> Plan:
    """Return the best plan with equal strips for a long strip.

    The hubs cost at least count - 1; plans are tried in the order of that bound until it exceeds the best cost.
    """
    best = min(_simple_plans(budget, size, None), default=Plan(NEVER))
    trials = []
    for split in _splits(budget.layers):
        if inner := hub_budget(budget, *split):
            for count in _counts(inner.layers, size):
                trials.append((_strips_cost(strip_budgets(budget, *split), count, size), count, split, inner))
    for cost, count, split, inner in sorted(trials, key=lambda trial: (trial[0] + trial[1], trial[1:3])):
        if cost + count - 1 >= best.cost:
            break
        if (cost := cost + best_plan(inner, count).cost) < best.cost:
            best = Plan(cost, *split, _equal_lengths(count, size))
    return best


def _strips_cost(parts: tuple[Budget, Budget, Budget], count: int, size: int) -> int:
    """Return the cost of the strips ``_equal_lengths(count, size)``."""
    length, longer = divmod(size - count, count + 1)
    lowest, middle, highest = parts
    cost = best_plan(lowest, length + (longer > 0)).cost + best_plan(highest, length).cost
    inner = max(longer - 1, 0)
    cost += inner * best_plan(middle, length + 1).cost if inner else 0
    return cost + (count - 1 - inner) * best_plan(middle, length).cost if count - 1 > inner else cost


def _counts(layers: int, size: int) -> list[int]:
    """Return the numbers of hubs to try, for hubs with ``layers`` hops among themselves."""
    if layers == 0:
        return [1]
    lengths = {*range(1, 13), 14, 16, 20, 24, 28, SMALL}
    if layers == 1:
        lengths |= {isqrt(size * part // 8) for part in range(2, 33, 2)}
    return sorted({count for length in lengths if 1 <= (count := (size + 1) // (length + 1)) < size})


def _equal_lengths(count: int, size: int) -> tuple[int, ...]:
    """Return the lengths of the count + 1 strips around ``count`` hubs, longer ones first."""
    length, longer = divmod(size - count, count + 1)
    return (length + 1,) * longer + (length,) * (count + 1 - longer)
