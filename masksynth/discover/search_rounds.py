"""The search by rounds: jobs that improve circuits, here, in worker processes or on an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter
from typing import Any

from masksynth.backends import Limits
from masksynth.discover.incumbent import Incumbent
from masksynth.discover.search_job import Improved, Start, improve
from masksynth.workers.ordered import Call, Crew
from masksynth.workers.pool import ExternalPool, LocalPool, PoolOptions

SHORTEST, LONGEST = 0.5, 8.0
"""Seconds of a round: a tenth of the time that is left, within these bounds."""
KEPT = 4
"""Number of circuits from which rounds go on."""


@dataclass
class Elite:
    """The best circuits so far, from which jobs begin.

    Parameters
    ----------
    starts : list of Start
        Sorted by price; at most ``KEPT``.
    """

    starts: list[Start] = field(default_factory=list)

    def add(self, start: Start) -> None:
        """Keep a circuit if it is among the best."""
        if all(start.inputs != known.inputs for known in self.starts):
            self.starts = sorted([*self.starts, start], key=lambda known: known.price)[:KEPT]

    def pick(self, number: int) -> Start | None:
        """Return the circuit from which a round begins; None: from new ones."""
        if number % 8 == 0 or not self.starts:
            return None
        return self.starts[(number // 2) % len(self.starts) if number % 2 else 0]


def search_rounds(
    incumbent: Incumbent,
    elite: Elite,
    limits: Limits,
    seconds: float,
    executor: Executor | None = None,
    first: int = 0,
    is_over: Callable[[], bool] = lambda: False,
) -> int:
    """Run rounds for some seconds; return the number of the round after the last.

    Parameters
    ----------
    incumbent : Incumbent
        Gets each structure that is found.
    elite : Elite
    limits : Limits
        ``workers`` jobs run at the same time; round i has the seed ``seed`` + i.
    seconds : float
    executor : Executor, optional
        Where jobs run; without it in this process, or in worker processes if there are several.
    first : int
        Number of the first round.
    is_over : function
        Whether no more rounds are needed.
    """
    until = perf_counter() + seconds

    def calls() -> Iterator[Call]:
        for number in count(first):
            left = until - perf_counter()
            if left <= 0 or is_over():
                return
            time = min(max(left / 10, SHORTEST), LONGEST, left)
            yield Call(
                f"round {number}", improve, (incumbent.contracts, elite.pick(number), limits.seed + number, time)
            )

    done = first
    for result in run_calls(calls(), limits.workers, executor):
        done += 1
        take(incumbent, elite, result)
    return done


def take(incumbent: Incumbent, elite: Elite, result: Improved) -> None:
    """Keep what a job has found."""
    elite.add(result.start)
    incumbent.offer(result.structure)


def run_calls(calls: Iterator[Call], jobs: int, executor: Executor | None) -> Iterator[Any]:
    """Yield the results of calls, run here, in worker processes or on an executor."""
    if executor is None and jobs == 1:
        for call in calls:
            yield call.function(*call.arguments)
        return
    pool = LocalPool(PoolOptions(jobs)) if executor is None else ExternalPool(executor, jobs)
    try:
        yield from Crew(pool).map(calls, jobs)
    finally:
        pool.close()
