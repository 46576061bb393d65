"""End-to-end solve: leak check, merge, backend search, comparison with the criterion, verification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from time import perf_counter
from types import EllipsisType
from typing import Any

from masksynth.answer import Answer as Answer
from masksynth.answer import record as record
from masksynth.answer import write as write
from masksynth.backends import Limits, Objective, Outcome, Status
from masksynth.backends import backend as load_backend
from masksynth.errors import Contradiction, MasksynthError, Unsupported, check_type
from masksynth.merge import find_leak, merge_classes, merge_family, use_lowest_copies
from masksynth.problem import Problem
from masksynth.sparse.sparsify import sparsify
from masksynth.tasks import Instance, MergedTask, TaskFamily
from masksynth.tasks.instance_files import question_of
from masksynth.verify import verify, verify_leak
from masksynth.versions import versions

AUTO_NODES = 600
"""`auto` searches only families of at most this many task nodes ..."""
AUTO_PAIRS = 1_500
"""... at most this many pairs of nodes that may coincide ..."""
AUTO_CLAUSES = 25_000
"""... and at most this many clauses (`Problem.most_clauses`): ``cpsat`` proves that in about a second."""

Progress = Callable[[int, int], None]
"""Called with the best number of edges and its bound so far."""


class Criterion:
    """The backend ``criterion``: the merged task in closed form, minimal by the theorem of ``docs/theory.md``.

    It supports any depth and finite layers, in near-linear time on chains and trees, and needs no limits.
    """

    name = "criterion"

    def available(self) -> str:
        """Return an empty string: nothing has to be installed."""
        return ""

    def versions(self) -> dict[str, str]:
        """Return the version of masksynth."""
        return {"masksynth": version("masksynth")}

    def solve(self, problem: Problem, limits: Limits) -> Outcome:
        """Merge by colour refinement."""
        merged = merge_family(problem.family, problem.layers)
        proof = "colour refinement: every class needs its copies (docs/theory.md)"
        return Outcome(Status.OPTIMAL, merged, len(merged.positions), proof)


def solve(
    instance: Instance,
    *,
    backend: str = "auto",
    layers: int | EllipsisType | None = ...,
    sparse: bool | EllipsisType = ...,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Answer:
    """Find the smallest single forward pass that trains every task of an instance, and verify it.

    Parameters
    ----------
    instance : Instance
    backend : str
        ``auto`` runs ``cpsat`` and compares it with the criterion where the search is small (``AUTO_NODES``,
        ``AUTO_PAIRS``, ``AUTO_CLAUSES``), and runs the criterion alone above that size and at finite depth. Any other
        name runs that backend; its optimum is compared with the criterion.
    layers : int, None or ...
        Number of layers of the model; None: any depth; ``...``: the instance's own.
    sparse : bool or ...
        Whether to find the fewest edges through which ``layers`` layers carry exactly the flow of the merged task;
        ``...``: as the instance says. The positions then come from the criterion, and ``backend`` names an engine for
        sparse masks (`sparsify`).
    limits : Limits, optional
        Default: no time limit, one worker, seed 0; a sparse search by ``auto`` ends after an effort of about a minute.
    progress : function, optional
        Called with the best number of edges and its bound so far during a sparse search.

    Returns
    -------
    Answer

    Raises
    ------
    Unsupported
        If the backend cannot solve this problem.
    WrongAnswer
        If the checker rejects the result; this is a defect of masksynth.

    Examples
    --------
    >>> import masksynth as ms
    >>> answer = ms.solve(ms.catalog.butterfly(n=4))
    >>> answer.status.name, answer.objective["positions"].value
    ('OPTIMAL', 10)
    >>> [road["backend"] for road in answer.certificate["roads"]]
    ['cpsat', 'criterion']
    """
    started = perf_counter()
    check_type(instance, Instance, "give masksynth.load(path) or Instance(family, name)")
    limits = limits or Limits()
    check_type(limits, Limits, "give limits=Limits(seconds=...)")
    question = _override(instance, layers, sparse)
    leak = find_leak(question.family, question.layers)
    if leak is not None:
        verify_leak(question, leak, question.layers)
        return Answer(Status.INFEASIBLE, None, {}, {}, backend, versions(), limits, perf_counter() - started, leak)
    try:
        if question.sparse:
            return _solve_sparse(question, backend, limits, started, progress)
        runs = _run_backends(Problem(question.family, question.layers), backend, limits)
    except _NoAnswer:
        return Answer(Status.UNKNOWN, None, {}, {}, backend, versions(), limits, perf_counter() - started)
    except Contradiction as error:
        raise error.within(question.name) from error
    return _verified_answer(question, runs, backend, limits, started)


class _NoAnswer(Exception):
    """A backend found no answer within its limits."""


@dataclass(frozen=True)
class _Run:
    """One backend's outcome, and the merged task built from it."""

    name: str
    outcome: Outcome
    merged: MergedTask
    versions: Mapping[str, str]


def _override(instance: Instance, layers: int | EllipsisType | None, sparse: bool | EllipsisType) -> Instance:
    """Replace the instance's depth and sparseness by those that are given."""
    if not isinstance(layers, EllipsisType):
        instance = replace(instance, layers=layers)
    if not isinstance(sparse, EllipsisType):
        instance = replace(instance, sparse=sparse)
    return instance


def _solve_sparse(question: Instance, engine: str, limits: Limits, started: float, progress: Progress | None) -> Answer:
    """Take the minimal positions from the criterion, find the fewest edges that carry their flow, and verify."""
    run = _run_criterion(Problem(question.family, None))
    thin = sparsify(run.merged.mask, question.layers, backend=engine, limits=limits, progress=progress)
    if thin.mask is None or thin.objective is None:
        fact = f"a sparse search returned {thin.status.name} though the dense mask is an answer"
        raise MasksynthError(f"{fact}; please report this instance")
    merged = replace(run.merged, mask=thin.mask, problem=question_of(question.family, question.layers, True))
    report = verify(question, merged, minimal=True)
    certificate = {"roads": [_road_record(run)], "checks": list(report.checks), "edges": dict(thin.certificate)}
    objective = {"positions": Objective(len(merged.positions), run.outcome.bound), "edges": thin.objective}
    software = versions({**run.versions, **thin.versions})
    seconds = perf_counter() - started
    return Answer(thin.status, merged, objective, certificate, engine, software, thin.limits, seconds, None, thin)


def is_small(problem: Problem) -> bool:
    """Return whether `auto` searches: at any depth, for a size that ``cpsat`` proves in about a second."""
    if problem.layers is not None or count_nodes(problem.family) > AUTO_NODES:
        return False
    try:
        return problem.pair_count <= AUTO_PAIRS and problem.most_clauses <= AUTO_CLAUSES
    except Unsupported:
        return False


def _run_backends(problem: Problem, name: str, limits: Limits) -> list[_Run]:
    """Run the requested backend and, if it is a search, the criterion for comparison."""
    if name == "auto":
        name = "cpsat" if is_small(problem) else "criterion"
    if name == "criterion":
        return [_run_criterion(problem)]
    search, criterion = _run_search(problem, name, limits), _run_criterion(problem)
    _compare(search, criterion)
    return [search, criterion]


def _run_criterion(problem: Problem) -> _Run:
    criterion = Criterion()
    outcome = criterion.solve(problem, Limits())
    assert isinstance(outcome.found, MergedTask)
    return _Run(criterion.name, outcome, outcome.found, criterion.versions())


def _run_search(problem: Problem, name: str, limits: Limits) -> _Run:
    """Run a search backend and build its merged task."""
    chosen = load_backend(name)
    outcome = chosen.solve(problem, limits)
    if outcome.found is None:
        if outcome.status is not Status.UNKNOWN:
            raise MasksynthError(f"backend {name!r} returned {outcome.status.name} without a solution")
        raise _NoAnswer
    merged = outcome.found if isinstance(outcome.found, MergedTask) else merge_classes(problem.family, outcome.found)
    if outcome.status is Status.FEASIBLE and outcome.bound == len(merged.positions):  # the limit came after the proof
        outcome = replace(outcome, status=Status.OPTIMAL)
    if outcome.status is Status.OPTIMAL:
        merged = use_lowest_copies(merged)
    return _Run(name, outcome, merged, chosen.versions())


def _compare(search: _Run, criterion: _Run) -> None:
    """Raise if the search and the criterion disagree: that is a defect, never an answer."""
    best, value, bound = len(criterion.merged.positions), len(search.merged.positions), search.outcome.bound
    is_proved = search.outcome.status is Status.OPTIMAL
    if bound > best:
        raise Contradiction(search.name, bound, criterion.name, best)
    if value < best or (is_proved and not bound == best == value):
        fact = f"backend {search.name!r} found {value} positions with bound {bound}, the criterion {best}"
        raise MasksynthError(f"{fact}; please report this instance")


def _verified_answer(question: Instance, runs: list[_Run], name: str, limits: Limits, started: float) -> Answer:
    """Verify and return the answer of the requested backend, or for `auto` of the first that proved its optimum."""
    finished = [run for run in runs if run.outcome.status is Status.OPTIMAL]
    chosen = finished[0] if name == "auto" else runs[0]
    status = chosen.outcome.status
    report = verify(question, chosen.merged, minimal=status is Status.OPTIMAL)
    agreed = finished if status is Status.OPTIMAL else [chosen]
    certificate = {"roads": [_road_record(run) for run in agreed], "checks": list(report.checks)}
    software = versions({package: text for run in runs for package, text in run.versions.items()})
    objective = {"positions": Objective(len(chosen.merged.positions), chosen.outcome.bound)}
    return Answer(status, chosen.merged, objective, certificate, name, software, limits, perf_counter() - started)


def _road_record(run: _Run) -> dict[str, Any]:
    """Return one entry of the certificate's ``roads``."""
    return {
        "backend": run.name,
        "value": len(run.merged.positions),
        "bound": run.outcome.bound,
        "proof": run.outcome.proof,
    }


def count_nodes(family: TaskFamily) -> int:
    """Return the number of task nodes, dead ones included.

    Examples
    --------
    >>> from masksynth import catalog
    >>> count_nodes(catalog.butterfly(n=8).family)
    64
    """
    return sum(len(task.nodes) for task in family.tasks)
