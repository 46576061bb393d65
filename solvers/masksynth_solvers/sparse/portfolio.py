"""Engines side by side on each part, stopping at the first proof; solutions and bounds are shared.

With one worker the engines take turns in one process, in slices of deterministic effort: equal runs give equal answers. With more, each
engine has a process of its own; which of several optimal masks is found may then differ from run to run, its weight cannot.
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
from masksynth.sparse.engines import SparseOutcome, Standing, engine
from masksynth.errors import Contradiction, MasksynthError
from masksynth.sparse import (
    Edge,
    SparseProblem,
    built,
    first_layers,
    first_solution,
    layered_part,
    packing,
    reduce,
    windows,
)
from masksynth.sparse.reduce import Part, Reduction
from masksynth_solvers.encoding import OutOfTime
from masksynth_solvers.sparse.branch import lp_bound
from masksynth_solvers.sparse.budget import Budget
from masksynth_solvers.sparse.encoding import Formula, encode, encode_layers
from masksynth_solvers.sparse.nested import helpful, windows_of

Report = Callable[[int, int], None]

FIRST = 0.25
"""Effort of an engine's first slice; each later one has twice as much ..."""
LAST = 4.0
"""... up to this."""
ALONE = 1.0
"""Effort of each engine in turn before windows are tried and processes are started."""
MOST_ROWS = 5_000
"""Most clauses whose linear relaxation is solved for a bound."""
MOST_HITS = 60
"""Most demands of a part for which disjoint hitting sets are computed."""


def search(
    problem: SparseProblem, names: Sequence[str], limits: Limits, report: Report = lambda value, bound: None
) -> SparseOutcome:
    """Solve a sparse problem with the named engines, or as far as the limits allow.

    ``report`` hears the weight and the bound of the whole whenever a part may stand better.

    Examples
    --------
    >>> import numpy as np
    >>> outcome = search(SparseProblem(np.tril(np.ones((7, 7), bool)), 2), ["sat"], Limits())
    >>> len(outcome.reduction.sure), [(standing.lower, standing.upper) for standing in outcome.standings]
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
        reduction = Reduction(frozenset(), (), (layered_part(problem),))
    construction = built(problem)
    hint = (
        [] if construction is None else list(zip(construction.query.tolist(), construction.key.tolist(), strict=True))
    )
    floor = None if construction is None else construction.bound
    settled = problem.cost(reduction.sure | reduction.chosen)
    standings: list[Standing] = []
    for place in range(len(reduction.parts)):
        with _named_part(reduction, place):
            standings.append(_start(problem, reduction, reduction.parts[place], hint))
    for place, part in enumerate(reduction.parts):
        with _named_part(reduction, place):
            for known in _settle(problem, reduction, part, standings[place], names, limits, budget):
                standings[place] = known
                report(*_whole(settled, standings, floor))
    return SparseOutcome(reduction, tuple(standings), floor, "" if construction is None else construction.bound_proof)


@contextmanager
def _named_part(reduction: Reduction, place: int) -> Iterator[None]:
    """Name a part in a contradiction between a bound and a solution of it."""
    try:
        yield
    except Contradiction as error:
        parts = reduction.parts
        size = f"{len(parts[place].demands)} demands, {len(parts[place].edges)} edges"
        raise error.within(f"part {place + 1} of {len(parts)}, {size}") from error


def _whole(settled: int, standings: Sequence[Standing], floor: int | None) -> tuple[int, int]:
    """Weight and bound of all parts together."""
    lower = settled + sum(standing.lower for standing in standings)
    return settled + sum(standing.upper for standing in standings), lower if floor is None else max(lower, floor)


def _start(problem: SparseProblem, reduction: Reduction, part: Part, hint: Sequence[Edge]) -> Standing:
    """A first solution of a part, and a bound by disjoint sets that it must hit."""
    if problem.layered:
        chosen: tuple[tuple[int, ...], ...] = first_layers(problem)
        return Standing(problem.cost(chosen), 0, chosen)
    chosen = first_solution(problem, reduction.sure, part, hint)
    known = Standing(problem.cost(chosen), min(map(problem.weight, part.edges)), chosen)
    hits = packing(problem, reduction.sure, part) if len(part.demands) <= MOST_HITS else ()
    return known.proved(sum(min(map(problem.weight, hit.edges)) for hit in hits), "packing")


def _settle(
    problem: SparseProblem,
    reduction: Reduction,
    part: Part,
    known: Standing,
    names: Sequence[str],
    limits: Limits,
    budget: Budget,
) -> Iterator[Standing]:
    """Search one part until it is closed or the budget is over; Ctrl-C ends the budget."""
    if known.closed or budget.over:
        return
    try:
        formula = (
            encode_layers(problem, budget.until)
            if problem.layered
            else encode(problem, reduction.sure, part, budget.until)
        )
        engines = [engine(name)(formula, limits.seed) for name in names]
        for standing in _turns(engines, known, budget, ALONE * len(names)):
            known = standing
            yield known
        if not known.closed and len(names) > 1 and len(formula.clauses) <= MOST_ROWS:
            known = known.proved(lp_bound(formula)[0], "duals")
            yield known
        if not (known.closed or budget.over or problem.layered) and "sat" in names:
            known = known.proved(_by_windows(problem, reduction, part, limits, budget), "windows")
            yield known
            formula = _with_windows(problem, reduction, part, known, budget)
            # What a solution has inside a window solves the window, so the dearest window alone bounds the part.
            known = known.proved(max((window.bound for window in formula.windows), default=0), "windows")
            engines = [
                engine(name)(formula, limits.seed) if name == "sat" else old
                for name, old in zip(names, engines, strict=True)
            ]
        if known.closed or budget.over:
            return
        if limits.workers == 1 or len(names) == 1:
            yield from _turns(engines, known, budget, inf)
        else:
            yield from side_by_side(formula, names[: limits.workers], known, limits.seed, budget)
    except (KeyboardInterrupt, OutOfTime):
        budget.end()


def _by_windows(problem: SparseProblem, reduction: Reduction, part: Part, limits: Limits, budget: Budget) -> int:
    """The bounds of disjoint windows, added up: each window is small enough to be solved at once."""
    total = 0
    for window in windows(problem, reduction.sure, part):
        if budget.over:
            break
        chosen = first_solution(problem, reduction.sure, window)
        known = Standing(problem.cost(chosen), min(map(problem.weight, window.edges)), chosen)
        searching = engine("sat")(encode(problem, reduction.sure, window), limits.seed)
        total += [known, *_turns([searching], known, budget, ALONE)][-1].lower
    return total


def _with_windows(problem: SparseProblem, reduction: Reduction, part: Part, known: Standing, budget: Budget) -> Formula:
    """The formula of a part with what its windows cost, for as long as half of the budget lasts."""
    formula, half = encode(problem, reduction.sure, part, budget.until), budget.half()
    before = half.effort
    formula.windows = helpful(windows_of(problem, reduction.sure, part, half), problem, part, known.upper)
    budget.effort -= before - half.effort if before < inf else 0.0
    return formula


def _turns(engines: Sequence[Any], known: Standing, budget: Budget, most: float) -> Iterator[Standing]:
    """Each engine in turn, with growing slices, until ``most`` effort is spent."""
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
    """Each engine in a process of its own; what one finds is told to the others at once."""
    with _workers(formula, names, known, seed) as ends:
        since = monotonic()
        while not (known.closed or budget.over):
            now = monotonic()
            budget.effort -= (now - since) * len(ends)
            since = now
            for end in wait(ends, 0.1 if budget.until is None else min(0.1, max(0.0, budget.until - now))):
                assert isinstance(end, Connection)
                try:
                    told = end.recv()
                except (EOFError, OSError):
                    ends.remove(end)
                    if not ends:
                        raise MasksynthError(
                            f"every engine's process ({', '.join(names)}) has died; try one worker"
                        ) from None
                    continue
                if isinstance(told, Exception):
                    raise told
                known = known.better(told)
                for other in ends:
                    if other is not end:
                        with suppress(OSError):
                            other.send(known)
                yield known


@contextmanager
def _workers(formula: Formula, names: Sequence[str], known: Standing, seed: int) -> Iterator[list[Connection]]:
    """Start ``python -m masksynth_solvers.sparse.worker`` for each engine; end them all on leaving.

    Not multiprocessing: its children import the user's main script again, which need not be written for that.
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
    """The life of one worker process: advance, tell what is new, hear what others found, until the parent goes away."""
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
