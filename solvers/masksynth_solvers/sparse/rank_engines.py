"""Order the engines for a component by what it looks like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from masksynth.posets import Relation
from masksynth.sparse import positions_between
from masksynth_solvers.sparse.component_task import ComponentTask
from masksynth_solvers.sparse.symmetry_breaking import is_symmetric

TALL = 0.9
"""A component is tall if this part of its positions lies on one chain ..."""
LONG = 18
"""... of at least this many positions."""


def rank_engines(task: ComponentTask, names: Sequence[str], swaps: int = 0) -> list[str]:
    """Return the names of engines, the most promising first; those that are not known here come last.

    ``maxsat`` is the fastest on nearly all instances. At two layers, long chains are proved by the bounds of their
    windows, which only ``sat`` uses; and where positions can be swapped in many ways, ``maxsat`` finds many cores that
    differ by swaps only.

    Parameters
    ----------
    task : ComponentTask
    names : sequence of str
        Names of engines.
    swaps : int
        Number of swaps of the component's formula.
    """
    is_sat_first = task.problem.depth == 2 and (is_symmetric(task.component.edges, swaps) or _is_tall(task))
    order = ("sat", "maxsat", "cpsat") if is_sat_first else ("maxsat", "sat", "cpsat")
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def _is_tall(task: ComponentTask) -> bool:
    """Return whether nearly all positions of a component are on one long chain."""
    if task.problem.layered:
        return False
    members = positions_between(task.problem, task.component.pairs)
    height = _height(task.problem.relation[np.ix_(members, members)])
    return height >= max(LONG, TALL * len(members))


def _height(relation: Relation) -> int:
    """Return the number of positions of a longest chain, one of each class.

    Examples
    --------
    >>> _height(np.tril(np.ones((5, 5), bool))), _height(np.ones((3, 3), bool))
    (5, 1)
    """
    below = relation & ~relation.T
    heights = np.zeros(len(relation), np.int64)
    for query in np.argsort(below.sum(axis=1), kind="stable"):  # what is below a position has fewer positions below it
        heights[query] = 1 + heights[below[query]].max(initial=0)
    return int(heights.max(initial=0))
