"""From a flow to the checked mask with the fewest edges that carries it through L layers: a transitive-closure spanner.

Small flows are reduced to parts and searched; large ones get a construction. Either way the answer states its value and a proved bound, and
has been checked by code that shares nothing with what found it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from masksynth.backends import Limits, Objective, Status
from masksynth.sparse.engines import PORTFOLIO, SparseOutcome, Standing, sparse_search
from masksynth.errors import Contradiction, InvalidInstance, MasksynthError, Unsupported
from masksynth.mask import Mask
from masksynth.posets import closure
from masksynth.sparse import Edge, SparseProblem, construct
from masksynth.verify.check_sparse_flow import check_flow
from masksynth.versions import versions

MAX_SEARCH = 1_500
"""Most positions of a flow that is searched ..."""
MAX_WAYS = 60_000
"""... and most triples q > w > k in it (a chain of 71); larger flows get a construction."""
MAX_CLOSED = 8_192
"""Most positions of a flow that is closed here; a larger one must be closed already."""
AUTO_EFFORT = 60.0
"""Effort that ``auto`` spends where no limit is given: about a minute, and the same search every time."""


@dataclass(frozen=True)
class SparseAnswer:
    """What `sparsify` answers; its mask has been checked.

    Parameters
    ----------
    status : Status
        OPTIMAL, FEASIBLE, or INFEASIBLE (forbidden edges cut the flow).
    mask : Mask or None
        One table with its diagonal set, or L tables, the first for the first layer, of a layered answer.
    objective : Objective or None
        Weight of the edges off the diagonal, and a proved bound; equal iff optimal.
    certificate : mapping
        How value and bound came about.
    problem : SparseProblem or None
        What was searched; None where a construction answered.
    outcome : SparseOutcome or None
        The search in its parts.
    pairs : int
        Pairs q != k between which information flows: the edges of the dense mask.
    layers : int or None
    closed : bool
        Whether the relation given was closed already; if not, its closure was taken.
    unreachable : Edge or None
        The witness of INFEASIBLE: a pair that the allowed edges do not connect within L layers.
    """

    status: Status
    mask: Mask | None
    objective: Objective | None
    certificate: Mapping[str, Any]
    pairs: int
    layers: int | None
    closed: bool
    backend: str
    versions: Mapping[str, str]
    limits: Limits
    seconds: float
    problem: SparseProblem | None = field(default=None, repr=False)
    outcome: SparseOutcome | None = field(default=None, repr=False)
    unreachable: Edge | None = None


def sparsify(
    relation: Any,
    layers: int | None = None,
    *,
    forced: Iterable[Edge] = (),
    forbidden: Iterable[Edge] = (),
    weights: Mapping[Edge, int] | None = None,
    layered: bool = False,
    backend: str = "auto",
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SparseAnswer:
    """The mask of least weight through which L layers carry exactly the flow of a relation, checked.

    With R the reflexive and transitive closure of the relation, the answer A has ``(A or I)^L = R``.

    Parameters
    ----------
    relation : (n, n) bool array, Mask, or path of a mask file
        ``relation[q, k]`` is true iff q may attend to k. It is closed first; above ``MAX_CLOSED`` positions a Mask must be closed already.
    layers : int, optional
        L; None: any number of layers (the transitive reduction).
    forced, forbidden : iterable of (query, key)
        Edges that must be, or must not be, in the mask.
    weights : mapping of (query, key) to int, optional
        Cost of an edge; 1 where none is given.
    layered : bool
        A mask for each layer, ``A_1`` for the first: ``(A_L or I) ... (A_1 or I) = R``, with the least weight summed over all layers.
    backend : str
        ``auto`` lets all engines of ``PORTFOLIO`` search where the flow is small (``MAX_SEARCH``, ``MAX_WAYS``), for ``AUTO_EFFORT`` unless
        limits are given, and constructs a mask otherwise. ``construct`` never searches; any other name is that engine and nothing else.
    limits : Limits, optional
    progress : function, optional
        Called with the best weight and bound so far, while a search goes on.

    Returns
    -------
    SparseAnswer

    Raises
    ------
    InvalidInstance
        If the relation, a weight or an edge is malformed.
    Unsupported
        If a named engine cannot search a flow of this size, or a construction was asked to heed weights, forced or forbidden edges.
    WrongAnswer
        If the checker refuses what was found; that is a defect of masksynth, never a result.

    Examples
    --------
    >>> import masksynth as ms
    >>> answer = ms.sparsify(np.tril(np.ones((7, 7), bool)), layers=2)
    >>> answer.status.name, answer.objective
    ('OPTIMAL', Objective(value=10, bound=10))
    """
    begun = perf_counter()
    flow, closed = closed_flow(relation)
    asked = _Asked(flow, layers, closed, backend, limits or Limits(), begun)
    options = (frozenset(forced), frozenset(forbidden), dict(weights or {}), layered)
    if backend == "construct" or (backend == "auto" and not any(options) and not is_searchable(flow)):
        if any(options):
            raise Unsupported(
                "a construction heeds no weights, forced or forbidden edges and has one mask for all layers; name an engine"
            )
        return _constructed(asked)
    if not is_searchable(flow):
        raise Unsupported(
            f"a flow of {flow.size} positions and {asked.pairs} pairs is too large to search; use --backend construct"
        )
    return _searched(asked, SparseProblem(flow.dense(), layers, *options), progress)


@dataclass(frozen=True)
class _Asked:
    """What was asked, and when."""

    flow: Mask
    layers: int | None
    closed: bool
    backend: str
    limits: Limits
    begun: float

    @property
    def pairs(self) -> int:
        return self.flow.pairs - self.flow.size

    @property
    def name(self) -> str:
        """What a contradiction says of the problem."""
        depth = "any number of layers" if self.layers is None else f"{self.layers} layers"
        return f"flow of {self.flow.size} positions and {self.pairs} pairs through {depth}"

    def answer(self, mask: Mask, objective: Objective, certificate: Mapping[str, Any], **more: Any) -> SparseAnswer:
        """The answer that a checked mask gives."""
        status = Status.OPTIMAL if objective.bound == objective.value else Status.FEASIBLE
        return self.any(status, mask, objective, certificate, **more)

    def any(
        self, status: Status, mask: Mask | None, objective: Objective | None, told: Mapping[str, Any], **more: Any
    ) -> SparseAnswer:
        """An answer of any status."""
        seconds = perf_counter() - self.begun
        rest = {
            "pairs": self.pairs,
            "layers": self.layers,
            "closed": self.closed,
            "backend": self.backend,
            "limits": self.limits,
        }
        return SparseAnswer(status, mask, objective, told, **rest, versions=versions(), seconds=seconds, **more)  # type: ignore[arg-type]


def _constructed(asked: _Asked) -> SparseAnswer:
    from masksynth.export.mask_arrays import mask_of_edges

    built = construct(asked.flow, asked.layers)
    mask = mask_of_edges(built.query, built.key, asked.flow.size)
    check_flow(mask, asked.flow, asked.layers)
    if built.bound > len(built.query):
        raise Contradiction(built.bound_proof, built.bound, built.scheme, len(built.query), asked.name)
    return asked.answer(
        mask, Objective(len(built.query), built.bound), {"scheme": built.scheme, "bound": built.bound_proof}
    )


def _searched(asked: _Asked, problem: SparseProblem, progress: Callable[[int, int], None] | None) -> SparseAnswer:
    limits = asked.limits
    if asked.backend == "auto" and limits.seconds is None and limits.effort is None:
        limits = replace(limits, effort=AUTO_EFFORT)
        asked = replace(asked, limits=limits)
    try:
        outcome = sparse_search(problem, PORTFOLIO if asked.backend == "auto" else (asked.backend,), limits, progress)
    except Contradiction as error:
        raise error.within(asked.name) from error
    reduction = outcome.reduction
    if reduction.unreachable is not None:
        return asked.any(Status.INFEASIBLE, None, None, {}, problem=problem, unreachable=reduction.unreachable)
    chosen = [edge for standing in outcome.standings for edge in standing.chosen]
    mask = (
        _layers_mask(problem, chosen)
        if problem.layered
        else _mask(problem.size, {*reduction.sure, *reduction.chosen, *chosen})
    )
    check_flow(mask, asked.flow, problem.layers)
    settled = problem.cost(reduction.sure | reduction.chosen)
    value = settled + sum(standing.upper for standing in outcome.standings)
    lower = settled + sum(standing.lower for standing in outcome.standings)
    bound = lower if outcome.floor is None else max(lower, outcome.floor)
    _recount(problem, mask, value)
    if bound > value:  # each part stands by itself, so it can only be the bound of the whole
        raise Contradiction(outcome.floor_proof, bound, "the search", value, asked.name)
    return asked.answer(mask, Objective(value, bound), told(outcome, settled), problem=problem, outcome=outcome)


def closed_flow(relation: Any) -> tuple[Mask, bool]:
    """The closure of a relation as a mask, and whether the relation was closed already.

    Examples
    --------
    >>> closed_flow(np.array([[True, False, False], [True, True, False], [False, True, True]]))
    (Mask(size=3, tables=1, pairs=6), False)
    """
    if isinstance(relation, (str, Path)):
        from masksynth.subject.mask_file import read_mask

        relation = read_mask(relation)
    mask = relation if isinstance(relation, Mask) else Mask.from_dense(np.asarray(relation))
    if mask.tables != 1:
        raise InvalidInstance(f"a pattern of {mask.tables} tables is not one flow", "", "give one (n, n) relation")
    if mask.size > MAX_CLOSED and isinstance(relation, Mask):
        return mask, True  # a construction fails the check if it is not
    flow = Mask.from_dense(closure(mask.dense()))
    return flow, flow == mask


def is_searchable(flow: Mask) -> bool:
    """Whether engines can search a flow: few enough positions, and triples q > w > k."""
    if flow.size > MAX_SEARCH:
        return False
    dense = flow.dense()
    np.fill_diagonal(dense, False)
    inner = dense.astype(np.float32)
    return float((inner @ inner)[dense].sum()) <= MAX_WAYS


def _mask(size: int, edges: Iterable[tuple[int, ...]]) -> Mask:
    from masksynth.export.mask_arrays import mask_of_edges

    pairs = np.array(sorted(edges), np.int64).reshape(-1, 2)
    return mask_of_edges(pairs[:, 0], pairs[:, 1], size)


def _layers_mask(problem: SparseProblem, edges: Iterable[tuple[int, ...]]) -> Mask:
    """One table for each layer."""
    tables = np.zeros((problem.layers or 1, problem.size, problem.size), bool)
    tables[:, range(problem.size), range(problem.size)] = True
    for layer, query, key in edges:
        tables[layer - 1, query, key] = True
    return Mask.from_dense(tables)


def _recount(problem: SparseProblem, mask: Mask, value: int) -> None:
    """The mask keeps to the edges asked for, and weighs what is said."""
    tables = mask.dense().reshape(-1, problem.size, problem.size)
    edges = [(int(q), int(k)) for _, q, k in np.argwhere(tables) if q != k]
    if set(edges) & problem.forbidden or any(not table[edge] for edge in problem.forced for table in tables):
        raise MasksynthError("the search did not heed forced or forbidden edges; please report this relation")
    if problem.cost(edges) != value:
        raise MasksynthError(
            f"the mask weighs {problem.cost(edges)}, the search says {value}; please report this relation"
        )


def told(outcome: SparseOutcome, settled: int) -> dict[str, Any]:
    """How a search came to its value and bound, part by part, as JSON values; ``settled`` is the weight outside the parts."""
    reduction = outcome.reduction
    return {
        "settled": settled,
        "sure": len(reduction.sure),
        "packing": len(reduction.packing),
        "floor": {"bound": outcome.floor, "proof": outcome.floor_proof},
        "parts": [
            _part(len(part.demands), len(part.edges), s)
            for part, s in zip(reduction.parts, outcome.standings, strict=True)
        ],
    }


def _part(demands: int, edges: int, standing: Standing) -> dict[str, Any]:
    size = {"demands": demands, "edges": edges, "value": standing.upper, "bound": standing.lower}
    return {**size, "found_by": standing.found_by, "proved_by": standing.proved_by}


def record(answer: SparseAnswer) -> dict[str, Any]:
    """A sparse answer as plain JSON values, its edges listed.

    Examples
    --------
    >>> found = record(sparsify(np.tril(np.ones((3, 3), bool)), layers=2))
    >>> found["status"], found["objective"], found["edges"]
    ('OPTIMAL', {'edges': {'value': 2, 'bound': 2}}, [[1, 0], [2, 1]])
    """
    if answer.mask is None or answer.objective is None:
        unreachable = None if answer.unreachable is None else list(answer.unreachable)
        return {"status": answer.status.name, "layers": answer.layers, "unreachable": unreachable}
    return {
        "status": answer.status.name,
        "objective": {"edges": asdict(answer.objective)},
        "size": answer.mask.size,
        "pairs": answer.pairs,
        "layers": answer.layers,
        "closed": answer.closed,
        "edges": edges_of(answer.mask),
        "certificate": dict(answer.certificate),
        "backend": answer.backend,
        "versions": dict(answer.versions),
        "limits": asdict(answer.limits),
        "seconds": round(answer.seconds, 6),
    }


def edges_of(mask: Mask) -> list[list[int]]:
    """The edges of a mask off its diagonal: [query, key], or [layer, query, key] of a pattern.

    Examples
    --------
    >>> edges_of(Mask.from_dense(np.tril(np.ones((2, 2), bool))))
    [[1, 0]]
    """
    from masksynth.export.mask_arrays import off_diagonal

    if mask.tables == 1:
        return [[int(q), int(k)] for q, k in zip(*off_diagonal(mask), strict=True)]
    return [[int(table) + 1, int(q), int(k)] for table, q, k in np.argwhere(mask.dense()) if q != k]
