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
from multiprocessing.connection import Connection, Pipe, wait
from time import monotonic
from typing import Any

from masksynth.backends import Limits, SparseOutcome, Standing, engine
from masksynth.errors import MasksynthError
from masksynth.sparsify import SparseProblem, first_layers, first_solution, layered_part, reduce
from masksynth.sparsify.reduce import Part, Reduction
from masksynth_solvers.sparse.encoding import Formula, encode, encode_layers

Report = Callable[[int, int], None]

FIRST = 0.25
"""Effort of an engine's first slice; each later one has twice as much ..."""
LAST = 4.0
"""... up to this."""
ALONE = 1.0
"""Effort of each engine in turn before processes are started for them."""


class _Budget:
    """What is left of the limits; used up by Ctrl-C."""

    def __init__(self, limits: Limits) -> None:
        self.until = None if limits.seconds is None else monotonic() + limits.seconds
        self.effort = float("inf") if limits.effort is None else limits.effort

    @property
    def over(self) -> bool:
        return self.effort <= 0 or (self.until is not None and monotonic() >= self.until)

    def end(self) -> None:
        self.effort = 0


def search(problem: SparseProblem, names: Sequence[str], limits: Limits, report: Report = lambda value, bound: None) -> SparseOutcome:
    """Solve a sparse problem with the named engines, or as far as the limits allow.

    ``report`` hears the weight and the bound of the whole whenever a part may stand better.

    Examples
    --------
    >>> import numpy as np
    >>> outcome = search(SparseProblem(np.tril(np.ones((7, 7), bool)), 2), ["sat"], Limits())
    >>> len(outcome.reduction.sure), [(standing.lower, standing.upper) for standing in outcome.standings]
    (6, [(4, 4)])
    """
    budget = _Budget(limits)
    reduction = reduce(problem)
    if reduction.unreachable is not None:
        return SparseOutcome(reduction, ())
    if problem.layered:
        reduction = Reduction(frozenset(), (), (layered_part(problem),))
    standings = [_start(problem, reduction, part) for part in reduction.parts]
    settled = problem.cost(reduction.sure | reduction.chosen)
    for place, part in enumerate(reduction.parts):
        for known in _settle(problem, reduction, part, standings[place], names, limits, budget):
            standings[place] = known
            report(settled + sum(standing.upper for standing in standings), settled + sum(standing.lower for standing in standings))
    return SparseOutcome(reduction, tuple(standings))


def _start(problem: SparseProblem, reduction: Reduction, part: Part) -> Standing:
    """A first solution of a part, and the bound that its demands are not met for nothing."""
    chosen = first_layers(problem) if problem.layered else first_solution(problem, reduction.sure, part)
    return Standing(problem.cost(chosen), min(map(problem.weight, part.edges)) if not problem.layered else 0, chosen)


def _settle(
    problem: SparseProblem, reduction: Reduction, part: Part, known: Standing, names: Sequence[str], limits: Limits, budget: _Budget
) -> Iterator[Standing]:
    """Search one part until it is closed or the budget is over; Ctrl-C ends the budget."""
    if known.closed or budget.over:
        return
    try:
        formula = encode_layers(problem) if problem.layered else encode(problem, reduction.sure, part)
        engines = [engine(name)(formula, limits.seed) for name in names]
        alone = limits.workers == 1 or len(names) == 1
        for known in _turns(engines, known, budget, float("inf") if alone else ALONE * len(names)):
            yield known
        if not (alone or known.closed or budget.over):
            yield from _side_by_side(formula, names[: limits.workers], known, limits.seed, budget)
    except KeyboardInterrupt:
        budget.end()


def _turns(engines: Sequence[Any], known: Standing, budget: _Budget, most: float) -> Iterator[Standing]:
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


def _side_by_side(formula: Formula, names: Sequence[str], known: Standing, seed: int, budget: _Budget) -> Iterator[Standing]:
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
                        raise MasksynthError(f"every engine's process ({', '.join(names)}) has died; try one worker") from None
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
            children.append(subprocess.Popen(command, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, start_new_session=True))
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
