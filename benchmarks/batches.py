"""A batch of 10,000 tiny instances beside a plain loop, and beside what a user would write with the standard library.

Every cell runs in a process of its own, all cells in turn for ``ROUNDS`` rounds, and the best of each counts. Instances are built before
the clock starts; starting and ending the workers is inside the clock. Overhead per instance is (seconds x workers - seconds of the loop) /
instances: what a worker does besides solving, and what it waits.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle, islice
from time import perf_counter

import masksynth as ms
from benchmarks.measure import alone, table
from masksynth.tasks import Instance

COUNT = 10_000
SIZES = range(2, 5)
CHUNK = 100
ROUNDS = 3
HEAD = ("way", "workers", "instances", "seconds", "instances/s", "overhead, ms")
Way = Callable[[list[Instance], int], int]


def batches_table(most: int = COUNT) -> str:
    """A row for each way and number of workers, at most ``most`` instances; the plain loop first, with which the others are compared."""
    count = min(most, COUNT)
    cells = [("plain loop", 1), *((name, workers) for name in list(WAYS)[1:] for workers in (1, 2))]
    rounds = [[alone(timed_way, name, count, workers) for name, workers in cells] for _ in range(ROUNDS)]
    best = [min(seconds) for seconds in zip(*rounds, strict=True)]
    return table(
        HEAD,
        [_row(name, count, workers, seconds, best[0]) for (name, workers), seconds in zip(cells, best, strict=True)],
    )


def _row(name: str, count: int, workers: int, seconds: float, loop: float) -> list[str]:
    overhead = (seconds * workers - loop) / count * 1e3
    return [name, str(workers), f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}", f"{overhead:.2f}"]


def timed_way(name: str, count: int, workers: int) -> float:
    """One way, once."""
    instances = tiny(count)
    solved(instances[0])  # what is imported at the first call is not the way's fault
    begun = perf_counter()
    optimal = WAYS[name](instances, workers)
    seconds = perf_counter() - begun
    if optimal != count:
        raise AssertionError(f"{name}: {count - optimal} of {count} instances have no proved answer")
    return seconds


def tiny(count: int) -> list[Instance]:
    """Instances of 4 to 16 task nodes, which the criterion merges in about a millisecond."""
    return list(islice(cycle(ms.catalog.butterfly(n=n) for n in SIZES), count))


def solved(instance: Instance) -> ms.Answer:
    """An instance's answer."""
    return ms.solve(instance, backend="criterion")


def _loop(instances: list[Instance], _: int) -> int:
    return sum(solved(instance).status is ms.Status.OPTIMAL for instance in instances)


def _search(instances: list[Instance], workers: int, *, answers: bool) -> int:
    return sum(
        result.status == "OPTIMAL"
        for result in ms.search(instances, backend="criterion", jobs=workers, answers=answers)
    )


def _map(instances: list[Instance], workers: int) -> int:
    with ProcessPoolExecutor(workers) as pool:
        return sum(answer.status is ms.Status.OPTIMAL for answer in pool.map(solved, instances, chunksize=CHUNK))


WAYS: dict[str, Way] = {
    "plain loop": _loop,
    "search": partial(_search, answers=True),
    "search, answers=False": partial(_search, answers=False),
    "ProcessPoolExecutor.map, chunks of 100": _map,
}
"""Name -> how many of the instances it proves."""


if __name__ == "__main__":
    print(batches_table())
