"""The result of a sparse search, and its records as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from masksynth.backends import Limits, Objective, Status
from masksynth.mask import Mask
from masksynth.sparse import Component, Edge, SparseProblem
from masksynth.sparse.engines import SparseOutcome, Standing


@dataclass(frozen=True)
class SparseAnswer:
    """Result of `sparsify`. Its mask has passed the independent checker.

    Parameters
    ----------
    status : Status
        OPTIMAL, FEASIBLE, or INFEASIBLE (forbidden edges cut the flow).
    mask : Mask or None
        One table with a full diagonal, or L tables, first layer first, of a layered answer.
    objective : Objective or None
        Weight of the edges off the diagonal, and a proved bound; equal iff optimal.
    certificate : mapping
        How value and bound were found.
    pairs : int
        Number of pairs q != k between which information flows: the edges of the dense mask.
    layers : int or None
        L; None: any number of layers.
    closed : bool
        Whether the given relation was transitive; if not, its closure was taken.
    backend : str
        The backend that was requested.
    versions : mapping of str to str
        Versions of masksynth and of the solvers.
    limits : Limits
        Limits of the search.
    seconds : float
        Wall-clock time in seconds.
    problem : SparseProblem or None
        The problem that was searched; None for a construction.
    outcome : SparseOutcome or None
        Solution and bound of each component; None for a construction.
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


def certificate_record(outcome: SparseOutcome, fixed_cost: int) -> dict[str, Any]:
    """Return how a search came to its value and bound, as JSON values.

    Parameters
    ----------
    outcome : SparseOutcome
    fixed_cost : int
        Weight of the edges outside the components.
    """
    reduction = outcome.reduction
    return {
        "settled": fixed_cost,
        "sure": len(reduction.forced),
        "packing": len(reduction.cuts),
        "floor": {"bound": outcome.floor, "proof": outcome.floor_proof},
        "parts": [
            _component_record(component, standing)
            for component, standing in zip(reduction.components, outcome.standings, strict=True)
        ],
    }


def _component_record(component: Component, standing: Standing) -> dict[str, Any]:
    return {
        "demands": len(component.pairs),
        "edges": len(component.edges),
        "value": standing.upper,
        "bound": standing.lower,
        "found_by": standing.found_by,
        "proved_by": standing.proved_by,
    }


def record(answer: SparseAnswer) -> dict[str, Any]:
    """Return a sparse answer as plain JSON values, with a list of its edges.

    Examples
    --------
    >>> from masksynth.sparse.sparsify import sparsify
    >>> fields = record(sparsify(np.tril(np.ones((3, 3), bool)), layers=2))
    >>> fields["status"], fields["objective"], fields["edges"]
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
        "edges": mask_edges(answer.mask),
        "certificate": dict(answer.certificate),
        "backend": answer.backend,
        "versions": dict(answer.versions),
        "limits": asdict(answer.limits),
        "seconds": round(answer.seconds, 6),
    }


def mask_edges(mask: Mask) -> list[list[int]]:
    """Return the off-diagonal edges of a mask: [query, key], or [layer, query, key] if it has several tables.

    Examples
    --------
    >>> mask_edges(Mask.from_dense(np.tril(np.ones((2, 2), bool))))
    [[1, 0]]
    """
    from masksynth.export.mask_arrays import off_diagonal

    if mask.tables == 1:
        return [[int(query), int(key)] for query, key in zip(*off_diagonal(mask), strict=True)]
    return [[int(table) + 1, int(query), int(key)] for table, query, key in np.argwhere(mask.dense()) if query != key]
