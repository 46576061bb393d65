"""`search`: many instances, one result for each."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from types import EllipsisType
from typing import Any

from masksynth.backends import Limits
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.search.entries import entries
from masksynth.search.job import Ask
from masksynth.search.judge_answers import portfolio
from masksynth.search.pool import Borrowed, LocalPool, Pool, processors
from masksynth.search.result import Recall, Result
from masksynth.search.running import Batch

LEAST_MEMORY = 512 * 2**20
"""Least address space of a worker in bytes: what Python, numpy and a solver take before they begin."""


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
    """Solve many instances side by side; one result for each, whatever happens to it.

    Parameters
    ----------
    instances : path, folder, glob, Instance, or an iterable of these
        Also a generator without end: only a few instances are taken ahead of the results. `sweep` makes one from a
        family.
    backend : str or list of str
        As in `solve`; several names are a portfolio: the first proof wins and the others are cancelled.
    layers, sparse
        Override the instances' own, as in `solve`.
    limits : Limits, optional
        Of every instance and backend. Its ``workers`` (threads of a solver) are at most processors / jobs.
    jobs : int, optional
        How many instances are under way at a time: the number of worker processes (default: one for each processor), or
        of an executor's workers (default: what it says of itself, or 32). A portfolio has at least one worker for each
        of its backends.
    executor : concurrent.futures.Executor, optional
        Where jobs run instead of this machine's own worker processes, for instance ``client.get_executor()`` of Dask.
        It stays open.
    ordered : bool
        Results in the order of the instances instead of the order in which they finish.
    budget : float, optional
        Seconds for the whole batch. When they are spent, what is under way ends as a failure, and nothing more begins.
    kill_after : float, optional
        Seconds after which an instance's worker is killed, whatever it is doing.
    memory : int, optional
        Bytes of memory (address space) of each worker.
    answers : bool
        Whether results carry their `Answer`; without, less is sent between processes.
    recall : function, optional
        Called with an instance's name and question. What it returns is not sought again, and yielded only if it does
        not stand under this name yet (`masksynth.search.book.Book.recall`).

    Yields
    ------
    Result
        An instance that fails (malformed, raising, out of memory, its worker killed) gives a result whose ``error``
        says why.

    Raises
    ------
    InvalidInstance, Unsupported
        At once, for arguments that make no sense; never for one instance among others.
    ExecutorBroke
        After the last result, if the executor takes no more jobs.

    Examples
    --------
    >>> import masksynth as ms
    >>> results = list(ms.search(ms.sweep("butterfly", n=[2, 4, 8]), backend="criterion", jobs=1))
    >>> sorted((result.instance, result.objective["positions"]["value"]) for result in results)
    [('butterfly(n=2)', 4), ('butterfly(n=4)', 10), ('butterfly(n=8)', 22)]
    """
    asked = portfolio(backend)
    limits = limits or Limits()
    _check(limits, layers, jobs, executor, {"budget": budget, "kill_after": kill_after}, memory)
    source = entries(instances)
    room = jobs or (processors() if executor is None else getattr(executor, "_max_workers", None) or 32)
    if executor is None or isinstance(executor, (ThreadPoolExecutor, ProcessPoolExecutor)):
        room = max(room, len(asked)) if executor is None else room
        limits = divided(limits, room)
    pool: Pool = LocalPool(room, limits.workers, memory, asked) if executor is None else Borrowed(executor, room)
    ask = Ask("", layers, sparse, limits, answers or len(asked) > 1)
    return Batch(source, pool, asked, ask, ordered, budget, kill_after, answers, recall).results()


def _check(
    limits: Limits,
    layers: int | EllipsisType | None,
    jobs: int | None,
    executor: Executor | None,
    seconds: dict[str, float | None],
    memory: int | None,
) -> None:
    """Refuse at once what makes no sense for any instance."""
    if not isinstance(limits, Limits):
        raise InvalidInstance(
            f"limits takes Limits, not {type(limits).__name__}", "", "give limits=Limits(seconds=...)"
        )
    if not (layers is None or isinstance(layers, EllipsisType) or (type(layers) is int and layers > 0)):
        raise InvalidInstance(f"layers={layers!r} is neither a positive integer nor None", "")
    if jobs is not None and (type(jobs) is not int or not 0 < jobs <= 4096):
        raise InvalidInstance(f"jobs={jobs!r} is not an integer from 1 to 4096", "")
    for name, value in seconds.items():
        if value is not None and not (type(value) in (int, float) and 0 < value < 1e9):
            raise InvalidInstance(f"{name}={value!r} is not a number of seconds above 0", "")
    if memory is not None and (type(memory) is not int or not LEAST_MEMORY <= memory < 2**62):
        raise InvalidInstance(
            f"memory={memory!r} is not an integer of bytes", "", f"a worker needs at least {LEAST_MEMORY:,}"
        )
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise InvalidInstance(f"executor takes an executor of concurrent.futures, not {type(executor).__name__}", "")
    if executor is not None and (seconds["kill_after"] is not None or memory is not None):
        raise Unsupported(
            "kill_after and memory are for masksynth's own workers; an executor rules over its workers itself"
        )


def divided(limits: Limits, jobs: int) -> Limits:
    """Limits whose ``workers`` (threads of a solver) are at most processors / jobs, so that jobs side by side do not crowd the machine.

    Examples
    --------
    >>> divided(Limits(workers=64), 10**6).workers
    1
    """
    return replace(limits, workers=max(1, min(limits.workers, processors() // jobs)))
