"""Run jobs in a worker: solve a few instances, one after another, each to a result even if it fails."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from time import perf_counter
from types import EllipsisType

from masksynth.backends import BACKENDS, Limits
from masksynth.catalog import butterfly
from masksynth.search.entries import Entry, instance_in
from masksynth.search.result import Request, Result, failure, result_from
from masksynth.solve import solve
from masksynth.tasks import Instance
from masksynth.tasks.instance_files import content_hash
from masksynth.workers.pool import describe_error

SLICE = 0.1
"""Seconds after which a worker returns its results and leaves the rest of its instances."""


@dataclass(frozen=True)
class SolveOptions:
    """Options for solving each instance of a batch; see `search`.

    Parameters
    ----------
    backend : str
    layers : int, None or ...
    sparse : bool or ...
    limits : Limits
    answers : bool
        Whether results carry their answers.
    """

    backend: str
    layers: int | EllipsisType | None
    sparse: bool | EllipsisType
    limits: Limits
    answers: bool

    def depth_of(self, instance: Instance) -> int | None:
        """Return the number of layers for which an instance is solved."""
        return instance.layers if isinstance(self.layers, EllipsisType) else self.layers

    def is_sparse(self, instance: Instance) -> bool:
        """Return whether the fewest edges are requested for an instance."""
        return instance.sparse if isinstance(self.sparse, EllipsisType) else self.sparse

    def request(self, entry: Entry, instance: Instance | None = None) -> Request:
        """Return the request for an entry; without an instance its hash and depth are not known."""
        if instance is None:
            return Request(entry.name, None, self.backend, None, False, self.limits)
        digest = content_hash(instance.family)
        depth, sparse = self.depth_of(instance), self.is_sparse(instance)
        return Request(entry.name, digest, self.backend, depth, sparse, self.limits)


def solve_entries(entries: Sequence[Entry], options: SolveOptions) -> list[Result]:
    """Return results of the first entries: as many as begin within ``SLICE`` seconds, at least one.

    Examples
    --------
    >>> from masksynth.search.entries import sweep
    >>> options = SolveOptions("criterion", ..., ..., Limits(), False)
    >>> [result.status for result in solve_entries(list(sweep("butterfly", n=[4])), options)]
    ['OPTIMAL']
    """
    load_solvers([options.backend])
    started, results = perf_counter(), []
    for entry in entries:
        results.append(solve_entry(entry, options))
        if perf_counter() - started > SLICE:
            break
    return results


def load_solvers(names: Sequence[str]) -> None:
    """Import the solvers of masksynth's own backends, so that their import is not part of an instance's time."""
    for name in names:
        _load_solver(name)


@cache
def _load_solver(name: str) -> None:
    """Import a solver by solving a small instance."""
    if name in ("auto", *BACKENDS):
        with suppress(Exception):  # a missing solver is reported when an instance needs it
            solve(butterfly(n=2), backend=name)


def solve_entry(entry: Entry, options: SolveOptions) -> Result:
    """Return the result of one entry; every exception becomes a failure."""
    started = perf_counter()
    request = options.request(entry)
    try:
        instance = instance_in(entry)
        request = options.request(entry, instance)
        answer = solve(
            instance, backend=request.backend, layers=request.layers, sparse=request.sparse, limits=options.limits
        )
    except BaseException as error:  # workers ignore Ctrl-C, so a solver that raises KeyboardInterrupt has failed
        return failure(request, describe_error(error, entry.name), perf_counter() - started)
    result = result_from(request, answer, perf_counter() - started)
    return result if options.answers else replace(result, answer=None)
