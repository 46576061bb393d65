"""The whole way: family -> merge -> problem -> backend -> merged task -> verify -> answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from types import EllipsisType
from typing import Any

from masksynth.backends import Limits, Objective, Outcome, Status, backend
from masksynth.errors import Contradiction, InvalidInstance, MasksynthError, Unsupported
from masksynth.merge import find_leak, merge_classes, use_lowest_copies
from masksynth.problem import Problem
from masksynth.sparse.sparsify import SparseAnswer, sparsify
from masksynth.tasks import Instance, Leak, MergedTask, TaskFamily
from masksynth.tasks.instance_files import question_of
from masksynth.verify import verify, verify_leak
from masksynth.versions import versions

AUTO_NODES = 600
"""`auto` searches only families of at most this many task nodes ..."""
AUTO_PAIRS = 1_500
"""... at most this many pairs of nodes that may coincide ..."""
AUTO_CLAUSES = 25_000
"""... and at most this many clauses (`Problem.most_clauses`): what ``cpsat`` proves in about a second (``docs/benchmarks.md``)."""


@dataclass(frozen=True, repr=False)
class Answer:
    """What `solve` answers; nothing in it has left unchecked.

    Parameters
    ----------
    status : Status
    merged : MergedTask or None
        None iff INFEASIBLE or UNKNOWN.
    objective : mapping of str to Objective
        ``objective["positions"]``, and ``objective["edges"]`` of a sparse answer.
    certificate : mapping
        ``roads``: the backends that agreed, each with value, bound and kind of proof; ``checks``: what the checker confirmed.
    backend, versions, limits, seconds
        Who answered, by what, under which limits, in which time.
    leak : Leak or None
        The witness of INFEASIBLE.
    sparse : SparseAnswer or None
        How the edges of a sparse answer were found.
    """

    status: Status
    merged: MergedTask | None
    objective: Mapping[str, Objective]
    certificate: Mapping[str, Any]
    backend: str
    versions: Mapping[str, str]
    limits: Limits
    seconds: float
    leak: Leak | None = None
    sparse: SparseAnswer | None = None

    def __repr__(self) -> str:
        sizes = "".join(f", {name}={size.value} (bound {size.bound})" for name, size in self.objective.items())
        return (
            f"Answer({self.status.name}{sizes}, backend={self.backend!r}{f', leak={self.leak!r}' if self.leak else ''})"
        )


def solve(
    instance: Instance,
    *,
    backend: str = "auto",
    layers: int | EllipsisType | None = ...,
    sparse: bool | EllipsisType = ...,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Answer:
    """The smallest single forward pass that trains every task of an instance, checked.

    Parameters
    ----------
    instance : Instance
    backend : str
        ``auto`` searches with ``cpsat`` and compares with the criterion wherever the search is small (``AUTO_NODES``, ``AUTO_PAIRS``,
        ``AUTO_CLAUSES``), and takes the criterion alone above that and at finite depth. Any other name is that backend and nothing
        else; its optimum is compared with the criterion.
    layers, sparse
        Override the instance's; ``layers=None`` is any depth. ``sparse`` asks for the fewest edges through which that many layers carry
        exactly the flow of the merged task: the positions then come from the criterion, and ``backend`` is one for sparse masks
        (``sparsify``).
    limits : Limits, optional
        Default: no time limit, one worker, seed 0; a sparse search by ``auto`` ends after a minute's effort.
    progress : function, optional
        Called with the best number of edges and its bound so far, while a sparse search goes on.

    Raises
    ------
    Unsupported
        For what the backend cannot do.
    WrongAnswer
        If the checker refuses what was found; that is a defect of masksynth, never a result.

    Examples
    --------
    >>> import masksynth as ms
    >>> answer = ms.solve(ms.catalog.butterfly(n=4))
    >>> answer.status.name, answer.objective["positions"].value, [road["backend"] for road in answer.certificate["roads"]]
    ('OPTIMAL', 10, ['cpsat', 'criterion'])
    """
    begun = perf_counter()
    _check_type(instance, Instance, "solve", "masksynth.load(path) or Instance(family, name)")
    limits = limits or Limits()
    _check_type(limits, Limits, "limits", "Limits(seconds=...)")
    asked = _asked(instance, layers, sparse)
    leak = find_leak(asked.family, asked.layers)
    if leak is not None:
        verify_leak(asked, leak, asked.layers)
        return Answer(Status.INFEASIBLE, None, {}, {}, backend, versions(), limits, perf_counter() - begun, leak)
    if asked.sparse:
        return _sparse(asked, backend, limits, begun, progress)
    problem = Problem(asked.family, asked.layers)
    try:
        roads = _roads(problem, backend, limits)
    except _Unknown as nothing:
        if nothing.outcome.status is not Status.UNKNOWN:
            raise MasksynthError(
                f"backend {nothing.name!r} claims {nothing.outcome.status.name} and shows nothing"
            ) from None
        return Answer(Status.UNKNOWN, None, {}, {}, backend, versions(), limits, perf_counter() - begun)
    except Contradiction as error:
        raise error.within(asked.name) from error
    return _checked(asked, roads, backend, limits, begun)


class _Unknown(Exception):
    """A backend found nothing within its limits."""

    def __init__(self, name: str, outcome: Outcome) -> None:
        super().__init__(name)
        self.name, self.outcome = name, outcome


def _check_type(value: object, kind: type, where: str, remedy: str) -> None:
    if not isinstance(value, kind):
        raise InvalidInstance(f"{where} takes {kind.__name__}, not {type(value).__name__}", "", f"give {remedy}")


@dataclass(frozen=True)
class _Road:
    name: str
    outcome: Outcome
    merged: MergedTask
    versions: Mapping[str, str]


def _asked(instance: Instance, layers: int | EllipsisType | None, sparse: bool | EllipsisType) -> Instance:
    if not isinstance(layers, EllipsisType):
        instance = replace(instance, layers=layers)
    if not isinstance(sparse, EllipsisType):
        instance = replace(instance, sparse=sparse)
    return instance


def _sparse(
    asked: Instance, name: str, limits: Limits, begun: float, progress: Callable[[int, int], None] | None
) -> Answer:
    """The minimal positions from the criterion, then the fewest edges that carry their flow, then the checker."""
    road = _road(Problem(asked.family, None), "criterion", limits)
    flow = road.merged.mask
    try:
        thin = sparsify(flow, asked.layers, backend=name, limits=limits, progress=progress)
    except Contradiction as error:
        raise error.within(asked.name) from error
    if thin.mask is None or thin.objective is None:
        raise MasksynthError(
            f"a sparse search answered {thin.status.name} though the dense mask is an answer; please report this instance"
        )
    merged = replace(road.merged, mask=thin.mask, problem=question_of(asked.family, asked.layers, True))
    report = verify(asked, merged, minimal=True)
    certificate = {"roads": [_told(road)], "checks": list(report.checks), "edges": dict(thin.certificate)}
    positions = Objective(len(merged.positions), road.outcome.bound)
    objective = {"positions": positions, "edges": thin.objective}
    software = versions({**road.versions, **thin.versions})
    return Answer(
        thin.status, merged, objective, certificate, name, software, thin.limits, perf_counter() - begun, None, thin
    )


def is_small(problem: Problem) -> bool:
    """Whether `auto` searches: any depth, and a size that ``cpsat`` proves in about a second."""
    if problem.layers is not None or sum(len(task.nodes) for task in problem.family.tasks) > AUTO_NODES:
        return False
    try:
        return problem.pair_count <= AUTO_PAIRS and problem.most_clauses <= AUTO_CLAUSES
    except Unsupported:
        return False


def _roads(problem: Problem, name: str, limits: Limits) -> list[_Road]:
    """The asked-for backend, and beside a search the criterion."""
    if name == "auto":
        name = "cpsat" if is_small(problem) else "criterion"
    roads = [_road(problem, name, limits)]
    if name != "criterion":
        roads.append(_road(problem, "criterion", limits))
        _compare(*roads)
    return roads


def _road(problem: Problem, name: str, limits: Limits) -> _Road:
    chosen = backend(name)
    outcome = chosen.solve(problem, limits)
    if outcome.found is None:
        raise _Unknown(name, outcome)
    merged = outcome.found if isinstance(outcome.found, MergedTask) else merge_classes(problem.family, outcome.found)
    if outcome.status is Status.FEASIBLE and outcome.bound == len(merged.positions):  # the limit came after the proof
        outcome = replace(outcome, status=Status.OPTIMAL)
    if outcome.status is Status.OPTIMAL and name != "criterion":
        merged = use_lowest_copies(merged)
    return _Road(name, outcome, merged, chosen.versions())


def _compare(search: _Road, criterion: _Road) -> None:
    """Two roads to one number; a disagreement is a defect and never an answer."""
    best, value, bound = len(criterion.merged.positions), len(search.merged.positions), search.outcome.bound
    proved = search.outcome.status is Status.OPTIMAL
    if bound > best:
        raise Contradiction(search.name, bound, criterion.name, best)
    if not bound <= best <= value or (proved and not bound == best == value):
        raise MasksynthError(
            f"backend {search.name!r} found {value} positions with bound {bound}, the criterion {best}; please report this instance"
        )


def _checked(asked: Instance, roads: list[_Road], name: str, limits: Limits, begun: float) -> Answer:
    """The answer of the backend that was asked for, or for `auto` of the first that finished, after the checker has confirmed it."""
    finished = [road for road in roads if road.outcome.status is Status.OPTIMAL]
    leading = finished[0] if name == "auto" else roads[0]
    status = leading.outcome.status
    report = verify(asked, leading.merged, minimal=status is Status.OPTIMAL)
    told = finished if status is Status.OPTIMAL else [leading]
    certificate = {"roads": [_told(road) for road in told], "checks": list(report.checks)}
    software = versions({key: text for road in roads for key, text in road.versions.items()})
    objective = {"positions": Objective(len(leading.merged.positions), leading.outcome.bound)}
    return Answer(status, leading.merged, objective, certificate, name, software, limits, perf_counter() - begun)


def _told(road: _Road) -> dict[str, Any]:
    return {
        "backend": road.name,
        "value": len(road.merged.positions),
        "bound": road.outcome.bound,
        "proof": road.outcome.proof,
    }


def record(answer: Answer) -> dict[str, Any]:
    """The answer as plain JSON values: the content of ``solution.json``, or the witness of INFEASIBLE.

    Examples
    --------
    >>> from masksynth import catalog
    >>> list(record(solve(catalog.causal_lm(n=3))))[:4]
    ['status', 'positions', 'labels', 'tasks']
    """
    if answer.leak is not None:
        return {"status": answer.status.name, **answer.leak._asdict(), "path": list(answer.leak.path)}
    if answer.merged is None:
        return {"status": answer.status.name}
    from masksynth.export import solution_record

    return {
        "status": answer.status.name,
        **solution_record(answer.merged),
        "objective": {name: asdict(objective) for name, objective in answer.objective.items()},
        "certificate": dict(answer.certificate),
        "backend": answer.backend,
        "versions": dict(answer.versions),
        "limits": asdict(answer.limits),
        "seconds": round(answer.seconds, 6),
    }


def write(answer: Answer, folder: str | Path, force: bool = False) -> Path:
    """Write an answer as a folder (``docs/formats.md``), atomically.

    Parameters
    ----------
    answer : Answer
        With a merged task.
    folder : path
    force : bool
        Replace the answer in a folder that is not empty.

    Raises
    ------
    InvalidInstance
        If the folder is not empty and ``force`` is False.
    MasksynthError
        If there is nothing to write (INFEASIBLE, UNKNOWN), or the disk refuses; nothing is left behind.
    """
    from masksynth.export import write_answer

    _check_type(answer, Answer, "write", "what solve returns")
    if answer.merged is None:
        raise MasksynthError(f"{answer.status.name}: {answer.status.value} Nothing is written.")
    return write_answer(folder, record(answer), answer.merged, force)


def nodes_of(family: TaskFamily) -> int:
    """Number of task nodes, dead ones included.

    Examples
    --------
    >>> from masksynth import catalog
    >>> nodes_of(catalog.butterfly(n=8).family)
    64
    """
    return sum(len(task.nodes) for task in family.tasks)
