"""Where jobs run: a pool of our own, whose workers can be killed one by one, or any executor."""

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
from math import inf
from multiprocessing import resource_tracker
from typing import Any, Protocol

from masksynth.errors import MasksynthError
from masksynth.search.job import reason_of, warm

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

    def since(self, future: Future[Any]) -> float:
        """When a job could begin (of ``time.monotonic``); infinity while its worker is starting."""

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
    names : tuple of str
        Backends that are loaded before a worker's first job.
    """

    def __init__(self, room: int, threads: int = 1, memory: int | None = None, names: tuple[str, ...] = ()) -> None:
        self.room, self._threads, self._memory, self._names = room, threads, memory, names
        self._idle: list[Executor] = []
        self._busy: dict[Future[Any], Executor] = {}
        self._since: dict[Future[Any], float] = {}

    def _worker(self) -> Executor:
        from loky import ProcessPoolExecutor

        environment = dict.fromkeys(THREADS, str(self._threads))
        worker: Executor = ProcessPoolExecutor(
            max_workers=1,
            timeout=None,
            initializer=begin,
            initargs=(os.getpid(), _in_main_thread(), self._memory),
            env=environment,
        )
        return worker

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a job in a free worker; one that died while it was idle is replaced."""
        while self._idle:
            worker = self._idle.pop()
            try:
                return self._begun(worker, worker.submit(function, *arguments), time.monotonic())
            except BrokenExecutor:
                _end(worker)
        with _hold_interrupts():
            worker = self._worker()
            ready = worker.submit(warm, self._names)
        future = self._begun(worker, worker.submit(function, *arguments), inf)
        ready.add_done_callback(
            lambda _: self._since.update({future: time.monotonic()}) if future in self._since else None
        )
        return future

    def _begun(self, worker: Executor, future: Future[Any], moment: float) -> Future[Any]:
        self._busy[future], self._since[future] = worker, moment
        return future

    def since(self, future: Future[Any]) -> float:
        """When a job could begin; infinity while its worker is starting."""
        return self._since.get(future, inf)

    def release(self, future: Future[Any]) -> None:
        """Take the worker of a job that has ended back; one that died is forgotten."""
        worker = self._busy.pop(future)
        self._since.pop(future, None)
        if isinstance(future.exception(), BrokenExecutor):
            _end(worker)
        else:
            self._idle.append(worker)

    def kill(self, future: Future[Any]) -> None:
        """End a job by ending its worker."""
        self._since.pop(future, None)
        _end(self._busy.pop(future))

    def close(self) -> None:
        """End every worker."""
        for worker in (*self._busy.values(), *self._idle):
            _end(worker)
        self._busy.clear()
        self._idle.clear()


@contextmanager
def _hold_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from processes that start in this block, until they ignore it themselves; the mask is inherited."""
    resource_tracker.ensure_running()  # every worker asks for it, and its start would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
        self._busy: dict[Future[Any], float] = {}

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a job."""
        future = self.executor.submit(function, *arguments)
        self._busy[future] = time.monotonic()
        return future

    def since(self, future: Future[Any]) -> float:
        """When a job was sent."""
        return self._busy.get(future, inf)

    def release(self, future: Future[Any]) -> None:
        """Forget a job that has ended."""
        self._busy.pop(future, None)

    def kill(self, future: Future[Any]) -> None:
        """Ask for a job to be cancelled; one that runs already may go on, and what it finds is dropped."""
        self._busy.pop(future, None)
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
        signals = re.search(r"exit codes of the workers are (\{.*?\})", str(error))
        return f"the worker died {signals[1]}" if signals else "the worker died"
    return reason_of(error)
