"""Records of a batch: the race of backends for one instance, jobs, and options."""

from __future__ import annotations

from dataclasses import dataclass, field

from masksynth.search.entries import Entry
from masksynth.search.job import SolveOptions
from masksynth.search.result import Recall, Result


@dataclass(eq=False)
class Race:
    """One instance and the results of its backends.

    Parameters
    ----------
    number : int
        Index of the instance in the batch.
    entry : Entry
    open : set of str
        Backends without a result.
    results : dict of str to Result
        By backend.
    deadline : float or None
        Time at which open backends are given up, by ``time.monotonic``; None: they are not.
    """

    number: int
    entry: Entry
    open: set[str]
    results: dict[str, Result] = field(default_factory=dict)
    deadline: float | None = None


@dataclass(eq=False)
class Job:
    """A few instances for one backend; exactly one instance in a portfolio.

    ``is_suspect``: a worker died while this job was assigned to it, so it is run when nothing else is.
    """

    races: list[Race]
    backend: str
    tries: int = 0
    is_suspect: bool = False


@dataclass(frozen=True)
class BatchOptions:
    """Options of a batch.

    Parameters
    ----------
    backends : tuple of str
        The portfolio.
    solving : SolveOptions
        How instances are solved, without the backend.
    ordered : bool
        Whether results come in the order of the instances.
    budget, kill_after : float, optional
        Seconds for the batch, and for one instance.
    answers : bool
        Whether results carry their answers.
    recall : function, optional
        Looks up earlier results, by name and question.
    """

    backends: tuple[str, ...]
    solving: SolveOptions
    ordered: bool
    budget: float | None
    kill_after: float | None
    answers: bool
    recall: Recall | None
