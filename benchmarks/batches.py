"""Compare `masksynth.search` on 10,000 tiny instances with a loop and with a process pool of the standard library.

Each cell runs in a process of its own, all cells in turn for ``ROUNDS`` rounds; the best time of each counts. Instances
are built before the clock starts; starting and ending the workers is inside the clock. Overhead per instance is
(seconds x workers - seconds of the loop) / instances: everything a worker does besides solving, and its idle time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle, islice
from time import perf_counter

import masksynth as ms
from benchmarks.measure import alone
from benchmarks.results import Result, table
from masksynth.tasks import Instance

COUNT = 10_000
SIZES = range(2, 5)
CHUNK = 100
ROUNDS = 3
HEAD = ("method", "workers", "instances", "seconds", "instances/s", "overhead, ms")
Method = Callable[[list[Instance], int], int]


def measure_batches(max_size: int = COUNT) -> Result:
    """Measure each method and number of workers on at most ``max_size`` instances; the loop is the reference.

    Fewer than ``COUNT`` instances are measured in one round.
    """
    count = min(max_size, COUNT)
    cells = [("loop", 1), *((name, workers) for name in list(METHODS)[1:] for workers in (1, 2))]
    rounds = [
        [alone(time_method, name, count, workers) for name, workers in cells]
        for _ in range(ROUNDS if count == COUNT else 1)
    ]
    best = [min(seconds) for seconds in zip(*rounds, strict=True)]
    rows = [_row(name, count, workers, seconds, best[0]) for (name, workers), seconds in zip(cells, best, strict=True)]
    return Result((table(HEAD, rows),))


def _row(name: str, count: int, workers: int, seconds: float, loop: float) -> list[str]:
    overhead = (seconds * workers - loop) / count * 1e3
    return [name, str(workers), f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}", f"{overhead:.2f}"]


def time_method(name: str, count: int, workers: int) -> float:
    """Run one method once and return its seconds."""
    instances = tiny_instances(count)
    solve_instance(instances[0])  # imports of the first call are not measured
    start = perf_counter()
    optimal = METHODS[name](instances, workers)
    seconds = perf_counter() - start
    if optimal != count:
        raise AssertionError(f"{name}: {count - optimal} of {count} instances have no proved answer")
    return seconds


def tiny_instances(count: int) -> list[Instance]:
    """Return instances of 4 to 16 task nodes, which the criterion merges in about a millisecond."""
    return list(islice(cycle(ms.catalog.butterfly(n=n) for n in SIZES), count))


def solve_instance(instance: Instance) -> ms.Answer:
    """Solve one instance by the criterion."""
    return ms.solve(instance, backend="criterion")


def _loop(instances: list[Instance], _: int) -> int:
    return sum(solve_instance(instance).status is ms.Status.OPTIMAL for instance in instances)


def _search(instances: list[Instance], workers: int, *, answers: bool) -> int:
    return sum(
        result.status == "OPTIMAL"
        for result in ms.search(instances, backend="criterion", jobs=workers, answers=answers)
    )


def _map(instances: list[Instance], workers: int) -> int:
    with ProcessPoolExecutor(workers) as pool:
        return sum(
            answer.status is ms.Status.OPTIMAL for answer in pool.map(solve_instance, instances, chunksize=CHUNK)
        )


METHODS: dict[str, Method] = {
    "loop": _loop,
    "search": partial(_search, answers=True),
    "search, answers=False": partial(_search, answers=False),
    "ProcessPoolExecutor.map, chunks of 100": _map,
}
"""Name -> function that solves the instances and returns how many it proves."""
