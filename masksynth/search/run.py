"""`search`: solve many instances, one result for each."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from types import EllipsisType
from typing import Any

from masksynth.backends import Limits
from masksynth.errors import InvalidInstance, Unsupported, check_type
from masksynth.search.entries import entries
from masksynth.search.job import SolveOptions, load_solvers
from masksynth.search.judge_answers import portfolio
from masksynth.search.race import BatchOptions
from masksynth.search.result import Recall, Result
from masksynth.search.running import Batch
from masksynth.workers.pool import ExternalPool, LocalPool, Pool, PoolOptions, check_workers, count_processors

MIN_MEMORY = 512 * 2**20
"""Least address space of a worker in bytes, for Python, numpy and a solver."""


def search(
    instances: Any,
    *,
    backend: str | tuple[str, ...] | list[str] = "auto",
    layers: int | EllipsisType | None = ...,
    sparse: bool | EllipsisType = ...,
    limits: Limits | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    ordered: bool = False,
    budget: float | None = None,
    kill_after: float | None = None,
    memory: int | None = None,
    answers: bool = True,
    recall: Recall | None = None,
) -> Generator[Result, None, None]:
    """Solve many instances in parallel and yield one result for each, failures included.

    Parameters
    ----------
    instances : path, folder, glob, Instance, or an iterable of these
        The iterable may be infinite: only a few instances are read ahead of the results. `sweep` makes one from a
        family.
    backend : str or list of str
        As in `solve`; several names are a portfolio: the first proof wins and the others are cancelled.
    layers, sparse
        Override the instances' own, as in `solve`.
    limits : Limits, optional
        Limits of each instance and backend. ``workers`` (threads of a solver) is reduced to at most processors / jobs.
    jobs : int, optional
        Number of instances solved at a time: the number of worker processes (default: one for each processor), or of
        an executor's workers (default: its own number, or 32). A portfolio has at least one worker per backend.
    executor : concurrent.futures.Executor, optional
        Where jobs run instead of worker processes of this machine, for instance ``client.get_executor()`` of Dask. It
        is not shut down.
    ordered : bool
        Whether results come in the order of the instances, not in the order in which they finish.
    budget : float, optional
        Seconds for all instances together. When they are used up, running instances end as failures, and no more are
        started.
    kill_after : float, optional
        Seconds after which an instance's worker is killed.
    memory : int, optional
        Bytes of address space of each worker.
    answers : bool
        Whether results carry their `Answer`; if not, less data is sent between processes.
    recall : function, optional
        Called with an instance's name and question. If it returns a result, the instance is not solved, and the result
        is yielded only if it is not recorded under this name yet (`masksynth.search.book.Book.recall`).

    Yields
    ------
    Result
        If an instance fails (invalid, raising, out of memory, its worker killed), ``error`` of its result gives the
        reason.

    Raises
    ------
    InvalidInstance, Unsupported
        Immediately, for invalid arguments; never for a single instance.
    ExecutorBroke
        After the last result, if the executor accepts no more jobs.

    Examples
    --------
    >>> import masksynth as ms
    >>> results = list(ms.search(ms.sweep("butterfly", n=[2, 4, 8]), backend="criterion", jobs=1))
    >>> sorted((result.instance, result.objective["positions"]["value"]) for result in results)
    [('butterfly(n=2)', 4), ('butterfly(n=4)', 10), ('butterfly(n=8)', 22)]
    """
    backends = portfolio(backend)
    limits = limits or Limits()
    _check_limits(limits, layers, {"budget": budget, "kill_after": kill_after})
    _check_workers(jobs, memory, executor)
    if executor is not None and (kill_after is not None or memory is not None):
        raise Unsupported("kill_after and memory need masksynth's own workers; an executor controls its workers itself")
    source = entries(instances)
    room = jobs or (count_processors() if executor is None else getattr(executor, "_max_workers", None) or 32)
    if executor is None:
        room = max(room, len(backends))
    if executor is None or isinstance(executor, (ThreadPoolExecutor, ProcessPoolExecutor)):
        limits = share_processors(limits, room)
    pool: Pool
    if executor is None:
        pool = LocalPool(PoolOptions(room, limits.workers, memory, (load_solvers, backends)))
    else:
        pool = ExternalPool(executor, room)
    solving = SolveOptions("", layers, sparse, limits, answers or len(backends) > 1)
    options = BatchOptions(backends, solving, ordered, budget, kill_after, answers, recall)
    return Batch(source, pool, options).results()


def _check_limits(limits: Limits, layers: int | EllipsisType | None, seconds: dict[str, float | None]) -> None:
    """Raise for limits, layers or seconds that are invalid for every instance."""
    check_type(limits, Limits, "give limits=Limits(seconds=...)")
    if not (layers is None or isinstance(layers, EllipsisType) or (type(layers) is int and layers > 0)):
        raise InvalidInstance(f"layers: expected a positive integer or None, got {layers!r}", "")
    for name, value in seconds.items():
        if value is not None and not (type(value) in (int, float) and 0 < value < 1e9):
            raise InvalidInstance(f"{name}: expected a number of seconds above 0, got {value!r}", "")


def _check_workers(jobs: int | None, memory: int | None, executor: Executor | None) -> None:
    """Raise for an invalid number of jobs, memory or executor."""
    check_workers(jobs, executor)
    if memory is not None and (type(memory) is not int or not MIN_MEMORY <= memory < 2**62):
        raise InvalidInstance(f"memory: expected at least {MIN_MEMORY:,} bytes, as an integer, got {memory!r}", "")


def share_processors(limits: Limits, jobs: int) -> Limits:
    """Return limits whose ``workers`` (threads of a solver) are at most processors / jobs.

    Examples
    --------
    >>> share_processors(Limits(workers=64), 10**6).workers
    1
    """
    return replace(limits, workers=max(1, min(limits.workers, count_processors() // jobs)))
