"""A sparse search as a file for any MaxSAT solver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from masksynth.errors import MasksynthError
from masksynth.sparse import SparseProblem, reduce
from masksynth_solvers.encoding import write_lines
from masksynth_solvers.sparse.encoding import encode, encode_layers


def sparse_wcnf(problem: SparseProblem) -> Iterator[str]:
    """Lines of a sparse problem in the 2022 WCNF format, all parts in a row: the optimum plus the offset is the weight of the mask.

    Examples
    --------
    >>> import numpy as np
    >>> next(sparse_wcnf(SparseProblem(np.tril(np.ones((5, 5), bool)), 2)))
    'c offset 4'
    """
    reduction = reduce(problem)
    if reduction.unreachable is not None:
        raise MasksynthError(f"the allowed edges do not connect {reduction.unreachable}; there is nothing to search")
    settled = 0 if problem.layered else problem.cost(reduction.sure | reduction.chosen)
    yield f"c offset {settled}"
    before = 0
    for formula in (
        [encode_layers(problem)]
        if problem.layered
        else (encode(problem, reduction.sure, part) for part in reduction.parts)
    ):
        for clause in formula.clauses:
            yield f"h {' '.join(str(literal + before if literal > 0 else literal - before) for literal in clause)} 0"
        for variable, weight in formula.weights.items():
            if weight:
                yield f"{weight} {-(variable + before)} 0"
        before += len(formula.names)


def write_sparse_wcnf(
    problem: SparseProblem, path: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()
) -> None:
    """Write a sparse search to a file, atomically (``masksynth solve --sparse --emit``); refused as by `write_file`."""
    write_lines(sparse_wcnf(problem), path, force, inputs)
