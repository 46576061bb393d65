"""Lower bounds by linear programming with rational duals, and branch-and-bound trees with them: certificates.

A clause is read as ``sum of its literals >= 1`` over 0 <= x <= 1, a negative literal being ``1 - x``. GLOP's duals,
rounded to a common denominator, prove the bound ``sum_c y_c (1 - negatives_c) + sum_x min(0, cost_x - sum_c y_c
coefficient_cx)`` for any y >= 0 (Lagrange), so neither rounding nor a wrong solver can make it false. A clause may be
violated at a price that exceeds the weight of every solution; this keeps every program feasible and its duals valid.

The tree branches on edges, with the known optimum as cutoff. As every leaf must be closed, the order of the search is
irrelevant and the size of the tree depends on the choice of the branching edge: strong branching among the most
fractional edges.

References
----------
D. Applegate, R. Bixby, V. Chvatal, W. Cook, "Finding cuts in the TSP", DIMACS Technical Report 95-05 (1995): strong
branching.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from masksynth.errors import Contradiction
from masksynth_solvers.sparse.enumeration import connects_pairs
from masksynth_solvers.sparse.path_encoding import Formula

DENOMINATOR = 1 << 24
CANDIDATES = 12
"""Edges that strong branching compares."""
DEEPEST = 250
"""Greatest depth of a tree, so that ordinary parsers can read its nested JSON."""
MAX_NUMBERS = 30_000_000
"""Maximum number of duals in a tree."""

Node = dict[str, Any]
Fixed = Mapping[int, int]


@dataclass(frozen=True)
class Point:
    """An optimal solution of a linear program.

    Parameters
    ----------
    value : float
    edges : dict of int to float
        Value of each edge variable.
    duals : tuple of (int, int)
        (index of the clause, numerator of its dual over ``DENOMINATOR``), nonzero ones only.
    """

    value: float
    edges: dict[int, float]
    duals: tuple[tuple[int, int], ...]


class Program:
    """The linear program of a formula; GLOP keeps its basis from one call to the next."""

    def __init__(self, formula: Formula) -> None:
        from ortools.linear_solver import pywraplp

        self.formula = formula
        self.solver: Any = pywraplp.Solver.CreateSolver("GLOP")
        self.solver.SetSolverSpecificParametersAsString("use_preprocessing: false use_dual_simplex: true")
        self.variables = [self.solver.NumVar(0, 1, "") for _ in formula.names]
        objective = self.solver.Objective()
        objective.SetMinimization()
        for variable, weight in formula.weights.items():
            objective.SetCoefficient(self.variables[variable - 1], weight)
        self.rows = [self._row(clause) for clause in formula.clauses]
        self.fixed: dict[int, int] = {}

    def _row(self, clause: list[int]) -> Any:
        negatives = sum(literal < 0 for literal in clause)
        row = self.solver.Constraint(1 - negatives, self.solver.infinity())
        for literal in clause:
            row.SetCoefficient(self.variables[abs(literal) - 1], 1 if literal > 0 else -1)
        if not negatives:
            unmet = self.solver.NumVar(0, 1, "")
            self.solver.Objective().SetCoefficient(unmet, sum(self.formula.weights.values()) + 1)
            row.SetCoefficient(unmet, 1)
        return row

    def _fix(self, fixed: Fixed) -> None:
        for variable in self.fixed.keys() - fixed.keys():
            self.variables[variable - 1].SetBounds(0, 1)
        for variable, value in fixed.items():
            if self.fixed.get(variable) != value:
                self.variables[variable - 1].SetBounds(value, value)
        self.fixed = dict(fixed)

    def value(self, fixed: Fixed) -> float:
        """Return the least value with some edges fixed; minus infinity if GLOP fails."""
        self._fix(fixed)
        return float(self.solver.Objective().Value()) if self.solver.Solve() == self.solver.OPTIMAL else float("-inf")

    def point(self, fixed: Fixed) -> Point:
        """Return an optimal solution with some edges fixed."""
        value = self.value(fixed)
        edges = {variable: float(self.variables[variable - 1].solution_value()) for variable in self.formula.weights}
        numerators = (round(max(0.0, row.dual_value()) * DENOMINATOR) for row in self.rows)
        return Point(value, edges, tuple((index, numerator) for index, numerator in enumerate(numerators) if numerator))


def lp_bound(formula: Formula) -> tuple[int, dict[str, Any]]:
    """Return a proved lower bound on the weight of a component, and its certificate: a ``tree.json`` with one leaf.

    Examples
    --------
    On a chain of seven at L = 2 the optimum is four edges besides the six covers.

    >>> import numpy as np
    >>> from masksynth.sparse import SparseProblem, reduce
    >>> from masksynth_solvers.sparse.path_encoding import encode
    >>> problem = SparseProblem(np.tril(np.ones((7, 7), bool)), 2)
    >>> found = reduce(problem)
    >>> bound, certificate = lp_bound(encode(problem, found.forced, found.components[0]))
    >>> bound, sorted(certificate), sorted(certificate["tree"])
    (4, ['denominator', 'tree'], ['duals'])
    """
    duals = Program(formula).point({}).duals
    exact = max(0, leaf_bound(formula, duals, {}))
    return -(-exact // DENOMINATOR), _document(_leaf(duals if exact else ()))


def branch_tree(
    formula: Formula,
    bound: int,
    until: float | None = None,
    nodes: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Return a branch-and-bound tree that proves ``bound``, as a ``tree.json``; None if a limit is reached first.

    Parameters
    ----------
    formula : Formula
        The clauses of a component, without any on the weight.
    bound : int
        The bound to prove, at most the optimum.
    until : float, optional
        When to stop, by ``time.monotonic``.
    nodes : int, optional
        Most nodes of the tree.
    stop : function
        Called at every node; the search stops if it returns true.

    Raises
    ------
    Contradiction
        If the optimal point of a linear program is a solution that weighs less than the bound.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.sparse import SparseProblem, reduce
    >>> from masksynth_solvers.sparse.path_encoding import encode
    >>> problem = SparseProblem(np.tril(np.ones((9, 9), bool)), 2)
    >>> found = reduce(problem)
    >>> formula = encode(problem, found.forced, found.components[0])
    >>> branch_tree(formula, 8)["tree"].keys() == {"edge", "zero", "one"}, branch_tree(formula, 8, nodes=3)
    (True, None)
    """
    end = float("inf") if until is None else until
    growing = _Growing(formula, bound, lambda: monotonic() > end or stop(), float("inf") if nodes is None else nodes)
    try:
        return _document(growing.node({}))
    except _LimitReached:
        return None


class _LimitReached(Exception):
    """Time, nodes, depth or duals are used up, or no edge is left to branch on."""


class _Growing:
    """A branch-and-bound tree under construction, depth first."""

    def __init__(self, formula: Formula, bound: int, stop: Callable[[], bool], nodes: float) -> None:
        self.program = Program(formula)
        self.formula, self.bound, self.stop, self.left = formula, bound, stop, nodes
        self.numbers = 0

    def node(self, fixed: Fixed) -> Node:
        """Return the subtree in which the given edges are fixed."""
        self.left -= 1
        if self.left < 0 or len(fixed) > DEEPEST or self.stop():
            raise _LimitReached
        point = self.program.point(fixed)
        if leaf_bound(self.formula, point.duals, fixed) > (self.bound - 1) * DENOMINATOR:
            self.numbers += len(point.duals)
            if self.numbers > MAX_NUMBERS:
                raise _LimitReached
            return _leaf(point.duals)
        variable = self._choice(point, fixed)
        edge = list(self.formula.names[variable - 1][1:])
        return {"edge": edge, "zero": self.node({**fixed, variable: 0}), "one": self.node({**fixed, variable: 1})}

    def _choice(self, point: Point, fixed: Fixed) -> int:
        """Return the fractional edge with the greatest product of its two children's gains.

        A gain counts only up to the bound at which the child is closed.
        """
        fractional = [(abs(value - 0.5), variable) for variable, value in point.edges.items() if variable not in fixed]
        candidates = [variable for distance, variable in sorted(fractional)[:CANDIDATES] if distance < 0.5 - 1e-6]
        if not candidates:
            self._check_claim(point)
            raise _LimitReached
        if len(candidates) == 1:
            return candidates[0]
        needed = self.bound - 1 - point.value + 1e-3

        def merit(variable: int) -> float:
            lifts = [min(self.program.value({**fixed, variable: side}) - point.value, needed) for side in (0, 1)]
            return max(lifts[0], 1e-4) * max(lifts[1], 1e-4)

        return max(candidates, key=merit)

    def _check_claim(self, point: Point) -> None:
        """Raise if the edges of an integral point are a solution that weighs less than the bound to prove."""
        chosen = self.formula.chosen(variable for variable, value in point.edges.items() if value > 0.5)
        if (cost := self.formula.cost(chosen)) < self.bound and connects_pairs(self.formula, chosen):
            raise Contradiction("the search", self.bound, "linear programming", cost)


def leaf_bound(formula: Formula, duals: tuple[tuple[int, int], ...], fixed: Fixed) -> int:
    """Return the Lagrangian bound of duals with some variables fixed, multiplied by ``DENOMINATOR``."""
    reduced = {variable: DENOMINATOR * weight for variable, weight in formula.weights.items()}
    total = 0
    for index, numerator in duals:
        clause = formula.clauses[index]
        total += numerator * (1 - sum(literal < 0 for literal in clause))
        for literal in clause:
            reduced[abs(literal)] = reduced.get(abs(literal), 0) - (numerator if literal > 0 else -numerator)
    return total + sum(cost * fixed.get(variable, cost < 0) for variable, cost in reduced.items())


def _leaf(duals: tuple[tuple[int, int], ...]) -> Node:
    return {"duals": [list(pair) for pair in duals]}


def _document(tree: Node) -> dict[str, Any]:
    return {"denominator": DENOMINATOR, "tree": tree}
