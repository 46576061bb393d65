"""``masksynth sparsify``, and the files that a sparse search can write: its formula and its proof."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from masksynth.backends import Limits, Status
from masksynth.cli.answer_text import sparse_text
from masksynth.cli.search_limits import limit_options
from masksynth.errors import MasksynthError, Unsupported
from masksynth.files import check_file, check_folder, make_folder
from masksynth.problem import Problem
from masksynth.sparse.sparse_answer import SparseAnswer
from masksynth.sparse.sparse_answer import record as sparse_record
from masksynth.sparse.sparsify import sparsify as sparsify_mask
from masksynth.subject.mask_file import check_mask_target, write_mask
from masksynth.tasks import Instance
from masksynth.terminal import (
    JSON,
    QUIET,
    SubjectChoice,
    check_outputs,
    layers_option,
    mask_options,
    output_file,
    plain,
    print_json,
    progress,
    to_the_end,
)
from masksynth.terminal.gather import gather

EXIT = {Status.OPTIMAL: 0, Status.FEASIBLE: 0, Status.INFEASIBLE: 1, Status.UNKNOWN: 3}


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


@dataclass(frozen=True)
class MaskFiles:
    """Files that ``masksynth sparsify`` writes.

    Parameters
    ----------
    output : path, optional
        The sparse mask.
    emit, proof, force
        As in `SearchFiles`.
    """

    output: Path | None
    emit: Path | None
    proof: Path | None
    force: bool

    @property
    def of_search(self) -> SearchFiles:
        """The files that are written from the search."""
        return SearchFiles(self.emit, self.proof, self.force)

    def check(self, inputs: Sequence[Path], backend: str) -> None:
        """Raise before any work is done if one of the files cannot be written."""
        check_outputs(inputs, self.output, self.emit, self.proof)
        if self.output is not None:
            check_mask_target(self.output, self.force, inputs)
        check_search_files(self.of_search, backend, inputs)


def check_search_files(files: SearchFiles, backend: str, inputs: Sequence[Path]) -> None:
    """Raise before any work is done if the files cannot be written, or the backend has no search."""
    if files.emit is not None:
        check_file(files.emit, files.force, inputs)
        try:
            make_folder(files.emit.absolute().parent)
        except OSError as error:
            fact = f"{files.emit}: the search cannot be written: {error.strerror or error}"
            raise MasksynthError(f"{fact}; choose another place") from error
    if backend == "construct" and (files.emit is not None or files.proof is not None):
        raise Unsupported("a construction has neither a search nor a proof to write; name another backend")
    if files.proof is not None:
        check_folder(files.proof, files.force, inputs, lambda name: True)


def write_search_files(question: Instance, thin: SparseAnswer | None, files: SearchFiles, limits: Limits) -> None:
    """Write the search of an instance, or the search and the proofs of its sparse answer."""
    if thin is not None:
        write_sparse_search_files(thin, files, limits)
    elif files.emit is not None:
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
        from masksynth_solvers.sparse.certificate import write_proof

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


def _rules_option(_: click.Context, __: click.Parameter, path: Path | None) -> dict[str, Any]:
    """Return the arguments of `sparsify` that a rules file sets, and the file itself as ``source``."""
    if path is None:
        return {}
    from masksynth.cli.rules_file import read_rules

    return {**read_rules(path), "source": path}


@click.command()
@mask_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    callback=output_file,
    help="Write the mask: .npy, .npz or .safetensors.",
)
@click.option(
    "--layers",
    callback=layers_option,
    metavar="COUNT",
    help="Number of layers of the model, or 'any' [default: any].",
)
@click.option("--backend", default="auto", show_default=True, help="auto, construct, sat, maxsat, cpsat, ilp or brute.")
@click.option("--layered", is_flag=True, help="A mask for each layer, with the fewest edges in total.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    callback=_rules_option,
    help="JSON file of forced and forbidden edges and weights.",
)
@limit_options
@click.option(
    "--emit",
    type=click.Path(path_type=Path),
    callback=output_file,
    help="Also write the search as DIMACS WCNF (2022 format).",
)
@click.option(
    "--proof", type=click.Path(path_type=Path), callback=output_file, help="Also write proofs of the bound as a folder."
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@JSON
@QUIET
@gather("files", MaskFiles)
def sparsify(
    subject: SubjectChoice,
    files: MaskFiles,
    layers: Any,
    backend: str,
    layered: bool,
    rules: dict[str, Any],
    limits: Limits,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the fewest edges through which L layers carry the flow of a mask.

    \b
    masksynth sparsify mask.npy --layers 2 -o sparse.npy
    masksynth sparsify out --layers 4 --proof proof && masksynth check-proof proof

    SUBJECT is a mask file (- for stdin), the folder of an answer or of packed batches, or package.module:mask_mod; the
    transitive closure of its mask is taken. --rules is a JSON file: {"forced": [[q, k], ...], "forbidden": [[q, k],
    ...], "weights": [[q, k, w], ...]}.
    """
    inputs = subject.input_files(rules.pop("source", None))
    files.check(inputs, backend)
    relation = subject.read().mask
    depth = None if layers is ... else layers
    with progress(f"sparsifying {plain(subject.path)} ...", quiet) as show_progress:
        answer = sparsify_mask(
            relation, depth, layered=layered, backend=backend, limits=limits, progress=show_progress, **rules
        )
    with to_the_end():
        if files.output is not None and answer.mask is not None:
            write_mask(answer.mask, files.output, files.force, inputs)
        if as_json:
            print_json(sparse_record(answer))
        elif not quiet:
            click.echo(sparse_text(subject.path, answer, files.output))
    with progress("writing the proof ...", quiet):
        if answer.mask is not None:
            write_sparse_search_files(answer, files.of_search, limits)
    sys.exit(EXIT[answer.status])
