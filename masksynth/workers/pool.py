"""Pools in which jobs run: worker processes that can be killed one by one, or any executor."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from multiprocessing import resource_tracker
from typing import Any, Protocol

from masksynth.errors import InvalidInstance, MasksynthError

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that limit the threads of numerical libraries."""
GROWTH = "LOKY_MAX_MEMORY_LEAK_SIZE"
"""Environment variable by which loky limits the growth of a worker's memory."""
PR_SET_PDEATHSIG = 1
"""``prctl`` option (``linux/prctl.h``): send a signal to this process when its parent ends.

It works even while a solver holds the interpreter lock, when no other thread can run."""
WATCH = 0.5
"""Seconds between two checks of a worker whether its parent is alive."""


class ExecutorBroke(MasksynthError):
    """An executor accepts no more jobs; instances that were not started are not solved."""


class Pool(Protocol):
    """Interface of a pool: where jobs run, ``room`` at a time."""

    room: int

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a job; the caller keeps at most ``room`` running."""

    def since(self, future: Future[Any]) -> float:
        """Return when a job could start (``time.monotonic``); infinity while its worker is starting."""

    def release(self, future: Future[Any]) -> None:
        """Release the worker of a job that has ended."""

    def kill(self, future: Future[Any]) -> None:
        """End a running job, by force if possible."""

    def close(self) -> None:
        """End all jobs."""


def count_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_workers(jobs: int | None, executor: Executor | None) -> None:
    """Raise for an invalid number of jobs or executor."""
    if jobs is not None and (type(jobs) is not int or not 0 < jobs <= 4096):
        raise InvalidInstance(f"jobs: expected an integer from 1 to 4096, got {jobs!r}", "")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise InvalidInstance(f"expected an executor of concurrent.futures, got {type(executor).__name__}", "")


@dataclass(frozen=True)
class PoolOptions:
    """Options of a `LocalPool`.

    Parameters
    ----------
    room : int
        Number of workers; they are started when they are needed.
    threads : int
        Threads of the numerical libraries in each worker.
    memory : int, optional
        Bytes of address space of each worker.
    prepare : tuple, optional
        A function and its arguments, called before a worker's first job: imports that are not part of a job's time.
    growth : float
        Bytes by which the memory of a worker may grow before loky replaces the worker as a leaking one.
    """

    room: int
    threads: int = 1
    memory: int | None = None
    prepare: tuple[Callable[..., Any], Any] | None = None
    growth: float = 3e8


class LocalPool:
    """Worker processes on this machine, each an executor of its own, so that the death of one is contained."""

    def __init__(self, options: PoolOptions) -> None:
        self.room, self._options = options.room, options
        self._idle: list[Executor] = []
        self._busy: dict[Future[Any], Executor] = {}
        self._since: dict[Future[Any], float] = {}

    def _start_worker(self) -> Executor:
        from loky import ProcessPoolExecutor

        environment = dict.fromkeys(THREADS, str(self._options.threads)) | {GROWTH: str(self._options.growth)}
        worker: Executor = ProcessPoolExecutor(
            max_workers=1,
            timeout=None,
            initializer=initialize_worker,
            initargs=(os.getpid(), _in_main_thread(), self._options.memory),
            env=environment,
        )
        return worker

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a job in an idle worker; a worker that died while idle is replaced."""
        while self._idle:
            worker = self._idle.pop()
            try:
                return self._track(worker, worker.submit(function, *arguments), time.monotonic())
            except BrokenExecutor:
                _kill_worker(worker)
        with _hold_interrupts():
            worker = self._start_worker()
            ready = worker.submit(*(self._options.prepare or (os.getpid,)))
        future = self._track(worker, worker.submit(function, *arguments), inf)
        ready.add_done_callback(
            lambda _: self._since.update({future: time.monotonic()}) if future in self._since else None
        )
        return future

    def _track(self, worker: Executor, future: Future[Any], moment: float) -> Future[Any]:
        self._busy[future], self._since[future] = worker, moment
        return future

    def since(self, future: Future[Any]) -> float:
        """Return when a job could start; infinity while its worker is starting."""
        return self._since.get(future, inf)

    def release(self, future: Future[Any]) -> None:
        """Mark the worker of a job that has ended as idle, or drop it if it died."""
        worker = self._busy.pop(future)
        self._since.pop(future, None)
        if isinstance(future.exception(), BrokenExecutor):
            _kill_worker(worker)
        else:
            self._idle.append(worker)

    def kill(self, future: Future[Any]) -> None:
        """End a running job by killing its worker."""
        self._since.pop(future, None)
        _kill_worker(self._busy.pop(future))

    def close(self) -> None:
        """Kill all workers."""
        for worker in (*self._busy.values(), *self._idle):
            _kill_worker(worker)
        self._busy.clear()
        self._idle.clear()


@contextmanager
def _hold_interrupts() -> Iterator[None]:
    """Block SIGINT for processes that start in this block (the mask is inherited), until they ignore it themselves."""
    resource_tracker.ensure_running()  # every worker needs it, and starting it would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill_worker(worker: Any) -> None:
    worker.shutdown(wait=True, kill_workers=True)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def initialize_worker(parent: int, from_main: bool, memory: int | None) -> None:
    """Prepare a worker: ignore Ctrl-C, end with the parent, write nothing to its stdout, and limit the memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)  # stdout is for the parent's results
    if from_main and sys.platform == "linux":  # the signal is sent when the starting thread ends
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(1)


class ExternalPool:
    """Wrap a caller-owned executor; cancel jobs on close, never shut it down."""

    def __init__(self, executor: Executor, room: int) -> None:
        self.executor, self.room = executor, room
        self._busy: dict[Future[Any], float] = {}

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a job."""
        future = self.executor.submit(function, *arguments)
        self._busy[future] = time.monotonic()
        return future

    def since(self, future: Future[Any]) -> float:
        """Return when a job was submitted."""
        return self._busy.get(future, inf)

    def release(self, future: Future[Any]) -> None:
        """Drop a job that has ended."""
        self._busy.pop(future, None)

    def kill(self, future: Future[Any]) -> None:
        """Cancel a job; if it is already running it may continue, and its results are dropped."""
        self._busy.pop(future, None)
        future.cancel()

    def close(self) -> None:
        """Cancel all jobs."""
        for future in list(self._busy):
            self.kill(future)


def is_shut(error: BaseException) -> bool:
    """Return whether an executor is shut down, or is a Dask executor whose client lost its scheduler."""
    return type(error).__name__ == "ClosedClientError" or (isinstance(error, RuntimeError) and "shutdown" in str(error))


def is_killed(error: BaseException) -> bool:
    """Return whether each worker to which Dask assigned the job died."""
    return type(error).__name__ == "KilledWorker"


def describe_loss(error: BaseException, tries: int) -> str:
    """Return why a job has no results, in one line."""
    if isinstance(error, CancelledError):
        return f"lost by the executor {tries + 1} times"
    if is_killed(error):
        return f"the worker died {getattr(error, 'allowed_failures', 0) + 1} times"
    if isinstance(error, BrokenExecutor):
        signals = re.search(r"exit codes of the workers are (\{.*?\})", str(error))
        return f"the worker died {signals[1]}" if signals else "the worker died"
    return describe_error(error)


def describe_error(error: BaseException, name: str = "") -> str:
    """Return the reason of a failure in one line; unexpected exceptions are reported with type, file and line.

    Examples
    --------
    >>> describe_error(MemoryError()), describe_error(ZeroDivisionError("division by zero"))
    ('not enough memory', 'ZeroDivisionError: division by zero')
    """
    if isinstance(error, MasksynthError):
        return str(error).removeprefix(f"{name}: ")
    if isinstance(error, MemoryError):
        return "not enough memory"
    location, trace = "", error.__traceback__
    while trace is not None:
        location = f" ({trace.tb_frame.f_code.co_filename.rpartition('/')[2]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {' '.join(str(error).split())}{location}"
