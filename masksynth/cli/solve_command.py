"""``masksynth solve``, ``explain`` and ``backends``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.backends import Limits, backend, names
from masksynth.cli.report_options import REPORT, TOKENIZER, check_report
from masksynth.cli.search_files import EXIT, SearchFiles, search_file_options, write_search_files
from masksynth.cli.search_limits import limit_options
from masksynth.errors import Unsupported
from masksynth.terminal import (
    INSTANCE,
    JSON,
    QUIET,
    check_outputs,
    input_files,
    layers_choice,
    plain,
    print_json,
    progress,
    read_instance,
    to_the_end,
)
from masksynth.terminal.gather import gather

if TYPE_CHECKING:
    from masksynth.answer import Answer
    from masksynth.tasks import Instance


@dataclass(frozen=True)
class AnswerFiles(SearchFiles):
    """Files that ``masksynth solve`` writes.

    Parameters
    ----------
    emit, proof, force
        As in `SearchFiles`.
    output : path, optional
        Folder of the answer.
    report : path, optional
        HTML report.
    tokenizer : str, optional
        Folder or cached name of the tokenizer that the report shows token ids with.
    """

    output: Path | None
    report: Path | None
    tokenizer: str | None

    def check(self, inputs: list[Path], question: Instance, backend: str) -> None:
        """Raise before any work is done if one of the files cannot be written."""
        from masksynth.export.answer_folder import is_answer_file
        from masksynth.files import check_folder

        check_outputs(inputs, self.output, self.emit, self.proof, self.report)
        if self.emit is not None and question.layers is not None and not question.sparse:
            raise Unsupported("--emit does not support a finite depth; give --layers any")
        if self.proof is not None and not question.sparse:
            raise Unsupported("--proof writes the proof of a sparse optimum; give --sparse")
        self.check_search(backend if question.sparse else "", inputs)
        check_report(self.report, self.force, inputs, self.tokenizer)
        if self.output is not None:
            check_folder(self.output, self.force, inputs, is_answer_file)


@click.command("solve")
@INSTANCE
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the answer as a folder.")
@click.option("--backend", default="auto", show_default=True, help="auto, or a name that `masksynth backends` lists.")
@layers_choice("Number of layers of the model", "the instance's")
@click.option("--sparse", is_flag=True, default=None, help="Find the fewest mask edges that carry the flow.")
@limit_options
@search_file_options
@REPORT
@TOKENIZER
@JSON
@QUIET
@gather("files", AnswerFiles)
def solve_command(
    instance: str,
    files: AnswerFiles,
    backend: str,
    layers: Any,
    sparse: bool | None,
    limits: Limits,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the smallest merged task of INSTANCE (a JSON file, or - for stdin).

    \b
    masksynth solve instances/butterfly-8.json -o out
    masksynth solve instance.json --layers 4 --backend criterion --json
    masksynth solve instances/sparse/chain-12-layers-2.json --proof proof
    masksynth solve instance.json --report report.html

    Prints the answer; -o DIR writes solution.json, mask.safetensors, mask.npz and flex_mask.py. After Ctrl-C or
    --time-limit the best answer so far is returned, marked FEASIBLE.
    """
    from masksynth.answer import record
    from masksynth.cli.answer_text import answer_text
    from masksynth.solve import solve
    from masksynth.terminal.claim_target import claim_target

    inputs = input_files(instance)
    question = read_instance(instance)
    question = replace(question, layers=question.layers if layers is ... else layers, sparse=sparse or question.sparse)
    files.check(inputs, question, backend)
    with claim_target(files.output):
        verb = "sparsifying" if question.sparse else "merging"
        with progress(f"{verb} {plain(question.name)} ...", quiet) as show_progress:
            answer = solve(question, backend=backend, limits=limits, progress=show_progress)
        with to_the_end():
            _write_answer(question, answer, files)
            if as_json:
                print_json(record(answer))
            elif not quiet:
                click.echo(answer_text(question, answer, files.output))
    if answer.merged is not None:
        with progress("writing the proof ...", quiet):
            write_search_files(question, answer.sparse, files, limits)
    sys.exit(EXIT[answer.status])


def _write_answer(question: Instance, answer: Answer, files: AnswerFiles) -> None:
    """Write the folder and the report of an answer."""
    from masksynth.answer import write

    if files.output is not None and answer.merged is not None:
        write(answer, files.output, files.force)
    if files.report is not None:
        from masksynth.report import write_report

        write_report(files.report, question, answer=answer, tokenizer=files.tokenizer, force=files.force)


@click.command("backends")
@JSON
def list_backends(as_json: bool) -> None:
    """List the backends, whether they can run, and their versions.

    \b
    masksynth backends
    """
    from masksynth.sparse.engines import engine_names

    rows: list[dict[str, Any]] = []
    for name in names():
        try:
            versions = backend(name).versions()
            rows.append({"name": name, "available": True, "versions": versions, "remedy": ""})
        except Unsupported as error:
            rows.append({"name": name, "available": False, "versions": {}, "remedy": str(error)})
    if as_json:
        print_json(rows)
        return
    for row in rows:
        text = ", ".join(f"{package} {version}" for package, version in row["versions"].items())
        click.echo(f"{row['name']:12} {text if row['available'] else row['remedy']}")
    click.echo(f"for sparse masks: auto, construct, {', '.join(engine_names())}")


@click.command()
@INSTANCE
@click.argument("task")
@click.argument("node")
@click.argument("other_task")
@click.argument("other_node")
@layers_choice("Number of layers at which nodes are compared", "the instance's")
@JSON
def explain(instance: str, task: str, node: str, other_task: str, other_node: str, layers: Any, as_json: bool) -> None:
    """Explain why two nodes of INSTANCE were merged or not.

    The reason is the first difference in identity, or in what the nodes depend on.

    \b
    masksynth explain instances/butterfly-8.json "predict w2" f1 "predict w3" f1
    """
    from masksynth.merge.explain import explain as explain_nodes

    question = read_instance(instance)
    depth = question.layers if layers is ... else layers
    explanation = explain_nodes(question.family, (task, node), (other_task, other_node), depth)
    if as_json:
        path = [list(pair) for pair in explanation.path]
        print_json({"merged": explanation.merged, "reason": explanation.reason, "path": path})
    else:
        click.echo(explanation.reason)
