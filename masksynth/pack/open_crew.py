"""Choose where the work of a packing run is done: in this process, in worker processes, or on an executor."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import cast

from masksynth.files import open_draft
from masksynth.pack.read_files import GZIP
from masksynth.pack.read_run import HERE, Parsing, Samples, places_of
from masksynth.pack.table_parts import store_bytes, store_file, store_text
from masksynth.pack.write_folder import TABLES
from masksynth.workers.ordered import Crew
from masksynth.workers.pool import ExternalPool, LocalPool, PoolOptions, check_workers

EXECUTOR_JOBS = 32
"""Number of jobs on an executor that does not tell the number of its workers."""


TEXT = 1 << 26
"""Bytes of JSON lines for which a worker process is worth its start (64 MiB)."""
FED = 8
"""Number of workers that the process that reads can feed (docs/benchmarks.md)."""
RATIO = 8
"""Bytes of JSON lines in each byte of gzip, about."""
GROWTH = 1e15
"""Bytes by which a worker may grow: without limit, since a window may take more than a leaking worker grows by."""
COUNTING = "masksynth-tables"
"""Part of the name of the folder for tables in ``TMPDIR``, for runs that only count."""


@contextmanager
def open_crew(jobs: int, executor: Executor | None, draft: Path | None) -> Iterator[tuple[Crew | None, Parsing]]:
    """Yield a crew of workers, None if all is to be done in this process, and how lines are parsed.

    Texts wait for their worker, and tables for their window, in files. The next run removes those of a killed one.

    Parameters
    ----------
    jobs : int
    executor : Executor or None
        Where jobs run instead of worker processes of this machine.
    draft : Path or None
        The draft of the run; without one the files are in ``TMPDIR``.
    """
    if executor is None and jobs == 1:
        yield None, HERE
        return
    pool = LocalPool(PoolOptions(jobs, growth=GROWTH)) if executor is None else ExternalPool(executor, jobs)
    crew = Crew(pool)
    with _make_folder(draft) as folder:
        here = Parsing(crew.map, jobs + 2, partial(store_file, folder), partial(store_text, folder), {})
        try:
            yield crew, here if executor is None else here._replace(store=store_bytes, send=bytes)
        finally:
            pool.close()


@contextmanager
def _make_folder(draft: Path | None) -> Iterator[str]:
    """Yield a new folder for the time of a run."""
    if draft is not None:
        with TemporaryDirectory(prefix=TABLES, dir=draft) as name:
            yield name
        return
    handle, folder = open_draft(Path(gettempdir()) / COUNTING, is_folder=True)  # removes those of killed runs
    try:
        folder.chmod(0o700)  # workers unpickle what is in it
        yield str(folder)
    finally:
        shutil.rmtree(folder)
        os.close(handle)


def choose_jobs(jobs: int | None, executor: Executor | None) -> int:
    """Return the number of jobs of a run: as given, by the workers of the executor, or 1."""
    check_workers(jobs, executor)
    if jobs is not None:
        return jobs
    return 1 if executor is None else getattr(executor, "_max_workers", None) or EXECUTOR_JOBS


def suggest_jobs(samples: Samples) -> int:
    """Return a number of jobs for some files: one for each 64 MiB of text, at most 8 and one for each processor.

    It is 1 if the size of an input is not known.

    Examples
    --------
    >>> suggest_jobs("-"), suggest_jobs([{"input_ids": [1], "labels": [-100]}])
    (1, 1)
    """
    places = places_of(samples)
    if not places or not all(isinstance(place, (str, Path)) and os.path.isfile(place) for place in places):
        return 1
    try:
        jobs = sum(map(_text_size, cast(list[str | Path], places))) // TEXT
    except OSError:  # explained where the file is read
        return 1
    if jobs < 2:
        return 1
    from loky import cpu_count  # knows the limits of containers

    return int(min(jobs, FED, cpu_count()))


def _text_size(path: str | Path) -> int:
    """Return about how many bytes of text a file has."""
    with open(path, "rb") as file:
        is_packed = file.read(len(GZIP)) == GZIP
    return os.path.getsize(path) * (RATIO if is_packed else 1)
