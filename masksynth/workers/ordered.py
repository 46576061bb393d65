"""Run a stream of calls on a pool: results in order, few calls ahead, and a call whose worker dies is run again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass
from queue import Full, Queue
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any, NamedTuple, TypeVar

from masksynth.errors import MasksynthError
from masksynth.workers.pool import ExecutorBroke, ExternalPool, Pool, describe_loss, is_killed, is_shut

DEATHS = 3
"""How often a worker may die of a call until the call has failed."""
LOSSES = 8
"""How often an executor may lose a call, as Dask does when its scheduler is restarted."""
POLL = 1.0
"""Longest wait in seconds for a call to end: a call that Dask has cancelled ends without a notice."""
GRACE = 5.0
"""Seconds after a loss in which the results of earlier calls may still arrive."""
LONGEST_PAUSE = 30.0
"""Longest pause in seconds before a lost call is submitted again; the first is 0.25 s, and each one doubles."""
T = TypeVar("T")


class WorkerDied(MasksynthError):
    """Workers died of a call again and again."""


class Call(NamedTuple):
    """A call to run in a worker; the label names it in messages."""

    label: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(eq=False)
class _Job:
    """A call on its way: how often it was lost, and its result or error once it is done."""

    call: Call | None
    result: Any = None
    error: BaseException | None = None
    done: bool = False
    deaths: int = 0
    losses: int = 0
    begun: float = 0.0


class Crew:
    """Run calls on a pool, those first that were begun first.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as executor:
    ...     crew = Crew(ExternalPool(executor, 2))
    ...     list(crew.map([Call("power", pow, (2, 5)), "passes", Call("power", pow, (2, 3))], 4))
    [32, 'passes', 8]
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.waiting: deque[_Job] = deque()
        self.running: dict[Future[Any], _Job] = {}
        self.not_before = 0.0
        self.lost_at = 0.0

    def map(self, items: Iterable[Any], ahead: int) -> Iterator[Any]:
        """Yield the result of each call, and each other item as it is, in their order.

        Parameters
        ----------
        items : iterable
            Read only as far as results are taken. An error of it is raised after the results of what came before.
        ahead : int
            Maximum number of items that are read but not yielded.

        Raises
        ------
        WorkerDied, ExecutorBroke
            If a call cannot be run; and whatever a call raises.
        """
        source, pending = iter(items), deque[_Job]()
        error: Exception | None = None
        is_over = False
        while pending or not is_over:
            while not is_over and len(pending) < ahead:
                try:
                    pending.append(self._begin(next(source)))
                except StopIteration:
                    is_over = True
                except Exception as reason:
                    error, is_over = reason, True
            if pending:
                yield self._finish(pending.popleft())
        if error is not None:
            raise error

    def _begin(self, item: Any) -> _Job:
        if not isinstance(item, Call):
            return _Job(None, item, done=True)
        job = _Job(item)
        self.waiting.append(job)
        self._start()
        return job

    def _finish(self, job: _Job) -> Any:
        """Return the result of a job once it is done; others go on in the meantime."""
        while not job.done:
            self._start()
            self._wait()
        self._collect()
        self._start()
        if job.error is not None:
            raise job.error
        return job.result

    def _start(self) -> None:
        while self.waiting and len(self.running) < self.pool.room and monotonic() >= self.not_before:
            job = self.waiting.popleft()
            assert job.call is not None
            job.begun = monotonic()
            try:
                self.running[self.pool.submit(job.call.function, *job.call.arguments)] = job
            except Exception as error:
                self._handle_loss(job, error)

    def _wait(self) -> None:
        pause = max(0.0, self.not_before - monotonic())
        if self.running:
            wait(self.running, min(POLL, pause) if self.waiting and pause else POLL, FIRST_COMPLETED)
        else:
            sleep(pause)
        self._collect()

    def _collect(self) -> None:
        """Take the results of jobs that have ended."""
        for future in [future for future in self.running if future.done()]:
            job = self.running.pop(future)
            try:
                job.result, job.done = future.result(), True
            except (Exception, CancelledError) as error:
                self._handle_loss(job, error)
            self.pool.release(future)
        # the results of calls that were on their way when the others were lost never arrive
        if self.lost_at and monotonic() > self.lost_at + GRACE:
            for future in [future for future, job in self.running.items() if job.begun < self.lost_at]:
                self.pool.kill(future)
                self._handle_loss(self.running.pop(future), CancelledError())
            self.lost_at = 0.0

    def _handle_loss(self, job: _Job, error: BaseException) -> None:
        """Queue a job again, before all others, if it was lost; otherwise its error is its result."""
        is_broken = isinstance(error, BrokenExecutor)
        if isinstance(self.pool, ExternalPool) and (is_broken or is_shut(error)):
            job.error = ExecutorBroke(f"the executor broke and takes no more jobs: {describe_loss(error, 0)}")
        elif isinstance(error, CancelledError) and job.losses < LOSSES:
            self.lost_at = monotonic()
            self.not_before = self.lost_at + min(LONGEST_PAUSE, 0.25 * 2**job.losses)
            job.losses += 1
            self.waiting.appendleft(job)
            return
        elif (is_broken or is_killed(error)) and job.deaths < DEATHS - 1:
            job.deaths += 1
            self.waiting.appendleft(job)
            return
        elif is_broken or is_killed(error) or isinstance(error, CancelledError):
            assert job.call is not None
            job.error = WorkerDied(f"{job.call.label}: tried {DEATHS} times: {describe_loss(error, LOSSES)}")
        else:
            job.error = error
        job.done = True


def read_ahead(items: Iterable[T], count: int) -> Iterator[T]:
    """Yield items that a thread of its own reads, at most ``count`` ahead.

    Examples
    --------
    >>> list(read_ahead("abc", 1))
    ['a', 'b', 'c']
    """
    queue: Queue[tuple[bool, Any]] = Queue(count)
    is_closed = Event()

    def put(item: tuple[bool, Any]) -> bool:
        while not is_closed.is_set():
            try:
                queue.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def read() -> None:
        try:
            if all(put((True, item)) for item in items):
                put((False, None))
        except Exception as error:
            put((False, error))

    thread = Thread(target=read, daemon=True, name="read-ahead")
    thread.start()
    try:
        while (entry := queue.get())[0]:
            yield entry[1]
        if entry[1] is not None:
            raise entry[1]
    finally:
        is_closed.set()
        thread.join()
