"""The batch itself: entries in, jobs to a pool, results out as they finish."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field, replace
from time import monotonic
from types import EllipsisType
from typing import Any

from masksynth.backends import Limits
from masksynth.errors import InvalidInstance, MasksynthError, Unsupported
from masksynth.search.job import SLICE, Ask, attempt_all, reason_of
from masksynth.search.pool import Borrowed, LocalPool, Pool, processors
from masksynth.search.portfolio import portfolio, verdict
from masksynth.search.result import Question, Result, failure
from masksynth.search.sources import Entry, entries, instance_in
from masksynth.tasks.files import content_hash

AHEAD = 1_000
"""Most instances that an ordered search begins ahead of one that is not finished, and most copied results that wait to be taken."""
MOST = 200
"""Most instances in one job."""
TRIES = 8
"""How often a job that an executor lost is sent again."""
PAUSE = 30.0
"""Longest pause in seconds before it is sent again; the first is a quarter of a second, each further one twice as long."""
UNFINISHED = "not finished: the budget of"
"""How the reason begins where a budget ended."""
TICK = 1.0
"""Longest wait in seconds between two looks at the clock."""


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
    recall: Callable[[str, Question], Result | None] | None = None,
) -> Generator[Result, None, None]:
    """Solve many instances side by side; one result for each, whatever happens to it.

    Parameters
    ----------
    instances : path, folder, glob, Instance, or an iterable of these
        Also a generator without end: only a few instances are taken ahead of the results. `sweep` makes one from a family.
    backend : str or list of str
        As in `solve`; several names are a portfolio: the first proof wins and the others are cancelled.
    layers, sparse
        Override the instances' own, as in `solve`.
    limits : Limits, optional
        Of every instance and backend. Its ``workers`` (threads of a solver) are at most processors / jobs.
    jobs : int, optional
        How many instances are under way at a time: the number of worker processes (default: one for each processor), or of an
        executor's workers (default: what it says of itself, or 32).
    executor : concurrent.futures.Executor, optional
        Where jobs run instead of this machine's own worker processes, for instance ``client.get_executor()`` of Dask. It stays open.
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
        Called with an instance's name and question; a result that it returns is not sought again (and not yielded, if it has this name).

    Yields
    ------
    Result
        An instance that fails (malformed, raising, out of memory, its worker killed) gives a result whose ``error`` says why.

    Raises
    ------
    InvalidInstance, Unsupported
        At once, for arguments that make no sense; never for one instance among others.
    MasksynthError
        After the last result, if the executor broke.

    Examples
    --------
    >>> import masksynth as ms
    >>> results = list(ms.search(ms.sweep("butterfly", n=[2, 4, 8]), backend="criterion", jobs=1))
    >>> sorted((result.instance, result.objective["positions"]["value"]) for result in results)
    [('butterfly(n=2)', 4), ('butterfly(n=4)', 10), ('butterfly(n=8)', 22)]
    """
    asked = portfolio(backend)
    for name, value in (("budget", budget), ("kill_after", kill_after)):
        if value is not None and not (isinstance(value, (int, float)) and 0 < value < 1e9):
            raise InvalidInstance(f"{name}={value!r} is not a number of seconds above 0")
    for name, number in (("jobs", jobs), ("memory", memory)):
        if number is not None and (type(number) is not int or number < 1):
            raise InvalidInstance(f"{name}={number!r} is not a positive integer")
    if executor is not None and (kill_after is not None or memory is not None):
        raise Unsupported("kill_after and memory are for masksynth's own workers; an executor rules over its workers itself")
    limits = limits or Limits()
    source = entries(instances)
    if executor is None:
        room = jobs or processors()
        limits = divided(limits, room)
        pool: Pool = LocalPool(room, limits.workers, memory)
    else:
        pool = Borrowed(executor, jobs or getattr(executor, "_max_workers", None) or 32)
    ask = Ask("", layers, sparse, limits, answers or len(asked) > 1)
    return _Batch(source, pool, asked, ask, ordered, budget, kill_after, answers, recall).results()


def divided(limits: Limits, jobs: int) -> Limits:
    """Limits whose ``workers`` (threads of a solver) are at most processors / jobs, so that jobs side by side do not crowd the machine.

    Examples
    --------
    >>> divided(Limits(workers=64), 10**6).workers
    1
    """
    return replace(limits, workers=max(1, min(limits.workers, processors() // jobs)))


@dataclass(eq=False)
class _Race:
    """One instance, and what each backend has said about it so far."""

    number: int
    entry: Entry
    results: dict[str, Result] = field(default_factory=dict)
    over: bool = False


@dataclass(eq=False)
class _Job:
    """A few instances for one backend; of a portfolio exactly one."""

    races: list[_Race]
    backend: str
    tries: int = 0


class _Batch:
    """The state of one search: what waits, what is under way, what is ready to be taken."""

    def __init__(
        self,
        source: Iterator[Entry],
        pool: Pool,
        asked: tuple[str, ...],
        ask: Ask,
        ordered: bool,
        budget: float | None,
        kill_after: float | None,
        answers: bool,
        recall: Callable[[str, Question], Result | None] | None,
    ) -> None:
        self.source, self.pool, self.asked, self.ask, self.answers, self.recall = source, pool, asked, ask, answers, recall
        self.ordered, self.budget, self.kill_after = ordered, budget, kill_after
        self.waiting: deque[_Job] = deque()
        self.under_way: dict[Future[list[Result]], tuple[_Job, float]] = {}
        self.finished: dict[int, Result] = {}
        self.begun = self.taken = 0
        self.pace = SLICE
        self.exhausted = False
        self.trouble: BaseException | None = None
        self.not_before = 0.0

    def results(self) -> Generator[Result, None, None]:
        """Every result, as soon as it may be taken."""
        deadline = None if self.budget is None else monotonic() + self.budget
        try:
            while True:
                self._fill()
                yield from self._ready()
                if not self.under_way and not self.waiting and (self.exhausted or self.trouble is not None):
                    break
                if deadline is not None and monotonic() >= deadline:
                    self._spend()
                    yield from self._ready()
                    break
                self._collect(deadline)
                yield from self._ready()
            if self.trouble is not None:
                raise self.trouble
        except KeyboardInterrupt:  # what is finished is handed over first
            self.pool.close()
            yield from (self.finished.pop(number) for number in sorted(self.finished))
            raise
        finally:
            self.pool.close()

    def _ready(self) -> Iterator[Result]:
        if not self.ordered:
            while self.finished:
                yield self.finished.pop(next(iter(self.finished)))
        while self.taken in self.finished:
            self.taken += 1
            yield self.finished.pop(self.taken - 1)

    def _fill(self) -> None:
        """Start jobs until the pool has no room, nothing more is to be done, or the results are too far ahead."""
        while len(self.under_way) < self.pool.room and monotonic() >= self.not_before:
            if not self.waiting and not self._draw():
                return
            job = self.waiting.popleft()
            try:
                self.under_way[self._submit(job)] = (job, monotonic())
            except Exception as error:
                for race in self._lost(job, error):
                    self._close(race)

    def _submit(self, job: _Job) -> Future[list[Result]]:
        return self.pool.submit(attempt_all, [race.entry for race in job.races], replace(self.ask, backend=job.backend))

    def _draw(self) -> bool:
        """Take the next entries and make jobs of them: as many as take about ``SLICE`` seconds, one where workers may be killed."""
        alone = len(self.asked) > 1 or self.kill_after is not None
        count = 1 if alone else max(1, min(MOST, int(SLICE / max(self.pace, 1e-9))))
        races: list[_Race] = []
        while len(races) < count and not self.exhausted and self._may_begin():
            entry = self._next()
            if entry is not None and not self._recalled(entry):
                races.append(self._race(entry))
        if races:
            self.waiting += [_Job(races, name) for name in self.asked]
        return bool(races)

    def _may_begin(self) -> bool:
        return self.trouble is None and len(self.finished) < AHEAD and (not self.ordered or self.begun - self.taken < AHEAD)

    def _next(self) -> Entry | None:
        try:
            return next(self.source)
        except StopIteration:
            self.exhausted = True
        except Exception as error:  # the caller's generator: what is under way is finished first
            self.exhausted, self.trouble = True, error
        return None

    def _race(self, entry: Entry) -> _Race:
        self.begun += 1
        return _Race(self.begun - 1, entry)

    def _recalled(self, entry: Entry) -> bool:
        """Whether a result is known already; under another name it is repeated."""
        if self.recall is None:
            return False
        try:
            instance = instance_in(entry)
        except Exception:
            return False  # a worker will say what is wrong
        question = (content_hash(instance.family), self.ask.depth(instance), self.ask.thin(instance), ",".join(self.asked))
        known = self.recall(entry.name, question)
        if known is None:
            return False
        if known.instance != entry.name:
            self.finished[self._race(entry).number] = replace(known, instance=entry.name)
        return True

    def _collect(self, deadline: float | None) -> None:
        """Wait for a job to end, and take in what has ended."""
        now = monotonic()
        until = min(
            [now + TICK, *([deadline] if deadline is not None else []), *self._dues(), *([self.not_before] * (self.not_before > now))]
        )
        ended, _ = wait(self.under_way, max(0.0, until - now), FIRST_COMPLETED)
        if not self.under_way and self.not_before > now:
            _sleep_until(self.not_before, deadline)
        races = [race for future in ended for race in self._take(future)]
        for race in races:
            self._close(race)
        self._kill_overdue()

    def _dues(self) -> list[float]:
        return [] if self.kill_after is None else [begun + self.kill_after for _, begun in self.under_way.values()]

    def _take(self, future: Future[list[Result]]) -> list[_Race]:
        """Take in a job that has ended; the races it has news of."""
        job, begun = self.under_way.pop(future)
        try:
            results = future.result()
        except (Exception, CancelledError) as error:
            self.pool.release(future)
            return self._lost(job, error, monotonic() - begun)
        self.pool.release(future)
        for race, result in zip(job.races, results, strict=False):
            race.results[job.backend] = result
        self.pace = sum(result.seconds for result in results) / len(results)
        if rest := job.races[len(results) :]:
            self.waiting.appendleft(_Job(rest, job.backend))
        return job.races[: len(results)]

    def _lost(self, job: _Job, error: BaseException, seconds: float = 0.0) -> list[_Race]:
        """Deal with a job that brought no results: send it again, or say why it failed."""
        if isinstance(error, CancelledError) and job.tries < TRIES:
            self.not_before = monotonic() + min(PAUSE, 0.25 * 2**job.tries)
            self.waiting.appendleft(_Job(job.races, job.backend, job.tries + 1))
            return []
        if isinstance(self.pool, Borrowed) and (isinstance(error, BrokenExecutor) or _is_shut(error)):
            self.trouble = MasksynthError(f"the executor broke and takes no more jobs: {reason_of(error)}")
        elif len(job.races) > 1:  # whose fault it was shows when each is alone
            self.waiting.extendleft(_Job([race], job.backend) for race in reversed(job.races))
            return []
        for race in job.races:
            self._fail(race, job.backend, _told(error), seconds)
        return job.races

    def _fail(self, race: _Race, backend: str, reason: str, seconds: float) -> None:
        race.results[backend] = failure(race.entry.name, reason, backend, self.ask.limits, *self._question(race.entry), seconds)

    def _question(self, entry: Entry) -> tuple[str | None, int | None, bool]:
        """Hash, depth and kind of the question about an entry whose worker could not say."""
        try:
            instance = instance_in(entry)
        except Exception:
            return None, None, False
        return content_hash(instance.family), self.ask.depth(instance), self.ask.thin(instance)

    def _close(self, race: _Race) -> None:
        """Finish a race that a proof has decided or in which everybody has spoken."""
        decided = any(result.proved for result in race.results.values())
        if race.over or not (decided or len(race.results) == len(self.asked)):
            return
        race.over = True
        if len(self.asked) > 1:
            self._stop(race)
        try:
            instance = instance_in(race.entry) if len(race.results) > 1 else None
        except Exception:
            instance = None
        result = verdict(race.results, instance)
        self.finished[race.number] = replace(result, backend=",".join(self.asked), answer=result.answer if self.answers else None)

    def _stop(self, race: _Race) -> None:
        """Cancel what is still being done for a race."""
        for future, (job, _) in list(self.under_way.items()):
            if race in job.races:
                del self.under_way[future]
                self.pool.kill(future)
        self.waiting = deque(job for job in self.waiting if race not in job.races)

    def _kill_overdue(self) -> None:
        if self.kill_after is None:
            return
        now = monotonic()
        for future, (job, begun) in list(self.under_way.items()):
            if now - begun >= self.kill_after and not future.done():
                del self.under_way[future]
                self.pool.kill(future)
                for race in job.races:
                    self._fail(race, job.backend, f"killed after {self.kill_after:g} s", now - begun)
                    self._close(race)

    def _spend(self) -> None:
        """The budget is spent: take what has ended, end what is under way, and let one more instance show that the batch is not complete."""
        for race in [race for future in list(self.under_way) if future.done() for race in self._take(future)]:
            self._close(race)
        races = [race for job, _ in self.under_way.values() for race in job.races] + [race for job in self.waiting for race in job.races]
        while not races and not self.exhausted:
            entry = self._next()
            if entry is not None and not self._recalled(entry):
                races.append(self._race(entry))
        for race in races:
            if not race.over:
                race.over, race.results = True, {}
                self._fail(race, ",".join(self.asked), f"{UNFINISHED} {self.budget:g} s was spent", 0.0)
                self.finished[race.number] = race.results.popitem()[1]


def _sleep_until(moment: float, deadline: float | None) -> None:
    from time import sleep

    sleep(max(0.0, min(moment, *([deadline] if deadline is not None else [moment])) - monotonic()))


def _is_shut(error: BaseException) -> bool:
    """Whether an executor refuses every job: one that was shut down, or Dask's, whose client gave its scheduler up."""
    return type(error).__name__ == "ClosedClientError" or (isinstance(error, RuntimeError) and "shutdown" in str(error))


def _told(error: BaseException) -> str:
    """Why a job brought no results."""
    if isinstance(error, CancelledError):
        return f"lost by the executor {TRIES + 1} times"
    if type(error).__name__ == "KilledWorker":  # of Dask, which has tried it on several workers
        return f"the worker died {getattr(error, 'allowed_failures', 0) + 1} times"
    if isinstance(error, BrokenExecutor):
        signals = str(error).rpartition("exit codes of the workers are ")[2]
        return f"the worker died{f' {signals}' if signals.startswith('{') else ''}"
    return reason_of(error)
