"""``masksynth search``: its options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from masksynth.terminal import JSON, QUIET, layers_choice, print_json
from masksynth.terminal.gather import gather


@dataclass(frozen=True)
class SolveOptions:
    """Options for solving instances; they have no meaning where results are read."""

    backend: str
    layers: Any
    sparse: bool | None
    jobs: int | None
    workers: int
    seed: int
    time_limit: float | None
    kill_after: float | None
    budget: float | None
    memory: int | None
    dask: str | None
    answers: Path | None
    ordered: bool


@dataclass(frozen=True)
class ResultFiles:
    """Files to which results are written, and with which they are compared.

    Parameters
    ----------
    output : path, optional
        The file of results.
    resume, force : bool
        Whether to continue the file, or to overwrite it.
    report : bool
        Whether to print a summary and draw a plot.
    compare : path, optional
        Earlier results, or a manifest.
    table : path, optional
        Parquet or CSV table.
    """

    output: Path | None
    resume: bool
    force: bool
    report: bool
    compare: Path | None
    table: Path | None

    @property
    def mode(self) -> str:
        """How the file of results is opened."""
        return "resume" if self.resume else "force" if self.force else "new"


@click.command("search", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[INSTANCES]... [--PARAMETER VALUES]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one line of JSON per instance [default: stdout].",
)
@click.option(
    "--family",
    help="Solve instances of a catalogue family: --n 4..64, --n 4..64..4 or --n 4,8,16; options may be repeated.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="As in solve; several names, separated by commas, run in parallel until the first proof.",
)
@layers_choice("Number of layers of the model", "the instance's")
@click.option("--sparse", is_flag=True, default=None, help="Find the fewest edges.")
@click.option("--jobs", type=click.IntRange(1), metavar="COUNT", help="Worker processes [default: processors].")
@click.option(
    "--workers",
    type=click.IntRange(1, 4096),
    metavar="COUNT",
    default=1,
    show_default=True,
    help="Threads of a solver, at most processors / jobs.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    metavar="INTEGER",
    default=0,
    show_default=True,
    help="Random seed of the solvers.",
)
@click.option(
    "--time-limit", type=click.FloatRange(0, 1e9), metavar="SECONDS", help="Time for each instance and backend."
)
@click.option(
    "--kill-after",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Kill the worker of an instance that takes longer.",
)
@click.option(
    "--budget", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Time for all instances together."
)
@click.option("--memory", type=click.IntRange(1), metavar="MEGABYTES", help="Address space of each worker.")
@click.option("--dask", metavar="tcp://HOST:PORT", help="Solve on the workers of this Dask scheduler.")
@click.option(
    "--answers",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each answer as a folder inside this folder.",
)
@click.option("--resume", is_flag=True, help="Continue the file of -o: solve what is missing or failed.")
@click.option("--force", is_flag=True, help="Overwrite the file of -o, the plot and the table.")
@click.option("--ordered", is_flag=True, help="Write results in the order of the instances, not as they finish.")
@click.option(
    "--report",
    is_flag=True,
    help="Print a summary, and plot solved instances over time next to the results (FILE.svg).",
)
@click.option(
    "--compare",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Show what changed since these results.",
)
@click.option(
    "--table", type=click.Path(path_type=Path, dir_okay=False), help="Write the results as a .parquet or .csv table."
)
@JSON
@QUIET
@gather("options", SolveOptions)
@gather("files", ResultFiles)
def search_command(
    arguments: tuple[str, ...],
    family: str | None,
    files: ResultFiles,
    options: SolveOptions,
    as_json: bool,
    quiet: bool,
) -> None:
    """Solve many instances in parallel: files, folders, globs, or a sweep over a family.

    \b
    masksynth search instances/ -o results.jsonl --jobs 2
    masksynth search --family butterfly --n 4..64 -o results.jsonl --resume
    masksynth search results.jsonl --report

    Writes one line of JSON per instance as it finishes: its status and objective, or the reason for the failure. After
    Ctrl-C the finished results are kept, and --resume continues. Arguments that end in .jsonl are results to read, not
    instances to solve.

    Exit codes: 0 every instance is answered, 1 some failed or became worse, 2 error (usage, full disk), 3 stopped
    before the end.
    """
    from masksynth.cli.run_search import run_search

    views, code = run_search(arguments, family, files, options, quiet)
    if as_json:
        print_json({name: value for name, (value, _) in views.items()})
    elif not quiet:
        click.echo("\n\n".join(text for _, text in views.values() if text))
    raise SystemExit(code)
