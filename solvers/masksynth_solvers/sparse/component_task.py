"""One component of a sparse problem, as it is given to an engine in this process or in another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from masksynth.sparse import Component, Edge, SparseProblem
from masksynth.sparse.engines import engine
from masksynth_solvers.sparse.budget import Budget
from masksynth_solvers.sparse.path_encoding import Formula, encode, encode_layers
from masksynth_solvers.sparse.symmetry_breaking import add_swaps, find_swaps
from masksynth_solvers.sparse.windowed import WindowedDescent


@dataclass(frozen=True)
class ComponentTask:
    """A component to search.

    Parameters
    ----------
    problem : SparseProblem
    forced : frozenset of Edge
        Edges that are in every solution.
    component : Component
    seed : int
    """

    problem: SparseProblem
    forced: frozenset[Edge]
    component: Component
    seed: int

    def encode(self, until: float | None) -> Formula:
        """Return the formula of the component, with symmetries broken."""
        if self.problem.layered:
            formula = encode_layers(self.problem, until)
        else:
            formula = encode(self.problem, self.forced, self.component, until)
        add_swaps(formula, find_swaps(self.problem, formula.forced, self.component))
        return formula

    def start(self, name: str, formula: Formula, budget: Budget) -> Any:
        """Return the engine called ``name``; ``sat`` uses windows unless each layer has a mask of its own."""
        searching = engine(name)(formula, self.seed)
        if name == "sat" and not self.problem.layered:
            return WindowedDescent(self.problem, self.forced, self.component, formula, searching, budget)
        return searching
