"""Run one batch: what waits, what is running, what is finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import replace
from math import inf
from time import monotonic, sleep

from masksynth.search.entries import Entry, Unreadable, describe_instance, instance_in
from masksynth.search.feed import Feed
from masksynth.search.job import SLICE, solve_entries
from masksynth.search.judge_answers import choose_result
from masksynth.search.race import BatchOptions, Job, Race
from masksynth.search.result import Result, failure
from masksynth.workers.pool import (
    ExecutorBroke,
    ExternalPool,
    Pool,
    describe_error,
    describe_loss,
    is_killed,
    is_shut,
)

AHEAD_LIMIT = 1_000
"""Maximum number of instances started ahead of an unfinished one (ordered search), and of finished results waiting."""
JOB_SIZE_LIMIT = 200
"""Maximum number of instances in one job."""
RETRY_LIMIT = 8
"""How often a job that an executor lost is submitted again."""
IN_TRANSIT = 5.0
"""Seconds after an executor lost a job in which the results of others that it ran may still arrive."""
LONGEST_PAUSE = 30.0
"""Longest pause in seconds before a job is submitted again; the first is 0.25 s, and each one doubles."""
UNFINISHED = "not finished: the budget of"
"""Start of the reason of results that were not finished within the budget."""
POLL = 1.0
"""Longest wait in seconds between two checks of the clock ..."""
FAST_POLL = 0.05
"""... and the same while a worker is idle."""
GRACE = 0.5
"""Seconds after a proof in which other backends may still finish, to be compared with it and to keep their workers."""


class Batch:
    """The state of one search.

    Parameters
    ----------
    source : iterator of Entry
    pool : Pool
        Where jobs run.
    options : BatchOptions
    """

    def __init__(self, source: Iterator[Entry], pool: Pool, options: BatchOptions) -> None:
        self.feed, self.pool, self.options = Feed(source, JOB_SIZE_LIMIT), pool, options
        self.deadline = inf
        self.waiting: deque[Job] = deque()
        self.suspects: deque[Job] = deque()
        self.running: dict[Future[list[Result]], Job] = {}
        self.finished: dict[int, Result] = {}
        self.started = self.taken = 0
        self.seconds_per_instance = SLICE
        self.error: BaseException | None = None
        self.not_before = 0.0
        self.lost_at = 0.0  # when the executor lost a job; 0 if all results have arrived since, or were given up

    def results(self) -> Generator[Result, None, None]:
        """Yield each result as soon as it is available."""
        self.deadline = inf if self.options.budget is None else monotonic() + self.options.budget
        try:
            while True:
                self._start_jobs()
                yield from self._ready_results()
                if not (self.running or self.waiting or self.suspects) and (
                    self.feed.is_over or self.error is not None
                ):
                    break
                if monotonic() >= self.deadline:
                    self._end_budget()
                    yield from self._ready_results()
                    break
                self._wait()
                yield from self._ready_results()
            if error := self.error or self.feed.error:
                raise error
        except KeyboardInterrupt:  # finished results are yielded first
            self.pool.close()
            yield from [self.finished.pop(number) for number in sorted(self.finished)]
            raise
        finally:
            self.feed.close()
            self.pool.close()

    def _ready_results(self) -> Iterator[Result]:
        if not self.options.ordered:
            while self.finished:
                yield self.finished.pop(next(iter(self.finished)))
        while self.taken in self.finished:
            self.taken += 1
            yield self.finished.pop(self.taken - 1)

    def _start_jobs(self) -> None:
        """Start jobs until the pool is full, nothing is left to do, or results are too far ahead."""
        while len(self.running) < self.pool.room and monotonic() >= self.not_before:
            if not self.waiting and not self._make_jobs() and (self.running or not self.suspects):
                return
            job = (self.waiting or self.suspects).popleft()
            try:
                self.running[self._submit(job)] = job
            except Exception as error:
                self._finish_races(self._handle_loss(job, error))

    def _submit(self, job: Job) -> Future[list[Result]]:
        options = replace(self.options.solving, backend=job.backend)
        return self.pool.submit(solve_entries, [race.entry for race in job.races], options)

    def _make_jobs(self) -> bool:
        """Make jobs from available entries, about ``SLICE`` seconds each; one entry per job if workers may be killed.

        Returns whether there are new jobs.
        """
        alone = len(self.options.backends) > 1 or self.options.kill_after is not None
        count = 1 if alone else max(1, min(JOB_SIZE_LIMIT, int(SLICE / max(self.seconds_per_instance, 1e-9))))
        races: list[Race] = []
        while len(races) < count and self._may_start() and (entry := self.feed.take()) is not None:
            if not self._recall(entry):
                races.append(self._new_race(entry))
        if races:
            self.waiting += [Job(races, name) for name in self.options.backends]
        return bool(races)

    def _may_start(self) -> bool:
        ahead = self.started - self.taken if self.options.ordered else len(self.finished)
        is_calm = self.error is None and len(self.suspects) <= self.pool.room
        return is_calm and max(ahead, len(self.finished)) < AHEAD_LIMIT and monotonic() < self.deadline

    def _new_race(self, entry: Entry) -> Race:
        self.started += 1
        return Race(self.started - 1, entry, set(self.options.backends))

    def _recall(self, entry: Entry) -> bool:
        """Return whether there is an earlier result; one recorded under another name is yielded under this one."""
        if self.options.recall is None:
            return False
        try:
            instance = instance_in(entry)
        except Exception:
            return False  # the worker reports the error
        request = replace(self.options.solving, backend=",".join(self.options.backends)).request(entry, instance)
        recalled = self.options.recall(entry.name, request.question)
        if recalled is None:
            return False
        if not recalled.is_there:
            self.finished[self._new_race(entry).number] = replace(recalled.result, instance=entry.name)
        return True

    def _wait(self) -> None:
        """Wait for a job to end or an instance to arrive, and process ended jobs."""
        now = monotonic()
        until = min([now + self._poll_interval(), self.deadline, *self._kill_times()])
        if self.running:
            wait(self.running, max(0.0, until - now), FIRST_COMPLETED)
        else:
            sleep(max(0.0, min(max(until, self.not_before), self.deadline) - now))
        for future in [future for future in self.running if future.done()]:
            self._finish_races(self._take_results(future))
        self._give_up_results_in_transit()
        self._kill_overdue()

    def _give_up_results_in_transit(self) -> None:
        """Submit jobs again that ran when others were lost: Dask never ends those whose results were on the way."""
        if not self.lost_at or monotonic() < self.lost_at + IN_TRANSIT:
            return
        for future in [future for future in self.running if self.pool.since(future) < self.lost_at]:
            job = self.running.pop(future)
            self.pool.kill(future)
            self._finish_races(self._handle_loss(job, CancelledError()))
        self.lost_at = 0.0

    def _poll_interval(self) -> float:
        """Return how long to wait: shorter while a worker is idle and the source may produce an instance."""
        return FAST_POLL if len(self.running) < self.pool.room and not self.feed.is_over else POLL

    def _kill_times(self) -> list[float]:
        """Return the time at which each running job has to be killed."""
        return [self._kill_time(future, job) for future, job in self.running.items()]

    def _kill_time(self, future: Future[list[Result]], job: Job) -> float:
        given_up = min((race.deadline for race in job.races if race.deadline is not None), default=inf)
        return min(
            given_up, inf if self.options.kill_after is None else self.pool.since(future) + self.options.kill_after
        )

    def _take_results(self, future: Future[list[Result]]) -> list[Race]:
        """Process a job that has ended; return the races with new results."""
        job, seconds = self.running.pop(future), monotonic() - self.pool.since(future)
        try:
            results = future.result()
        except (Exception, CancelledError) as error:
            self.pool.release(future)
            return self._handle_loss(job, error, max(0.0, seconds))
        self.pool.release(future)
        for race, result in zip(job.races, results, strict=False):
            self._add_result(race, job.backend, result)
        self.seconds_per_instance = sum(result.seconds for result in results) / len(results)
        if rest := job.races[len(results) :]:
            self.waiting.appendleft(Job(rest, job.backend))
        return job.races[: len(results)]

    def _add_result(self, race: Race, backend: str, result: Result) -> None:
        race.results[backend] = result
        race.open.discard(backend)

    def _handle_loss(self, job: Job, error: BaseException, seconds: float = 0.0) -> list[Race]:
        """Process a job without results: submit it again, split it, or fail it; return the races with new results."""
        if isinstance(error, CancelledError) and job.tries < RETRY_LIMIT:
            self.lost_at = monotonic()
            self.not_before = self.lost_at + min(LONGEST_PAUSE, 0.25 * 2**job.tries)
            self.waiting.appendleft(replace(job, tries=job.tries + 1))
            return []
        if isinstance(self.pool, ExternalPool) and (isinstance(error, BrokenExecutor) or is_shut(error)):
            self.error = ExecutorBroke(f"the executor broke and takes no more jobs: {describe_error(error)}")
        elif is_killed(error) and not job.is_suspect:
            # Dask blames every job that was assigned to the worker: each is run again when nothing else is running.
            self.suspects.extend(Job([race], job.backend, job.tries, True) for race in job.races)
            return []
        elif len(job.races) > 1:  # run each instance alone to find the one that kills the worker
            self.waiting.extendleft(Job([race], job.backend) for race in reversed(job.races))
            return []
        for race in job.races:
            self._fail(race, job.backend, describe_loss(error, RETRY_LIMIT), seconds)
        return job.races

    def _fail(self, race: Race, backend: str, reason: str, seconds: float) -> None:
        instance = describe_instance(race.entry)
        request = replace(self.options.solving, backend=backend).request(race.entry, instance)
        self._add_result(race, backend, failure(request, reason, seconds))

    def _finish_races(self, races: list[Race]) -> None:
        """Finish races without open backends; after a proof, the other backends get ``GRACE`` seconds."""
        for race in races:
            if race.open and race.deadline is None and any(result.proved for result in race.results.values()):
                race.deadline = monotonic() + GRACE
                self._cancel_waiting(race)
            if not race.open:
                self._finish(race)

    def _cancel_waiting(self, race: Race) -> None:
        """Remove the jobs of a race that have not started."""
        for jobs in (self.waiting, self.suspects):
            for job in [job for job in jobs if race in job.races]:
                jobs.remove(job)
                race.open.discard(job.backend)

    def _finish(self, race: Race) -> None:
        try:
            instance = instance_in(race.entry) if len(race.results) > 1 else None
        except Exception:
            instance = None
        result = choose_result(race.results, instance)
        self.finished[race.number] = replace(
            result, backend=",".join(self.options.backends), answer=result.answer if self.options.answers else None
        )

    def _kill_overdue(self) -> None:
        now = monotonic()
        for future, job in list(self.running.items()):
            if now < self._kill_time(future, job) or future.done():
                continue
            seconds = now - self.pool.since(future)
            del self.running[future]
            self.pool.kill(future)
            for race in job.races:
                if race.deadline is None:
                    self._fail(race, job.backend, f"killed after {self.options.kill_after:g} s", seconds)
                race.open.discard(job.backend)
            self._finish_races(job.races)

    def _end_budget(self) -> None:
        """Process ended jobs, fail the others, and yield one more failure if instances are left."""
        for future in [future for future in self.running if future.done()]:
            self._finish_races(self._take_results(future))
        jobs = (*self.running.values(), *self.waiting, *self.suspects)
        races = {race.number: race for job in jobs for race in job.races}
        entry = None
        while not races and not self.feed.is_over and (entry is None or self._recall(entry)):
            entry = self.feed.take(FAST_POLL) or Entry("the rest of the instances", Unreadable("not read"))
        if entry is not None and not races and not self.feed.is_over:
            races[-1] = self._new_race(entry)
        for race in races.values():
            race.results.clear()
            self._fail(race, ",".join(self.options.backends), f"{UNFINISHED} {self.options.budget:g} s was spent", 0.0)
            self.finished[race.number] = race.results.popitem()[1]
