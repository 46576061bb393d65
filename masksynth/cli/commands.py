"""The commands themselves: they read options, call the library and print."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import masksynth
from masksynth.backends import Limits, Status, backend, names
from masksynth.cli.answer_text import told
from masksynth.cli.arrange import arrange
from masksynth.cli.audit import audit_command
from masksynth.cli.check_proof import check_proof
from masksynth.cli.diagnose import diagnose
from masksynth.cli.draw import draw_mask
from masksynth.cli.export import export
from masksynth.cli.families import list_catalog, new
from masksynth.cli.inspect import inspect_mask
from masksynth.cli.pack import pack, unpack
from masksynth.cli.report import REPORT, check_report
from masksynth.cli.search import search_command
from masksynth.cli.sparse import check_extras, sparsify, write_extras
from masksynth.cli.verify import verify
from masksynth.errors import Unsupported
from masksynth.solve import record, write
from masksynth.solve import solve as solve_instance
from masksynth.terminal import (
    INSTANCE,
    JSON,
    QUIET,
    Commands,
    check_outputs,
    input_files,
    layers_option,
    output_file,
    plain,
    print_json,
    progress,
    read_instance,
    to_the_end,
)

EXIT = {Status.OPTIMAL: 0, Status.FEASIBLE: 0, Status.INFEASIBLE: 1, Status.UNKNOWN: 3}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(masksynth.__version__, prog_name="masksynth")
def main() -> None:
    """Find the smallest single forward pass that trains a family of tasks, prove it, check it, and hand PyTorch the mask.

    \b
    masksynth new butterfly --n 8 | masksynth solve - -o out
    masksynth verify instance.json out

    Exit codes: 0 yes, 1 no (infeasible, check failed), 2 trouble (usage, bad file), 3 unknown (limit reached, no answer).
    """


@main.command()
@INSTANCE
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the answer as a folder.")
@click.option("--force", is_flag=True, help="Replace the answer in a folder that is not empty.")
@click.option("--backend", default="auto", show_default=True, help="auto, or one that `masksynth backends` lists.")
@click.option(
    "--layers",
    callback=layers_option,
    help="The model has this many layers ('any': any depth) [default: the instance's].",
)
@click.option("--sparse", is_flag=True, default=None, help="Ask for the fewest mask edges that carry the flow.")
@click.option("--time-limit", type=click.FloatRange(0, 1e9), help="Seconds for encoding and search [default: none].")
@click.option(
    "--effort",
    type=click.FloatRange(0, 1e9),
    help="Deterministic limit of a sparse search, in units of about a second.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="Threads of the solver; 1 is deterministic.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Random seed of the solver."
)
@click.option(
    "--emit",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=output_file,
    help="Also write the search as DIMACS WCNF (2022 format).",
)
@click.option(
    "--proof",
    type=click.Path(path_type=Path),
    callback=output_file,
    help="Also write proofs of a sparse optimum as a folder.",
)
@REPORT
@JSON
@QUIET
def solve(
    instance: str,
    output: Path | None,
    force: bool,
    backend: str,
    layers: Any,
    sparse: bool | None,
    time_limit: float | None,
    effort: float | None,
    workers: int,
    seed: int,
    emit: Path | None,
    proof: Path | None,
    report: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the smallest merged task of INSTANCE (a JSON file, or - for stdin).

    \b
    masksynth solve instances/butterfly-8.json -o out
    masksynth solve instance.json --layers 4 --backend criterion --json
    masksynth solve instances/sparse/chain-12-layers-2.json --proof proof
    masksynth solve instance.json --report report.html

    Prints the answer; -o DIR writes solution.json, mask.safetensors, mask.npz and flex_mask.py. Ctrl-C and --time-limit give the best
    answer so far, marked FEASIBLE.
    """
    from masksynth.export.answer_folder import is_answer_file
    from masksynth.files import check_folder, claim_target

    inputs = input_files(instance)
    asked = read_instance(instance)
    asked = replace(asked, layers=asked.layers if layers is ... else layers, sparse=sparse or asked.sparse)
    check_outputs(inputs, output, emit, proof, report)
    check_extras(asked, backend, emit, proof, force, inputs)
    check_report(report, force, inputs)
    if output is not None:
        check_folder(output, force, inputs, is_answer_file)
    with claim_target(output):
        with progress(f"{'thinning' if asked.sparse else 'merging'} {plain(asked.name)} ...", quiet) as told_so_far:
            limits = Limits(time_limit, workers, seed, effort)
            answer = solve_instance(asked, backend=backend, limits=limits, progress=told_so_far)
        with to_the_end():
            if output is not None and answer.merged is not None:
                write(answer, output, force)
            if report is not None:
                from masksynth.report import write_report

                write_report(report, asked, answer=answer, force=force)
            if as_json:
                print_json(record(answer))
            elif not quiet:
                click.echo(told(asked, answer, output))
    if answer.merged is not None:
        with progress("writing the proof ...", quiet):
            write_extras(asked, answer.sparse, emit, proof, force, limits)
    sys.exit(EXIT[answer.status])


main.add_command(verify)
main.add_command(sparsify)
main.add_command(check_proof)
main.add_command(pack)
main.add_command(arrange)
main.add_command(export)
main.add_command(audit_command)
main.add_command(inspect_mask)
main.add_command(draw_mask)
main.add_command(unpack)
main.add_command(new)
main.add_command(list_catalog)
main.add_command(search_command)
main.add_command(diagnose)


@main.command()
@JSON
def backends(as_json: bool) -> None:
    """List the backends, whether they can run, and their versions.

    \b
    masksynth backends
    """
    rows: list[dict[str, Any]] = []
    for name in names():
        try:
            found = backend(name)
            rows.append({"name": name, "available": True, "versions": found.versions(), "remedy": ""})
        except Unsupported as error:
            rows.append({"name": name, "available": False, "versions": {}, "remedy": str(error)})
    from masksynth.backends import engine_names

    if as_json:
        print_json(rows)
        return
    for row in rows:
        versions = ", ".join(f"{key} {value}" for key, value in row["versions"].items())
        click.echo(f"{row['name']:12} {versions if row['available'] else row['remedy']}")
    click.echo(f"for sparse masks: auto, construct, {', '.join(engine_names())}")


@main.command()
@INSTANCE
@click.argument("task")
@click.argument("node")
@click.argument("other_task")
@click.argument("other_node")
@click.option(
    "--layers",
    callback=layers_option,
    help="Judge equality at this many layers ('any': any depth) [default: the instance's].",
)
@JSON
def explain(instance: str, task: str, node: str, other_task: str, other_node: str, layers: Any, as_json: bool) -> None:
    """Say why two nodes of INSTANCE did or did not merge.

    The reason is the first difference in identity or upstream.

    \b
    masksynth explain instances/butterfly-8.json "predict w2" f1 "predict w3" f1
    """
    from masksynth.merge.explain import explain as explained

    asked = read_instance(instance)
    depth = asked.layers if layers is ... else layers
    found = explained(asked.family, (task, node), (other_task, other_node), depth)
    if as_json:
        print_json({"merged": found.merged, "reason": found.reason, "path": [list(pair) for pair in found.path]})
    else:
        click.echo(found.reason)
