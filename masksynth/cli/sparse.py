"""``masksynth sparsify``: the fewest edges that carry the flow of a mask."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from masksynth.backends import Limits
from masksynth.cli.search_files import EXIT, SearchFiles, search_file_options, write_sparse_search_files
from masksynth.cli.search_limits import limit_options
from masksynth.terminal import (
    JSON,
    QUIET,
    SubjectChoice,
    check_outputs,
    layers_choice,
    mask_options,
    output_file,
    plain,
    print_json,
    progress,
    to_the_end,
)
from masksynth.terminal.gather import gather


@dataclass(frozen=True)
class MaskFiles(SearchFiles):
    """Files that ``masksynth sparsify`` writes.

    Parameters
    ----------
    emit, proof, force
        As in `SearchFiles`.
    output : path, optional
        The sparse mask.
    """

    output: Path | None

    def check(self, inputs: Sequence[Path], backend: str) -> None:
        """Raise before any work is done if one of the files cannot be written."""
        from masksynth.subject.mask_file import check_mask_target

        check_outputs(inputs, self.output, self.emit, self.proof)
        if self.output is not None:
            check_mask_target(self.output, self.force, inputs)
        self.check_search(backend, inputs)


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
@layers_choice("Number of layers of the model", "any")
@click.option("--backend", default="auto", show_default=True, help="auto, construct, sat, maxsat, cpsat, ilp or brute.")
@click.option("--layered", is_flag=True, help="A mask for each layer, with the fewest edges in total.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    callback=_rules_option,
    help="JSON file of forced and forbidden edges and weights.",
)
@limit_options
@search_file_options
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
    from masksynth.cli.answer_text import sparse_text
    from masksynth.sparse.sparse_answer import record as sparse_record
    from masksynth.sparse.sparsify import sparsify as sparsify_mask
    from masksynth.subject.mask_file import write_mask

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
            write_sparse_search_files(answer, files, limits)
    sys.exit(EXIT[answer.status])
