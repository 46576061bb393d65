"""Choose where the work of a packing run is done: in this process, in worker processes, or on an executor."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from masksynth.pack.read_run import HERE, Parsing
from masksynth.pack.table_parts import store_bytes, store_file
from masksynth.pack.write_folder import TABLES
from masksynth.workers.ordered import Crew
from masksynth.workers.pool import ExternalPool, LocalPool, PoolOptions, check_workers

EXECUTOR_JOBS = 32
"""Number of jobs on an executor that does not tell the number of its workers."""


@contextmanager
def open_crew(jobs: int, executor: Executor | None, draft: Path | None) -> Iterator[tuple[Crew | None, Parsing]]:
    """Yield a crew of workers, None if all is to be done in this process, and how lines are parsed.

    Tables wait for their window in the draft of the run, where the next run removes those of a killed one.
    """
    if executor is None and jobs == 1:
        yield None, HERE
        return
    pool = LocalPool(PoolOptions(jobs)) if executor is None else ExternalPool(executor, jobs)
    crew = Crew(pool)
    with TemporaryDirectory(prefix=TABLES, dir=draft) as folder:
        store = partial(store_file, folder) if executor is None else store_bytes
        try:
            yield crew, Parsing(crew.map, jobs + 2, store, {})
        finally:
            pool.close()


def choose_jobs(jobs: int | None, executor: Executor | None) -> int:
    """Return the number of jobs of a run: as given, by the workers of the executor, or 1."""
    check_workers(jobs, executor)
    if jobs is not None:
        return jobs
    return 1 if executor is None else getattr(executor, "_max_workers", None) or EXECUTOR_JOBS
