"""Write a sparse search as a WCNF file for any MaxSAT solver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from masksynth.errors import MasksynthError
from masksynth.sparse import SparseProblem, reduce
from masksynth_solvers.encoding import write_lines
from masksynth_solvers.sparse.path_encoding import encode, encode_layers


def sparse_wcnf(problem: SparseProblem) -> Iterator[str]:
    """Yield the lines of a sparse problem in the 2022 WCNF format, one component after another.

    The optimum plus the offset is the least weight of a mask.

    Examples
    --------
    >>> import numpy as np
    >>> next(sparse_wcnf(SparseProblem(np.tril(np.ones((5, 5), bool)), 2)))
    'c offset 4'
    """
    reduction = reduce(problem)
    if reduction.unreachable is not None:
        raise MasksynthError(f"the allowed edges do not connect {reduction.unreachable}; there is nothing to search")
    fixed_cost = 0 if problem.layered else problem.cost(reduction.forced | reduction.chosen)
    yield f"c offset {fixed_cost}"
    shift = 0  # variables of the formulas before
    for formula in (
        [encode_layers(problem)]
        if problem.layered
        else (encode(problem, reduction.forced, component) for component in reduction.components)
    ):
        for clause in formula.clauses:
            yield f"h {' '.join(str(literal + shift if literal > 0 else literal - shift) for literal in clause)} 0"
        for variable, weight in formula.weights.items():
            if weight:
                yield f"{weight} {-(variable + shift)} 0"
        shift += len(formula.names)


def write_sparse_wcnf(
    problem: SparseProblem, path: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()
) -> None:
    """Write a sparse search to a file (``masksynth solve --sparse --emit``), as `masksynth.files.write_file` does."""
    write_lines(sparse_wcnf(problem), path, force, inputs)
