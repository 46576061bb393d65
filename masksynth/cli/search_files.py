"""The options of a search that writes files: its formula (``--emit``), its proof (``--proof``), and ``--force``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.backends import Limits, Status
from masksynth.errors import MasksynthError, Unsupported
from masksynth.files import check_file, check_folder, make_folder
from masksynth.terminal import output_file

if TYPE_CHECKING:
    from masksynth.sparse.sparse_answer import SparseAnswer
    from masksynth.tasks import Instance

EXIT = {Status.OPTIMAL: 0, Status.FEASIBLE: 0, Status.INFEASIBLE: 1, Status.UNKNOWN: 3}
"""Exit code of each status."""
OPTIONS = (
    click.option(
        "--emit",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=output_file,
        help="Also write the search as DIMACS WCNF (2022 format).",
    ),
    click.option(
        "--proof",
        type=click.Path(path_type=Path),
        callback=output_file,
        help="Also write proofs of a sparse bound as a folder.",
    ),
    click.option("--force", is_flag=True, help="Replace existing outputs."),
)


def search_file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gathers them in a record that is a `SearchFiles`."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class SearchFiles:
    """Files that are written from a search.

    Parameters
    ----------
    emit : path, optional
        The search as WCNF.
    proof : path, optional
        Folder of proofs of a sparse bound.
    force : bool
        Whether to replace existing files.
    """

    emit: Path | None
    proof: Path | None
    force: bool

    def check_search(self, backend: str, inputs: Sequence[Path]) -> None:
        """Raise before any work is done if the files cannot be written, or the backend has no search."""
        if self.emit is not None:
            check_file(self.emit, self.force, inputs)
            try:
                make_folder(self.emit.absolute().parent)
            except OSError as error:
                fact = f"{self.emit}: the search cannot be written: {error.strerror or error}"
                raise MasksynthError(f"{fact}; choose another place") from error
        if backend == "construct" and (self.emit is not None or self.proof is not None):
            raise Unsupported("a construction has neither a search nor a proof to write; name another backend")
        if self.proof is not None:
            check_folder(self.proof, self.force, inputs, lambda name: True)


def write_search_files(question: Instance, thin: SparseAnswer | None, files: SearchFiles, limits: Limits) -> None:
    """Write the search of an instance, or the search and the proofs of its sparse answer."""
    if thin is not None:
        write_sparse_search_files(thin, files, limits)
    elif files.emit is not None:
        from masksynth.problem import Problem
        from masksynth_solvers.encoding import write_wcnf

        write_wcnf(Problem(question.family, question.layers), files.emit, files.force)


def write_sparse_search_files(thin: SparseAnswer, files: SearchFiles, limits: Limits) -> None:
    """Write the sparse search and the proofs of its bounds."""
    if files.emit is None and files.proof is None:
        return
    if thin.problem is None or thin.outcome is None:
        raise Unsupported("a construction has neither a search nor a proof to write; give a smaller mask")
    if files.emit is not None:
        from masksynth_solvers.sparse.wcnf import write_sparse_wcnf

        write_sparse_wcnf(thin.problem, files.emit, files.force)
    if files.proof is not None and thin.mask is not None:
        from masksynth.verify.proof import check_proof
        from masksynth_solvers.sparse.write_sparse_proof import write_proof

        bounds = [standing.lower for standing in thin.outcome.standings]
        write_proof(
            files.proof,
            thin.problem,
            thin.outcome.reduction,
            bounds,
            thin.mask.dense(),
            limits,
            force=files.force,
            inspect=check_proof,
        )
