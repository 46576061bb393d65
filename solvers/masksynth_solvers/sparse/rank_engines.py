"""Order the engines for a component by what it looks like."""

from __future__ import annotations

from collections.abc import Sequence

from masksynth_solvers.sparse.component_task import ComponentTask


def rank_engines(task: ComponentTask, names: Sequence[str]) -> list[str]:
    """Return the names of engines, the most promising first."""
    order = ("sat", "maxsat", "cpsat") if task.problem.depth == 2 else ("maxsat", "sat", "cpsat")
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))
