"""What a worker does: a few instances, one after the other, each to a result whatever happens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from time import perf_counter
from types import EllipsisType

from masksynth.backends import BACKENDS, Limits
from masksynth.catalog import butterfly
from masksynth.errors import MasksynthError
from masksynth.search.entries import Entry, instance_in
from masksynth.search.result import Result, failure, result_from
from masksynth.solve import solve
from masksynth.tasks import Instance
from masksynth.tasks.instance_files import content_hash

SLICE = 0.1
"""Seconds after which a worker hands back what it has, with the rest of its instances untouched."""


@dataclass(frozen=True)
class Ask:
    """What is asked about every instance of a batch; see `search`."""

    backend: str
    layers: int | EllipsisType | None
    sparse: bool | EllipsisType
    limits: Limits
    answers: bool

    def depth(self, instance: Instance) -> int | None:
        """The depth of the question about an instance."""
        return instance.layers if isinstance(self.layers, EllipsisType) else self.layers

    def thin(self, instance: Instance) -> bool:
        """Whether the fewest edges are asked for."""
        return instance.sparse if isinstance(self.sparse, EllipsisType) else self.sparse


def attempt_all(entries: Sequence[Entry], ask: Ask) -> list[Result]:
    """Results of the first entries: as many as begin within ``SLICE`` seconds, at least one.

    Examples
    --------
    >>> from masksynth.search.entries import sweep
    >>> [result.status for result in attempt_all(list(sweep("butterfly", n=[4])), Ask("criterion", ..., ..., Limits(), False))]
    ['OPTIMAL']
    """
    warm([ask.backend])
    begun, results = perf_counter(), []
    for entry in entries:
        results.append(attempt(entry, ask))
        if perf_counter() - begun > SLICE:
            break
    return results


def warm(names: Sequence[str]) -> None:
    """Load the solvers of backends of ours, so that no instance of the batch is charged with it."""
    for name in names:
        _warm(name)


@cache
def _warm(name: str) -> None:
    """Load solvers by a first small question."""
    if name in ("auto", *BACKENDS):
        with suppress(Exception):  # what is missing shows when it is asked
            solve(butterfly(n=2), backend=name)


def attempt(entry: Entry, ask: Ask) -> Result:
    """The result of one entry; nothing that goes wrong with it is raised."""
    begun = perf_counter()
    digest: str | None = None
    layers: int | None = None
    sparse = False
    try:
        instance = instance_in(entry)
        digest, layers, sparse = content_hash(instance.family), ask.depth(instance), ask.thin(instance)
        answer = solve(instance, backend=ask.backend, layers=layers, sparse=sparse, limits=ask.limits)
    except BaseException as error:  # workers hear no Ctrl-C; a solver that raises KeyboardInterrupt has only failed
        reason = reason_of(error, entry.name)
        return failure(entry.name, reason, ask.backend, ask.limits, digest, layers, sparse, perf_counter() - begun)
    result = result_from(entry.name, answer, ask.backend, layers, sparse, digest, perf_counter() - begun, ask.limits)
    return result if ask.answers else replace(result, answer=None)


def reason_of(error: BaseException, name: str = "") -> str:
    """Why there is no answer, in one line; an error that nobody raised on purpose is told with its kind and its place.

    Examples
    --------
    >>> reason_of(MemoryError()), reason_of(ZeroDivisionError("division by zero"))
    ('not enough memory', 'ZeroDivisionError: division by zero')
    """
    if isinstance(error, MasksynthError):
        return str(error).removeprefix(f"{name}: ")
    if isinstance(error, MemoryError):
        return "not enough memory"
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f" ({trace.tb_frame.f_code.co_filename.rpartition('/')[2]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
