"""Choose where the work of a packing run is done: in this process, in worker processes, or on an executor."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from masksynth.pack.read_run import HERE, Parsing
from masksynth.pack.table_parts import store_bytes, store_file
from masksynth.workers.ordered import Crew
from masksynth.workers.pool import ExternalPool, LocalPool, PoolOptions, check_workers, count_processors

LARGE = 1 << 24
"""Bytes of files (16 MiB) from which on starting worker processes pays."""
EXECUTOR_JOBS = 32
"""Number of jobs on an executor that does not tell the number of its workers."""


@contextmanager
def open_crew(jobs: int, executor: Executor | None) -> Iterator[tuple[Crew | None, Parsing]]:
    """Yield a crew of workers, None if all is to be done in this process, and how lines are parsed."""
    if executor is None and jobs == 1:
        yield None, HERE
        return
    pool = LocalPool(PoolOptions(jobs)) if executor is None else ExternalPool(executor, jobs)
    crew = Crew(pool)
    with TemporaryDirectory(prefix="masksynth-") as folder:
        store = partial(store_file, folder) if executor is None else store_bytes
        try:
            yield crew, Parsing(crew.map, jobs + 2, store, {})
        finally:
            pool.close()


def choose_jobs(jobs: int | None, executor: Executor | None, places: Sequence[Any] | None) -> int:
    """Return the number of jobs of a run: as given, or by the executor, the processors and the size of the input."""
    check_workers(jobs, executor)
    if jobs is not None:
        return jobs
    if executor is not None:
        return getattr(executor, "_max_workers", None) or EXECUTOR_JOBS
    files = [place for place in places or () if isinstance(place, (str, Path)) and os.path.isfile(place)]
    return count_processors() if sum(map(os.path.getsize, files)) >= LARGE else 1
