"""Run several engines on each component until one proves the optimum; solutions and bounds are exchanged.

With one worker the engines take turns in one process, in slices of deterministic effort: equal runs give equal answers.
With more, each engine has a process of its own; which of several optimal masks is found may then differ from run to
run, its weight does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from multiprocessing.connection import Connection, Pipe, wait
from time import monotonic
from typing import Any

from masksynth.backends import Limits
from masksynth.errors import Contradiction, MasksynthError
from masksynth.sparse import (
    Construction,
    Edge,
    SparseProblem,
    construct_plain,
    disjoint_cuts,
    disjoint_intervals,
    first_layered_solution,
    first_solution,
    layered_component,
    reduce,
)
from masksynth.sparse.engines import SparseOutcome, Standing, engine
from masksynth.sparse.reduce import Component, Reduction
from masksynth_solvers.encoding import OutOfTime
from masksynth_solvers.sparse.branch import lp_bound
from masksynth_solvers.sparse.budget import Budget
from masksynth_solvers.sparse.nested import select_windows, solve_windows
from masksynth_solvers.sparse.path_encoding import Formula, encode, encode_layers

Report = Callable[[int, int], None]

FIRST = 0.25
"""Effort of an engine's first slice; it doubles with each slice ..."""
LAST = 4.0
"""... up to this."""
ALONE = 1.0
"""Effort of each engine in turn before windows are tried and processes are started."""
MOST_ROWS = 5_000
"""Maximum number of clauses of a formula whose linear relaxation is solved for a bound."""
CUT_PAIR_LIMIT = 60
"""Maximum number of pairs of a component for which disjoint cuts are computed."""


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
    hint, floor, floor_proof = _read_construction(construct_plain(problem))
    fixed_cost = problem.cost(reduction.forced | reduction.chosen)
    standings: list[Standing] = []
    for index, component in enumerate(reduction.components):
        with _name_component(reduction, index):
            standings.append(_first_standing(problem, reduction, component, hint))
    for index, component in enumerate(reduction.components):
        with _name_component(reduction, index):
            for known in _search_component(problem, reduction, component, standings[index], names, limits, budget):
                standings[index] = known
                report(*_total(fixed_cost, standings, floor))
    return SparseOutcome(reduction, tuple(standings), floor, floor_proof)


def _read_construction(construction: Construction | None) -> tuple[list[Edge], int | None, str]:
    """Return a construction's edges, bound and proof; no edges, None and an empty string if there is none."""
    if construction is None:
        return [], None, ""
    edges = list(zip(construction.query.tolist(), construction.key.tolist(), strict=True))
    return edges, construction.bound, construction.bound_proof


@contextmanager
def _name_component(reduction: Reduction, index: int) -> Iterator[None]:
    """Add the component to a contradiction that is raised inside the block."""
    try:
        yield
    except Contradiction as error:
        components = reduction.components
        size = f"{len(components[index].pairs)} pairs, {len(components[index].edges)} edges"
        raise error.within(f"component {index + 1} of {len(components)}, {size}") from error


def _total(fixed_cost: int, standings: Sequence[Standing], floor: int | None) -> tuple[int, int]:
    """Return the weight and the bound of all components and fixed edges together."""
    lower = fixed_cost + sum(standing.lower for standing in standings)
    return fixed_cost + sum(standing.upper for standing in standings), lower if floor is None else max(lower, floor)


def _first_standing(
    problem: SparseProblem, reduction: Reduction, component: Component, hint: Sequence[Edge]
) -> Standing:
    """Return a first solution of a component, and the bound of its disjoint cuts."""
    if problem.layered:
        chosen: tuple[tuple[int, ...], ...] = first_layered_solution(problem)
        return Standing(problem.cost(chosen), 0, chosen)
    chosen = first_solution(problem, reduction.forced, component, hint)
    known = Standing(problem.cost(chosen), min(map(problem.weight, component.edges)), chosen)
    cuts = disjoint_cuts(problem, reduction.forced, component) if len(component.pairs) <= CUT_PAIR_LIMIT else ()
    return known.proved(sum(min(map(problem.weight, cut.edges)) for cut in cuts), "packing")


def _search_component(
    problem: SparseProblem,
    reduction: Reduction,
    component: Component,
    known: Standing,
    names: Sequence[str],
    limits: Limits,
    budget: Budget,
) -> Iterator[Standing]:
    """Search one component until it is closed or the budget is used up; Ctrl-C ends the budget."""
    if known.closed or budget.over:
        return
    try:
        formula = (
            encode_layers(problem, budget.until)
            if problem.layered
            else encode(problem, reduction.forced, component, budget.until)
        )
        engines = [engine(name)(formula, limits.seed) for name in names]
        for standing in _take_turns(engines, known, budget, ALONE * len(names)):
            known = standing
            yield known
        if not known.closed and len(names) > 1 and len(formula.clauses) <= MOST_ROWS:
            known = known.proved(lp_bound(formula)[0], "duals")
            yield known
        if not (known.closed or budget.over or problem.layered) and "sat" in names:
            known = known.proved(_sum_of_intervals(problem, reduction, component, limits, budget), "windows")
            yield known
            formula = _encode_with_windows(problem, reduction, component, known, budget)
            # The edges of a solution inside a window solve the window, so the highest bound of a window bounds the
            # component.
            known = known.proved(max((window.bound for window in formula.windows), default=0), "windows")
            engines = [
                engine(name)(formula, limits.seed) if name == "sat" else old
                for name, old in zip(names, engines, strict=True)
            ]
        if known.closed or budget.over:
            return
        if limits.workers == 1 or len(names) == 1:
            yield from _take_turns(engines, known, budget, inf)
        else:
            yield from side_by_side(formula, names[: limits.workers], known, limits.seed, budget)
    except (KeyboardInterrupt, OutOfTime):
        budget.end()


def _sum_of_intervals(
    problem: SparseProblem, reduction: Reduction, component: Component, limits: Limits, budget: Budget
) -> int:
    """Return the sum of the bounds of disjoint intervals, each small enough to be solved at once."""
    total = 0
    for interval in disjoint_intervals(problem, reduction.forced, component):
        if budget.over:
            break
        chosen = first_solution(problem, reduction.forced, interval)
        known = Standing(problem.cost(chosen), min(map(problem.weight, interval.edges)), chosen)
        searching = engine("sat")(encode(problem, reduction.forced, interval), limits.seed)
        total += [known, *_take_turns([searching], known, budget, ALONE)][-1].lower
    return total


def _encode_with_windows(
    problem: SparseProblem, reduction: Reduction, component: Component, known: Standing, budget: Budget
) -> Formula:
    """Encode a component and solve its windows with at most half of the budget."""
    formula, half = encode(problem, reduction.forced, component, budget.until), budget.half()
    before = half.effort
    formula.windows = select_windows(
        solve_windows(problem, reduction.forced, component, half), problem, component, known.upper
    )
    budget.effort -= before - half.effort if before < inf else 0.0
    return formula


def _take_turns(engines: Sequence[Any], known: Standing, budget: Budget, most: float) -> Iterator[Standing]:
    """Run each engine in turn, with growing slices, until ``most`` effort is spent."""
    effort = FIRST
    while most > 0:
        for searching in engines:
            given = min(effort, budget.effort)
            known = searching.advance(known, given, budget.until)
            budget.effort -= given
            most -= given
            yield known
            if known.closed or budget.over:
                return
        effort = min(2 * effort, LAST)


def side_by_side(
    formula: Formula, names: Sequence[str], known: Standing, seed: int, budget: Budget
) -> Iterator[Standing]:
    """Run each engine in a process of its own; what one finds is sent to the others at once."""
    with _workers(formula, names, known, seed) as ends:
        since = monotonic()
        while not (known.closed or budget.over):
            now = monotonic()
            budget.effort -= (now - since) * len(ends)
            since = now
            for end in wait(ends, 0.1 if budget.until is None else min(0.1, max(0.0, budget.until - now))):
                assert isinstance(end, Connection)
                try:
                    received = end.recv()
                except (EOFError, OSError):
                    ends.remove(end)
                    if not ends:
                        raise MasksynthError(
                            f"every engine's process ({', '.join(names)}) has died; try one worker"
                        ) from None
                    continue
                if isinstance(received, Exception):
                    raise received
                known = known.better(received)
                for other in ends:
                    if other is not end:
                        with suppress(OSError):
                            other.send(known)
                yield known


@contextmanager
def _workers(formula: Formula, names: Sequence[str], known: Standing, seed: int) -> Iterator[list[Connection]]:
    """Start ``python -m masksynth_solvers.sparse.worker`` for each engine; end them all on leaving.

    Not by multiprocessing, whose children import the user's main script again; scripts need not be written for that.
    """
    ends: list[Connection] = []
    children: list[subprocess.Popen[bytes]] = []
    try:
        for name in names:
            near, far = Pipe()
            command = [sys.executable, "-m", "masksynth_solvers.sparse.worker", str(far.fileno())]
            children.append(
                subprocess.Popen(command, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, start_new_session=True)
            )
            far.close()
            ends.append(near)
            with suppress(OSError):
                near.send((name, seed, formula, known))
        yield ends
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()
        for end in ends:
            end.close()


def work(descriptor: int) -> None:
    """Run one engine in a worker process: send improvements, receive those of others, until the parent process ends."""
    end = Connection(descriptor)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        name, seed, formula, known = end.recv()
        try:
            searching, effort = engine(name)(formula, seed), FIRST
            while True:
                while end.poll():
                    known = known.better(end.recv())
                now = searching.advance(known, effort, None)
                if now != known:
                    end.send(now)
                known, effort = now, min(2 * effort, LAST)
                if known.closed:
                    end.recv()
        except MasksynthError as error:
            end.send(error)
            os._exit(1)
