"""Find the mask with the fewest edges that carries a flow through L layers: a least transitive-closure spanner.

Small flows are reduced to independent components and searched; large ones get a construction. Either way the answer has
a value and a proved bound, and its mask has been checked by code that shares nothing with the code that found it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from masksynth.backends import Limits, Objective, Status
from masksynth.errors import Contradiction, InvalidInstance, MasksynthError, Unsupported
from masksynth.mask import Mask
from masksynth.posets import closure
from masksynth.sparse import Edge, SparseProblem, construct
from masksynth.sparse.engines import PORTFOLIO, sparse_search
from masksynth.sparse.sparse_answer import SparseAnswer as SparseAnswer
from masksynth.sparse.sparse_answer import certificate_record
from masksynth.sparse.sparse_answer import record as record
from masksynth.verify.check_sparse_flow import check_flow
from masksynth.versions import versions

MAX_SEARCH = 1_500
"""Maximum number of positions of a flow that is searched ..."""
MAX_WAYS = 60_000
"""... and most triples q > w > k in it (those of a chain of 71); larger flows get a construction."""
MAX_CLOSED = 8_192
"""Maximum number of positions of a relation whose closure is taken; a larger one must be closed already."""
AUTO_EFFORT = 60.0
"""Effort of ``auto`` if no limit is given: about a minute, and deterministic."""


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
    """Find the mask of least weight through which L layers carry exactly the flow of a relation, and check it.

    With R the reflexive and transitive closure of the relation, the answer A satisfies ``(A or I)^L = R``.

    Parameters
    ----------
    relation : (n, n) bool array, Mask, or path of a mask file
        ``relation[q, k]`` is true iff q may attend to k. Its closure is taken; above ``MAX_CLOSED`` positions a Mask
        must be closed already.
    layers : int, optional
        L; None: any number of layers (the transitive reduction).
    forced, forbidden : iterable of (query, key)
        Edges that must, or must not, be in the mask.
    weights : mapping of (query, key) to int, optional
        Cost of an edge, default 1.
    layered : bool
        Whether each layer has a mask of its own, ``A_1`` the first: ``(A_L or I) ... (A_1 or I) = R``, with the least
        weight summed over all layers.
    backend : str
        ``auto`` searches with all engines of ``PORTFOLIO`` if the flow is small (``MAX_SEARCH``, ``MAX_WAYS``), for
        ``AUTO_EFFORT`` unless limits are given, and constructs a mask otherwise. ``construct`` never searches; any
        other name runs that engine alone.
    limits : Limits, optional
    progress : function, optional
        Called with the best weight and bound so far during a search.

    Returns
    -------
    SparseAnswer

    Raises
    ------
    InvalidInstance
        If the relation, a weight or an edge is invalid.
    Unsupported
        If the flow is too large for the named engine, or a construction was requested with weights, forced or forbidden
        edges.
    WrongAnswer
        If the checker rejects the result; this is a defect of masksynth.

    Examples
    --------
    >>> import masksynth as ms
    >>> answer = ms.sparsify(np.tril(np.ones((7, 7), bool)), layers=2)
    >>> answer.status.name, answer.objective
    ('OPTIMAL', Objective(value=10, bound=10))
    """
    started = perf_counter()
    flow, closed = close_flow(relation)
    request = _Request(flow, layers, closed, backend, limits or Limits(), started)
    options = (frozenset(forced), frozenset(forbidden), dict(weights or {}), layered)
    if backend == "construct" or (backend == "auto" and not any(options) and not is_searchable(flow)):
        if any(options):
            raise Unsupported(
                "a construction supports neither weights nor forced or forbidden edges, and has one mask for all"
                " layers; name an engine"
            )
        return _construct(request)
    if not is_searchable(flow):
        raise Unsupported(
            f"a flow of {flow.size} positions and {request.pairs} pairs is too large to search; use --backend construct"
        )
    return _search(request, SparseProblem(flow.dense(), layers, *options), progress)


@dataclass(frozen=True)
class _Request:
    """The arguments of `sparsify`, and when it was called (``time.perf_counter``)."""

    flow: Mask
    layers: int | None
    closed: bool
    backend: str
    limits: Limits
    started: float

    @property
    def pairs(self) -> int:
        """Number of pairs q != k of the flow."""
        return self.flow.pairs - self.flow.size

    @property
    def description(self) -> str:
        """The problem in words, for a contradiction."""
        depth = "any number of layers" if self.layers is None else f"{self.layers} layers"
        return f"flow of {self.flow.size} positions and {self.pairs} pairs through {depth}"

    def answer_with(
        self, mask: Mask, objective: Objective, certificate: Mapping[str, Any], **more: Any
    ) -> SparseAnswer:
        """Return the answer with a checked mask."""
        status = Status.OPTIMAL if objective.bound == objective.value else Status.FEASIBLE
        return self.answer(status, mask, objective, certificate, **more)

    def answer(
        self,
        status: Status,
        mask: Mask | None,
        objective: Objective | None,
        certificate: Mapping[str, Any],
        **more: Any,
    ) -> SparseAnswer:
        """Return an answer of any status."""
        return SparseAnswer(
            status,
            mask,
            objective,
            certificate,
            pairs=self.pairs,
            layers=self.layers,
            closed=self.closed,
            backend=self.backend,
            versions=versions(),
            limits=self.limits,
            seconds=perf_counter() - self.started,
            **more,
        )


def _construct(request: _Request) -> SparseAnswer:
    from masksynth.export.mask_arrays import mask_of_edges

    construction = construct(request.flow, request.layers)
    value, bound = construction.edges, construction.bound
    mask = mask_of_edges(construction.query, construction.key, request.flow.size)
    check_flow(mask, request.flow, request.layers)
    if bound > value:
        raise Contradiction(construction.bound_proof, bound, construction.scheme, value, request.description)
    certificate = {"scheme": construction.scheme, "bound": construction.bound_proof}
    return request.answer_with(mask, Objective(value, bound), certificate)


def _search(request: _Request, problem: SparseProblem, progress: Callable[[int, int], None] | None) -> SparseAnswer:
    limits = request.limits
    if request.backend == "auto" and limits.seconds is None and limits.effort is None:
        limits = replace(limits, effort=AUTO_EFFORT)
        request = replace(request, limits=limits)
    engines = PORTFOLIO if request.backend == "auto" else (request.backend,)
    try:
        outcome = sparse_search(problem, engines, limits, progress)
    except Contradiction as error:
        raise error.within(request.description) from error
    reduction = outcome.reduction
    if reduction.unreachable is not None:
        return request.answer(Status.INFEASIBLE, None, None, {}, problem=problem, unreachable=reduction.unreachable)
    searched = [edge for standing in outcome.standings for edge in standing.chosen]
    if problem.layered:
        mask = _layered_mask(problem, searched)
    else:
        mask = _uniform_mask(problem.size, {*reduction.forced, *reduction.chosen, *searched})
    check_flow(mask, request.flow, problem.layers)
    fixed_cost = problem.cost(reduction.forced | reduction.chosen)
    value = fixed_cost + sum(standing.upper for standing in outcome.standings)
    lower = fixed_cost + sum(standing.lower for standing in outcome.standings)
    bound = lower if outcome.floor is None else max(lower, outcome.floor)
    _check_weight(problem, mask, value)
    if bound > value:  # no component has a bound above its value, so this is the bound of the construction
        raise Contradiction(outcome.floor_proof, bound, "the search", value, request.description)
    certificate = certificate_record(outcome, fixed_cost)
    return request.answer_with(mask, Objective(value, bound), certificate, problem=problem, outcome=outcome)


def close_flow(relation: Any) -> tuple[Mask, bool]:
    """Return the reflexive and transitive closure of a relation as a mask, and whether the relation was closed already.

    Examples
    --------
    >>> close_flow(np.array([[True, False, False], [True, True, False], [False, True, True]]))
    (Mask(size=3, tables=1, pairs=6), False)
    """
    if isinstance(relation, (str, Path)):
        from masksynth.subject.mask_file import read_mask

        relation = read_mask(relation)
    mask = relation if isinstance(relation, Mask) else Mask.from_dense(np.asarray(relation))
    if mask.tables != 1:
        raise InvalidInstance(f"expected one flow, got a mask of {mask.tables} tables", "", "give one (n, n) relation")
    if mask.size > MAX_CLOSED and isinstance(relation, Mask):
        return mask, True  # if it is not closed, the construction fails its check
    flow = Mask.from_dense(closure(mask.dense()))
    return flow, flow == mask


def is_searchable(flow: Mask) -> bool:
    """Return whether a flow is small enough to be searched: by its positions, and its triples q > w > k."""
    if flow.size > MAX_SEARCH:
        return False
    dense = flow.dense()
    np.fill_diagonal(dense, False)
    strict = dense.astype(np.float32)
    return float((strict @ strict)[dense].sum()) <= MAX_WAYS  # (strict @ strict)[q, k] counts the w between q and k


def _uniform_mask(size: int, edges: Iterable[tuple[int, ...]]) -> Mask:
    from masksynth.export.mask_arrays import mask_of_edges

    pairs = np.array(sorted(edges), np.int64).reshape(-1, 2)
    return mask_of_edges(pairs[:, 0], pairs[:, 1], size)


def _layered_mask(problem: SparseProblem, edges: Iterable[tuple[int, ...]]) -> Mask:
    """Return a mask with one table for each layer."""
    tables = np.zeros((problem.layers or 1, problem.size, problem.size), bool)
    tables[:, range(problem.size), range(problem.size)] = True
    for layer, query, key in edges:
        tables[layer - 1, query, key] = True
    return Mask.from_dense(tables)


def _check_weight(problem: SparseProblem, mask: Mask, value: int) -> None:
    """Raise unless the mask has all forced and no forbidden edges, and its weight is ``value``."""
    tables = mask.dense().reshape(mask.tables, problem.size, problem.size)
    edges = [(int(q), int(k)) for _, q, k in np.argwhere(tables) if q != k]
    if set(edges) & problem.forbidden or any(not table[edge] for edge in problem.forced for table in tables):
        raise MasksynthError("the search ignored forced or forbidden edges; please report this relation")
    if problem.cost(edges) != value:
        raise MasksynthError(
            f"the mask weighs {problem.cost(edges)}, the search claims {value}; please report this relation"
        )
