"""Where jobs run: a pool of our own, whose workers can be killed one by one, or any executor."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any, Protocol

from masksynth.errors import MasksynthError
from masksynth.search.job import reason_of

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""How many threads numerical libraries take."""
PR_SET_PDEATHSIG = 1
"""From ``linux/prctl.h``: the signal a process gets when its parent ends, even while it is in a solver that lets no thread run."""
WATCH = 0.5
"""Seconds between two looks of a worker at whether its parent still lives."""


class ExecutorBroke(MasksynthError):
    """An executor takes no more jobs; what was not begun is not done."""


class Pool(Protocol):
    """Where jobs run."""

    room: int

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a job; at most ``room`` are under way."""

    def release(self, future: Future[Any]) -> None:
        """Say that a job has ended."""

    def kill(self, future: Future[Any]) -> None:
        """End a job, by force where that can be done."""

    def close(self) -> None:
        """End every job."""


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalPool:
    """Worker processes on this machine, each an executor of its own, so that one that dies takes nobody along.

    Parameters
    ----------
    room : int
        Number of workers; they start when they are needed.
    threads : int
        Threads of the numerical libraries in each.
    memory : int, optional
        Bytes of address space of each.
    """

    def __init__(self, room: int, threads: int = 1, memory: int | None = None) -> None:
        self.room, self._threads, self._memory = room, threads, memory
        self._idle: list[Executor] = []
        self._busy: dict[Future[Any], Executor] = {}

    def _worker(self) -> Executor:
        from loky import ProcessPoolExecutor

        environment = dict.fromkeys(THREADS, str(self._threads))
        worker: Executor = ProcessPoolExecutor(
            max_workers=1, timeout=None, initializer=begin, initargs=(os.getpid(), _in_main_thread(), self._memory), env=environment
        )
        return worker

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a job in a free worker."""
        worker = self._idle.pop() if self._idle else self._worker()
        future = worker.submit(function, *arguments)
        self._busy[future] = worker
        return future

    def release(self, future: Future[Any]) -> None:
        """Take the worker of a job that has ended back; one that died is forgotten."""
        worker = self._busy.pop(future)
        if isinstance(future.exception(), BrokenExecutor):
            _end(worker)
        else:
            self._idle.append(worker)

    def kill(self, future: Future[Any]) -> None:
        """End a job by ending its worker."""
        _end(self._busy.pop(future))

    def close(self) -> None:
        """End every worker."""
        for worker in (*self._busy.values(), *self._idle):
            _end(worker)
        self._busy.clear()
        self._idle.clear()


def _end(worker: Any) -> None:
    worker.shutdown(wait=True, kill_workers=True)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def begin(parent: int, from_main: bool, memory: int | None) -> None:
    """What a worker does first: leave Ctrl-C to its parent, die with it, keep off its output, and keep within its memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)  # the parent's results are on stdout
    if from_main and sys.platform == "linux":  # the signal comes when the thread that started a worker ends
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(1)


class Borrowed:
    """Somebody else's executor; it can be asked to cancel a job, and stays open."""

    def __init__(self, executor: Executor, room: int) -> None:
        self.executor, self.room = executor, room
        self._busy: set[Future[Any]] = set()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a job."""
        future = self.executor.submit(function, *arguments)
        self._busy.add(future)
        return future

    def release(self, future: Future[Any]) -> None:
        """Forget a job that has ended."""
        self._busy.discard(future)

    def kill(self, future: Future[Any]) -> None:
        """Ask for a job to be cancelled; one that runs already may go on, and what it finds is dropped."""
        self._busy.discard(future)
        future.cancel()

    def close(self) -> None:
        """Ask for every job to be cancelled."""
        for future in list(self._busy):
            self.kill(future)


def is_shut(error: BaseException) -> bool:
    """Whether an executor refuses every job: one that was shut down, or Dask's, whose client gave its scheduler up."""
    return type(error).__name__ == "ClosedClientError" or (isinstance(error, RuntimeError) and "shutdown" in str(error))


def is_killed(error: BaseException) -> bool:
    """Whether every worker died that Dask gave a job to."""
    return type(error).__name__ == "KilledWorker"


def why(error: BaseException, tries: int) -> str:
    """Why a job brought no results."""
    if isinstance(error, CancelledError):
        return f"lost by the executor {tries + 1} times"
    if is_killed(error):
        return f"the worker died {getattr(error, 'allowed_failures', 0) + 1} times"
    if isinstance(error, BrokenExecutor):
        signals = str(error).rpartition("exit codes of the workers are ")[2]
        return f"the worker died{f' {signals}' if signals.startswith('{') else ''}"
    return reason_of(error)
