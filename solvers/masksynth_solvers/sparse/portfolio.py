"""Run several engines on each component until one proves the optimum.

With one worker the engines take turns in one process, in steps of deterministic effort: equal runs give equal answers.
With more, the first engine runs in this process and the others in processes of their own. Nothing is sent to a running
engine, and each stops at an effort of its own: the value and the bound are equal in equal runs, but the engine that is
the first to prove an optimum, and hence which of several optimal masks is returned, may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from time import monotonic
from typing import Any

from masksynth.backends import Limits
from masksynth.errors import Contradiction, Unsupported
from masksynth.sparse import (
    Construction,
    Edge,
    SparseProblem,
    construct_plain,
    disjoint_cuts,
    first_layered_solution,
    first_solution,
    layered_component,
    reduce,
)
from masksynth.sparse.engines import SparseOutcome, Standing
from masksynth.sparse.reduce import Component, Reduction
from masksynth_solvers.encoding import OutOfTime
from masksynth_solvers.sparse.budget import RACING_GROWTH, Budget, next_step
from masksynth_solvers.sparse.component_task import ComponentTask
from masksynth_solvers.sparse.path_encoding import Formula
from masksynth_solvers.sparse.processes import receive, run_engines
from masksynth_solvers.sparse.rank_engines import rank_engines

Report = Callable[[int, int], None]

TRIAGE = 0.1
"""Effort for which ``maxsat`` tries each component first ..."""
LEAD = 0.5
"""... and that for which it tries those that it leads on, with one worker: a first solution may take as long."""
START = (0.0, 6.0, 20.0)
"""Effort that the first engine spends before the second and the third join in ..."""
SHARE = (1.0, 0.4, 0.2)
"""... and the relative effort of each from then on, with one worker."""
CLOSED = 0.01
"""Effort of a component that the first step closes."""
CUT_PAIR_LIMIT = 60
"""Maximum number of pairs of a component for which disjoint cuts are computed."""


@dataclass
class ComponentSearch:
    """The state of the search of one component."""

    task: ComponentTask
    known: Standing
    formula: Formula | None = None
    engines: dict[str, Any] = field(default_factory=dict)

    def rank(self, names: Sequence[str]) -> list[str]:
        """Return the names of engines, the most promising first; swaps count once the formula is built."""
        return rank_engines(self.task, names, 0 if self.formula is None else len(self.formula.swaps))

    def advance(self, name: str, effort: float, budget: Budget) -> None:
        """Run an engine for some effort of the budget; the formula is built, and the engine started, on first use."""
        if self.formula is None:
            self.formula = self.task.encode(budget.until)
        if name not in self.engines:
            self.engines[name] = self.task.start(name, self.formula, budget)
        self.known = self.engines[name].advance(self.known, effort, budget.until)
        budget.effort -= effort


def search(
    problem: SparseProblem, names: Sequence[str], limits: Limits, report: Report = lambda value, bound: None
) -> SparseOutcome:
    """Solve a sparse problem with the named engines, as far as the limits allow.

    Parameters
    ----------
    problem : SparseProblem
    names : sequence of str
        Names of engines.
    limits : Limits
    report : function
        Called with the total weight and the total bound after each step.

    Examples
    --------
    >>> import numpy as np
    >>> outcome = search(SparseProblem(np.tril(np.ones((7, 7), bool)), 2), ["sat"], Limits())
    >>> len(outcome.reduction.forced), [(standing.lower, standing.upper) for standing in outcome.standings]
    (6, [(4, 4)])
    """
    budget = Budget(
        None if limits.seconds is None else monotonic() + limits.seconds,
        inf if limits.effort is None else limits.effort,
    )
    reduction = reduce(problem)
    if reduction.unreachable is not None:
        return SparseOutcome(reduction, ())
    if problem.layered:
        reduction = Reduction(frozenset(), (), (layered_component(problem),))
    fixed_cost = problem.cost(reduction.forced | reduction.chosen)
    searches = _list_searches(problem, reduction, limits.seed)
    for index, state in enumerate(searches):
        with _name_component(reduction, index), _end_on_interrupt(budget):
            _try_maxsat(state, names, limits.workers, budget)
    is_open = any(not state.known.closed for state in searches)  # a construction may take longer than the proofs so far
    hint, floor, floor_proof = _read_construction(construct_plain(problem) if is_open else None)
    for index, state in enumerate(searches):
        with _name_component(reduction, index):
            _find_first_bounds(state, hint)
    report(*_total(fixed_cost, searches, floor))
    for index, state in enumerate(searches):
        if state.known.closed or budget.over:
            continue
        with _name_component(reduction, index), _end_on_interrupt(budget):
            share = budget.share(sum(not other.known.closed for other in searches[index:]))
            granted = share.effort
            for _ in _search_component(state, state.rank(names), limits.workers, share):
                report(*_total(fixed_cost, searches, floor))
            budget.effort -= granted - share.effort if granted < inf else 0.0
    return SparseOutcome(reduction, tuple(state.known for state in searches), floor, floor_proof)


def _list_searches(problem: SparseProblem, reduction: Reduction, seed: int) -> list[ComponentSearch]:
    """Return the search of each component, from the solution that chooses every edge."""
    return [
        ComponentSearch(ComponentTask(problem, reduction.forced, component, seed), _all_edges(problem, component))
        for component in reduction.components
    ]


def _read_construction(construction: Construction | None) -> tuple[list[Edge], int | None, str]:
    """Return a construction's edges, bound and proof; no edges, None and an empty string if there is none."""
    if construction is None:
        return [], None, ""
    edges = list(zip(construction.query.tolist(), construction.key.tolist(), strict=True))
    return edges, construction.bound, construction.bound_proof


def _all_edges(problem: SparseProblem, component: Component) -> Standing:
    """Return the solution that chooses every edge, and a bound of one edge."""
    edges = component.edges
    least = 0 if problem.layered else min(map(problem.weight, edges))
    return Standing(problem.cost(edges), least, edges, "all edges")


@contextmanager
def _name_component(reduction: Reduction, index: int) -> Iterator[None]:
    """Add the component to a contradiction that is raised inside the block."""
    try:
        yield
    except Contradiction as error:
        components = reduction.components
        size = f"{len(components[index].pairs)} pairs, {len(components[index].edges)} edges"
        raise error.within(f"component {index + 1} of {len(components)}, {size}") from error


@contextmanager
def _end_on_interrupt(budget: Budget) -> Iterator[None]:
    """End the budget on Ctrl-C, or if the time ends while a formula is built."""
    try:
        yield
    except (KeyboardInterrupt, OutOfTime):
        budget.end()


def _total(fixed_cost: int, searches: Sequence[ComponentSearch], floor: int | None) -> tuple[int, int]:
    """Return the weight and the bound of all components and fixed edges together."""
    lower = fixed_cost + sum(state.known.lower for state in searches)
    return fixed_cost + sum(state.known.upper for state in searches), lower if floor is None else max(lower, floor)


def _try_maxsat(state: ComponentSearch, names: Sequence[str], workers: int, budget: Budget) -> None:
    """Give ``maxsat`` a short step: it needs no solution to start from, and closes most components at once."""
    if "maxsat" not in names or budget.over:
        return
    before = budget.effort
    state.advance("maxsat", min(TRIAGE, before), budget)
    is_leader = workers == 1 and state.rank(names)[0] == "maxsat"
    if is_leader and not (state.known.closed or budget.over):
        state.advance("maxsat", min(LEAD - TRIAGE, budget.effort), budget)
    if state.known.closed:  # most often at once
        budget.effort = max(budget.effort, before - CLOSED)


def _find_first_bounds(state: ComponentSearch, hint: Sequence[Edge]) -> None:
    """Find a first solution of an open component, and the bound of its disjoint cuts."""
    task = state.task
    if state.known.closed:
        return
    if task.problem.layered:
        chosen: tuple[tuple[int, ...], ...] = first_layered_solution(task.problem)
        state.known = state.known.found(chosen, task.problem.cost(chosen), "greedy")
        return
    chosen = first_solution(task.problem, task.forced, task.component, hint)
    state.known = state.known.found(chosen, task.problem.cost(chosen), "greedy")
    if len(task.component.pairs) <= CUT_PAIR_LIMIT:
        cuts = disjoint_cuts(task.problem, task.forced, task.component)
        weights = (min(map(task.problem.weight, cut.edges)) for cut in cuts)
        state.known = state.known.proved(sum(weights), "packing")


def _search_component(state: ComponentSearch, names: Sequence[str], workers: int, budget: Budget) -> Iterator[None]:
    """Search a component until it is closed or the budget is used up; yield after each step."""
    if workers == 1 or len(names) == 1:
        yield from _take_turns(state, names, budget)
    else:
        yield from race(state, names[:workers], budget)


def _take_turns(state: ComponentSearch, names: Sequence[str], budget: Budget) -> Iterator[None]:
    """Run the engines in turn; a later one joins when the first has spent some effort, and gets less."""
    clocks = {name: START[min(rank, 2)] for rank, name in enumerate(names)}
    shares = {name: SHARE[min(rank, 2)] for rank, name in enumerate(names)}
    spent = dict.fromkeys(names, 0.0)
    while not (state.known.closed or budget.over):
        name = min(clocks, key=clocks.__getitem__)
        effort = min(next_step(spent[name]), budget.effort)
        try:
            state.advance(name, effort, budget)
        except Unsupported:  # such as weights that are too large for the totalizer of ``sat``
            del clocks[name]
            if not clocks:
                raise
            continue
        spent[name] += effort
        clocks[name] += effort / shares[name]
        yield


def race(state: ComponentSearch, names: Sequence[str], budget: Budget) -> Iterator[None]:
    """Run the first engine here and each other one in its own process, each with an equal part of the effort."""
    own = replace(budget, effort=budget.effort / len(names))
    alone = replace(state)  # not improved by the other engines, so that the answer does not depend on their speed
    spent = 0.0
    with run_engines(state.task, names[1:], state.known, own.effort) as ends:
        while not (state.known.closed or (own.over and not ends) or budget.over):
            if not own.over:
                spent += _step_alone(alone, names[0], next_step(spent, RACING_GROWTH), own)
                state.known = state.known.better(alone.known)
            for known in receive(ends, 0.1 if own.over else 0.0):
                state.known = state.known.better(known)
            yield
    budget.end()


def _step_alone(alone: ComponentSearch, name: str, effort: float, own: Budget) -> float:
    """Advance the engine of this process; return the effort spent."""
    effort = min(effort, own.effort)
    try:
        alone.advance(name, effort, own)
    except Unsupported:
        own.end()
    return effort
