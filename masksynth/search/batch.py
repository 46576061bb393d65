"""A batch under way: what waits, what runs, what is ready to be taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field, replace
from time import monotonic, sleep

from masksynth.search.job import SLICE, Ask, attempt_all, reason_of
from masksynth.search.pool import Borrowed, ExecutorBroke, Pool, is_killed, is_shut, why
from masksynth.search.portfolio import verdict
from masksynth.search.result import Question, Result, failure
from masksynth.search.sources import Entry, instance_in
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


@dataclass(eq=False)
class Race:
    """One instance, and what each backend has said about it so far."""

    number: int
    entry: Entry
    results: dict[str, Result] = field(default_factory=dict)
    over: bool = False


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
        recall: Callable[[str, Question], Result | None] | None,
    ) -> None:
        self.source, self.pool, self.asked, self.ask, self.answers, self.recall = source, pool, asked, ask, answers, recall
        self.ordered, self.budget, self.kill_after = ordered, budget, kill_after
        self.waiting: deque[Job] = deque()
        self.suspects: deque[Job] = deque()
        self.under_way: dict[Future[list[Result]], tuple[Job, float]] = {}
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
                if not self.under_way and not self.waiting and not self.suspects and (self.exhausted or self.trouble is not None):
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
            if not self.waiting and not self._draw() and (self.under_way or not self.suspects):
                return
            job = (self.waiting or self.suspects).popleft()
            try:
                self.under_way[self._submit(job)] = (job, monotonic())
            except Exception as error:
                for race in self._lost(job, error):
                    self._close(race)

    def _submit(self, job: Job) -> Future[list[Result]]:
        return self.pool.submit(attempt_all, [race.entry for race in job.races], replace(self.ask, backend=job.backend))

    def _draw(self) -> bool:
        """Take the next entries and make jobs of them: as many as take about ``SLICE`` seconds, one where workers may be killed."""
        alone = len(self.asked) > 1 or self.kill_after is not None
        count = 1 if alone else max(1, min(MOST, int(SLICE / max(self.pace, 1e-9))))
        races: list[Race] = []
        while len(races) < count and not self.exhausted and self._may_begin():
            entry = self._next()
            if entry is not None and not self._recalled(entry):
                races.append(self._race(entry))
        if races:
            self.waiting += [Job(races, name) for name in self.asked]
        return bool(races)

    def _may_begin(self) -> bool:
        ahead = self.begun - self.taken if self.ordered else len(self.finished)
        return self.trouble is None and max(ahead, len(self.finished)) < AHEAD and len(self.suspects) <= self.pool.room

    def _next(self) -> Entry | None:
        try:
            return next(self.source)
        except StopIteration:
            self.exhausted = True
        except Exception as error:  # the caller's generator: what is under way is finished first
            self.exhausted, self.trouble = True, error
        return None

    def _race(self, entry: Entry) -> Race:
        self.begun += 1
        return Race(self.begun - 1, entry)

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

    def _take(self, future: Future[list[Result]]) -> list[Race]:
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
            self.waiting.appendleft(Job(rest, job.backend))
        return job.races[: len(results)]

    def _lost(self, job: Job, error: BaseException, seconds: float = 0.0) -> list[Race]:
        """Deal with a job that brought no results: send it again, or say why it failed."""
        if isinstance(error, CancelledError) and job.tries < TRIES:
            self.not_before = monotonic() + min(PAUSE, 0.25 * 2**job.tries)
            self.waiting.appendleft(replace(job, tries=job.tries + 1))
            return []
        if isinstance(self.pool, Borrowed) and (isinstance(error, BrokenExecutor) or is_shut(error)):
            self.trouble = ExecutorBroke(f"the executor broke and takes no more jobs: {reason_of(error)}")
        elif is_killed(error) and not job.is_suspect:  # Dask blames all that waited for the worker: each is tried when nothing else is
            self.suspects.extend(Job([race], job.backend, job.tries, True) for race in job.races)
            return []
        elif len(job.races) > 1:  # whose fault it was shows when each is alone
            self.waiting.extendleft(Job([race], job.backend) for race in reversed(job.races))
            return []
        for race in job.races:
            self._fail(race, job.backend, why(error, TRIES), seconds)
        return job.races

    def _fail(self, race: Race, backend: str, reason: str, seconds: float) -> None:
        race.results[backend] = failure(race.entry.name, reason, backend, self.ask.limits, *self._question(race.entry), seconds)

    def _question(self, entry: Entry) -> tuple[str | None, int | None, bool]:
        """Hash, depth and kind of the question about an entry whose worker could not say."""
        try:
            instance = instance_in(entry)
        except Exception:
            return None, None, False
        return content_hash(instance.family), self.ask.depth(instance), self.ask.thin(instance)

    def _close(self, race: Race) -> None:
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

    def _stop(self, race: Race) -> None:
        """Cancel what is still being done for a race."""
        for future, (job, _) in list(self.under_way.items()):
            if race in job.races:
                del self.under_way[future]
                self.pool.kill(future)
        self.waiting = deque(job for job in self.waiting if race not in job.races)
        self.suspects = deque(job for job in self.suspects if race not in job.races)

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
        """The budget is spent: take what has ended, end the rest, and let one more instance show that the batch is not complete."""
        for race in [race for future in list(self.under_way) if future.done() for race in self._take(future)]:
            self._close(race)
        races = [race for job, _ in self.under_way.values() for race in job.races] + [
            race for job in (*self.waiting, *self.suspects) for race in job.races
        ]
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
    sleep(max(0.0, min(moment, *([deadline] if deadline is not None else [moment])) - monotonic()))
