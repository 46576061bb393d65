"""A batch under way: what waits, what runs, what is ready to be taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field, replace
from math import inf
from time import monotonic, sleep

from masksynth.search.entries import Built, Entry, Unreadable, instance_in
from masksynth.search.feed import Feed
from masksynth.search.job import SLICE, Ask, attempt_all, reason_of
from masksynth.search.judge_answers import verdict
from masksynth.search.pool import Borrowed, ExecutorBroke, Pool, is_killed, is_shut, why
from masksynth.search.result import Recall, Result, failure
from masksynth.tasks.instance_files import content_hash

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
WINK = 0.05
"""The same where a worker is free."""
PATIENCE = 0.5
"""Seconds in which the other backends may still speak after a proof: they are compared with it, and their workers need not start anew."""
READ_HERE = 2**20
"""Largest file in bytes that is read here to say what was asked, after a worker died of it."""


@dataclass(eq=False)
class Race:
    """One instance, what each backend has said about it so far, and until when those are waited for that have not."""

    number: int
    entry: Entry
    open: set[str]
    results: dict[str, Result] = field(default_factory=dict)
    due: float | None = None


@dataclass(eq=False)
class Job:
    """A few instances for one backend; of a portfolio exactly one."""

    races: list[Race]
    backend: str
    tries: int = 0
    is_suspect: bool = False


class Batch:
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
        recall: Recall | None,
    ) -> None:
        self.feed, self.pool, self.asked, self.ask, self.answers, self.recall = (
            Feed(source, MOST),
            pool,
            asked,
            ask,
            answers,
            recall,
        )
        self.ordered, self.budget, self.kill_after = ordered, budget, kill_after
        self.deadline = inf
        self.waiting: deque[Job] = deque()
        self.suspects: deque[Job] = deque()
        self.under_way: dict[Future[list[Result]], Job] = {}
        self.finished: dict[int, Result] = {}
        self.begun = self.taken = 0
        self.pace = SLICE
        self.trouble: BaseException | None = None
        self.not_before = 0.0

    def results(self) -> Generator[Result, None, None]:
        """Every result, as soon as it may be taken."""
        self.deadline = inf if self.budget is None else monotonic() + self.budget
        try:
            while True:
                self._fill()
                yield from self._ready()
                if not (self.under_way or self.waiting or self.suspects) and (
                    self.feed.is_over or self.trouble is not None
                ):
                    break
                if monotonic() >= self.deadline:
                    self._spend()
                    yield from self._ready()
                    break
                self._collect()
                yield from self._ready()
            if trouble := self.trouble or self.feed.trouble:
                raise trouble
        except KeyboardInterrupt:  # what is finished is handed over first
            self.pool.close()
            yield from [self.finished.pop(number) for number in sorted(self.finished)]
            raise
        finally:
            self.feed.close()
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
            if not self.waiting and not self._draw() and (self.under_way or not self.suspects):
                return
            job = (self.waiting or self.suspects).popleft()
            try:
                self.under_way[self._submit(job)] = job
            except Exception as error:
                self._close(self._lost(job, error))

    def _submit(self, job: Job) -> Future[list[Result]]:
        return self.pool.submit(attempt_all, [race.entry for race in job.races], replace(self.ask, backend=job.backend))

    def _draw(self) -> bool:
        """Make jobs of the entries that are there: as many as take about ``SLICE`` seconds, one where workers may be killed."""
        alone = len(self.asked) > 1 or self.kill_after is not None
        count = 1 if alone else max(1, min(MOST, int(SLICE / max(self.pace, 1e-9))))
        races: list[Race] = []
        while len(races) < count and self._may_begin() and (entry := self.feed.take()) is not None:
            if not self._recalled(entry):
                races.append(self._race(entry))
        if races:
            self.waiting += [Job(races, name) for name in self.asked]
        return bool(races)

    def _may_begin(self) -> bool:
        ahead = self.begun - self.taken if self.ordered else len(self.finished)
        is_calm = self.trouble is None and len(self.suspects) <= self.pool.room
        return is_calm and max(ahead, len(self.finished)) < AHEAD and monotonic() < self.deadline

    def _race(self, entry: Entry) -> Race:
        self.begun += 1
        return Race(self.begun - 1, entry, set(self.asked))

    def _recalled(self, entry: Entry) -> bool:
        """Whether a result is known already; one that does not stand under this name yet is repeated."""
        if self.recall is None:
            return False
        try:
            instance = instance_in(entry)
        except Exception:
            return False  # a worker will say what is wrong
        question = (
            content_hash(instance.family),
            self.ask.depth(instance),
            self.ask.thin(instance),
            ",".join(self.asked),
        )
        known = self.recall(entry.name, question)
        if known is None:
            return False
        if not known.is_there:
            self.finished[self._race(entry).number] = replace(known.result, instance=entry.name)
        return True

    def _collect(self) -> None:
        """Wait for a job to end or an instance to come, and take in what has ended."""
        now = monotonic()
        until = min([now + self._tick(), self.deadline, *self._dues()])
        if self.under_way:
            wait(self.under_way, max(0.0, until - now), FIRST_COMPLETED)
        else:
            sleep(max(0.0, min(max(until, self.not_before), self.deadline) - now))
        for future in [future for future in self.under_way if future.done()]:
            self._close(self._take(future))
        self._kill_overdue()

    def _tick(self) -> float:
        """How long to wait: shorter where a worker is free for what the source may bring."""
        return WINK if len(self.under_way) < self.pool.room and not self.feed.is_over else TICK

    def _dues(self) -> list[float]:
        """When each job that is under way has to be killed."""
        return [self._due(future, job) for future, job in self.under_way.items()]

    def _due(self, future: Future[list[Result]], job: Job) -> float:
        lost = min((race.due for race in job.races if race.due is not None), default=inf)
        return min(lost, inf if self.kill_after is None else self.pool.since(future) + self.kill_after)

    def _take(self, future: Future[list[Result]]) -> list[Race]:
        """Take in a job that has ended; the races it has news of."""
        job, seconds = self.under_way.pop(future), monotonic() - self.pool.since(future)
        try:
            results = future.result()
        except (Exception, CancelledError) as error:
            self.pool.release(future)
            return self._lost(job, error, max(0.0, seconds))
        self.pool.release(future)
        for race, result in zip(job.races, results, strict=False):
            self._say(race, job.backend, result)
        self.pace = sum(result.seconds for result in results) / len(results)
        if rest := job.races[len(results) :]:
            self.waiting.appendleft(Job(rest, job.backend))
        return job.races[: len(results)]

    def _say(self, race: Race, backend: str, result: Result) -> None:
        race.results[backend] = result
        race.open.discard(backend)

    def _lost(self, job: Job, error: BaseException, seconds: float = 0.0) -> list[Race]:
        """Deal with a job that brought no results: send it again, or say why it failed."""
        if isinstance(error, CancelledError) and job.tries < TRIES:
            self.not_before = monotonic() + min(PAUSE, 0.25 * 2**job.tries)
            self.waiting.appendleft(replace(job, tries=job.tries + 1))
            return []
        if isinstance(self.pool, Borrowed) and (isinstance(error, BrokenExecutor) or is_shut(error)):
            self.trouble = ExecutorBroke(f"the executor broke and takes no more jobs: {reason_of(error)}")
        elif (
            is_killed(error) and not job.is_suspect
        ):  # Dask blames all that waited for the worker: each is tried when nothing else is
            self.suspects.extend(Job([race], job.backend, job.tries, True) for race in job.races)
            return []
        elif len(job.races) > 1:  # whose fault it was shows when each is alone
            self.waiting.extendleft(Job([race], job.backend) for race in reversed(job.races))
            return []
        for race in job.races:
            self._fail(race, job.backend, why(error, TRIES), seconds)
        return job.races

    def _fail(self, race: Race, backend: str, reason: str, seconds: float) -> None:
        self._say(
            race,
            backend,
            failure(race.entry.name, reason, backend, self.ask.limits, *self._question(race.entry), seconds),
        )

    def _question(self, entry: Entry) -> tuple[str | None, int | None, bool]:
        """Hash, depth and kind of a question whose worker could not say; what may be too much for one is not read here either."""
        if isinstance(entry.content, Built) or (isinstance(entry.content, bytes) and len(entry.content) > READ_HERE):
            return None, None, False
        try:
            instance = instance_in(entry)
        except Exception:
            return None, None, False
        return content_hash(instance.family), self.ask.depth(instance), self.ask.thin(instance)

    def _close(self, races: list[Race]) -> None:
        """Finish the races in which everybody has spoken; where a proof decides, the others have a moment left to speak."""
        for race in races:
            if race.open and race.due is None and any(result.proved for result in race.results.values()):
                race.due = monotonic() + PATIENCE
                self._drop(race)
            if not race.open:
                self._finish(race)

    def _drop(self, race: Race) -> None:
        """Forget the jobs of a race that have not begun."""
        for jobs in (self.waiting, self.suspects):
            for job in [job for job in jobs if race in job.races]:
                jobs.remove(job)
                race.open.discard(job.backend)

    def _finish(self, race: Race) -> None:
        try:
            instance = instance_in(race.entry) if len(race.results) > 1 else None
        except Exception:
            instance = None
        result = verdict(race.results, instance)
        self.finished[race.number] = replace(
            result, backend=",".join(self.asked), answer=result.answer if self.answers else None
        )

    def _kill_overdue(self) -> None:
        now = monotonic()
        for future, job in list(self.under_way.items()):
            if now < self._due(future, job) or future.done():
                continue
            seconds = now - self.pool.since(future)
            del self.under_way[future]
            self.pool.kill(future)
            for race in job.races:
                if race.due is None:
                    self._fail(race, job.backend, f"killed after {self.kill_after:g} s", seconds)
                race.open.discard(job.backend)
            self._close(job.races)

    def _spend(self) -> None:
        """The budget is spent: take what has ended, end the rest, and let one more instance show that the batch is not complete."""
        for future in [future for future in self.under_way if future.done()]:
            self._close(self._take(future))
        jobs = (*self.under_way.values(), *self.waiting, *self.suspects)
        races = {race.number: race for job in jobs for race in job.races}
        entry = None
        while not races and not self.feed.is_over and (entry is None or self._recalled(entry)):
            entry = self.feed.take(WINK) or Entry("the rest of the instances", Unreadable("not read"))
        if entry is not None and not races and not self.feed.is_over:
            races[-1] = self._race(entry)
        for race in races.values():
            race.results.clear()
            self._fail(race, ",".join(self.asked), f"{UNFINISHED} {self.budget:g} s was spent", 0.0)
            self.finished[race.number] = race.results.popitem()[1]
