"""Carry a total order (chain) through L layers by few edges: the edges of the plans of `chain_plans`."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.sparse.constructions.chain_plans import DEEPEST, FREE, Budget, Plan, best_plan, hub_budget, strip_budgets


def chain_cost(size: int, layers: int) -> int:
    """Return the number of edges of `chain_edges`.

    Examples
    --------
    >>> [chain_cost(size, 2) for size in (3, 5, 7, 9)], chain_cost(9, 3), chain_cost(9, 8)
    ([2, 6, 10, 16], 12, 8)
    """
    return len(chain_edges(size, layers)[0]) if layers > DEEPEST else best_plan(Budget(layers), size).cost


def chain_edges(size: int, layers: int) -> tuple[Int64Array, Int64Array]:
    """Return edges (query, key) through which ``layers`` layers carry the order 0 < 1 < ... < size - 1.

    Examples
    --------
    >>> [part.tolist() for part in chain_edges(3, 2)]
    [[1, 2], [0, 1]]
    """
    if layers > DEEPEST:
        return _deep(size, layers)
    edges = _strip(Budget(layers), size, {}) - 1
    return edges[0], edges[1]


def _deep(size: int, layers: int) -> tuple[Int64Array, Int64Array]:
    """Return the path of covers, and a plan of c <= 6 layers on hubs w = (layers - c) / 2 elements apart."""
    path = np.arange(size - 1)
    if size <= layers + 1:
        return path + 1, path
    widths = {c: (layers - c) // 2 for c in range(1, DEEPEST + 1)}
    hubs = {c: -((width - size) // (width + 1)) for c, width in widths.items()}
    inner = min(hubs, key=lambda c: (chain_cost(hubs[c], c), c))
    query, key = chain_edges(hubs[inner], inner)
    step = widths[inner] + 1
    start = min(widths[inner], size - 1 - (hubs[inner] - 1) * step)
    return np.concatenate([path + 1, start + step * query]), np.concatenate([path, start + step * key])


def _strip(budget: Budget, size: int, strips: dict[tuple[Budget, int], Int64Array]) -> Int64Array:
    """Return the edges [query, key] of a strip: its elements are 1 .. size, the hub below 0, the hub above size + 1.

    ``strips`` maps a budget and a length to the edges.
    """
    if size == 0:
        return np.zeros((2, 0), np.int64)
    if (budget, size) not in strips:
        plan = best_plan(budget, size)
        if plan.strips:
            strips[budget, size] = _join_strips(budget, size, plan, strips)
        elif budget.layers < 2:
            strips[budget, size] = _all_pairs(budget, size)
        elif plan.down or plan.up:
            hub, name = (budget.below, "below") if plan.down else (budget.above, "above")
            rest = _strip(budget._replace(**{name: FREE}), size, strips)
            strips[budget, size] = np.concatenate([rest, _comb(name, hub == 1, size)], axis=1)
        else:
            path = np.arange(int(budget.below == FREE), size + int(budget.above != FREE))
            strips[budget, size] = np.stack([path + 1, path])
    return strips[budget, size]


def _comb(name: str, every: bool, size: int) -> Int64Array:
    """Return the edges between one hub and every element, or only the nearest one."""
    if name == "below":
        element = np.arange(1, size + 1 if every else 2)
        return np.stack([element, np.zeros_like(element)])
    element = np.arange(1 if every else size, size + 1)
    return np.stack([np.full_like(element, size + 1), element])


def _all_pairs(budget: Budget, size: int) -> Int64Array:
    query, key = np.nonzero(np.tri(size, k=-1, dtype=bool))
    combs = [
        _comb(name, hub == 1, size) for name, hub in zip(("below", "above"), budget[1:], strict=True) if hub != FREE
    ]
    return np.concatenate([np.stack([query + 1, key + 1]), *combs], axis=1)


def _join_strips(budget: Budget, size: int, plan: Plan, strips: dict[tuple[Budget, int], Int64Array]) -> Int64Array:
    """Return the edges of the hubs and of each strip, shifted to its offset; strips of equal length together."""
    offset = np.array([0, *accumulate(length + 1 for length in plan.strips)])
    inner = hub_budget(budget, plan.down, plan.up)
    lowest, middle, highest = strip_budgets(budget, plan.down, plan.up)
    edges = [_strip(lowest, plan.strips[0], strips), _strip(highest, plan.strips[-1], strips) + offset[-2]]
    if inner:
        edges.append(offset[_strip(inner, len(plan.strips) - 1, strips)])
    lengths = np.array(plan.strips[1:-1], np.int64)
    for length in np.unique(lengths).tolist():
        shift = offset[1:-2][lengths == length]
        edges.append((_strip(middle, length, strips)[:, None, :] + shift[None, :, None]).reshape(2, -1))
    return np.concatenate(edges, axis=1)
