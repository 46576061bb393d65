"""``masksynth search``: solve many instances, and read results."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from masksynth.backends import Limits
from masksynth.cli.search_arguments import check_distinct, list_files, split_arguments
from masksynth.cli.search_progress import Show, progress_bar
from masksynth.cli.write_results import write_results
from masksynth.draw.pictures import check_picture
from masksynth.search import Result, search, sweep
from masksynth.search.book import Book, read_results
from masksynth.search.cactus import write_cactus
from masksynth.search.compare import comparison_record, comparison_text
from masksynth.search.entries import paths
from masksynth.search.expected import compare_with, expectations, is_manifest, unpromised_failures
from masksynth.search.result import Question, Recalled
from masksynth.search.summary import summary, summary_record, summary_text
from masksynth.search.table import check_table, write_table
from masksynth.terminal import JSON, QUIET, check_outputs, input_files, layers_choice, print_json, standard_input
from masksynth.terminal.gather import gather
from masksynth.workers.dask import connected

MEGABYTE = 2**20


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
@click.option("--time-limit", type=float, metavar="SECONDS", help="Time for each instance and backend.")
@click.option("--kill-after", type=float, metavar="SECONDS", help="Kill the worker of an instance that takes longer.")
@click.option("--budget", type=float, metavar="SECONDS", help="Time for all instances together.")
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
    names, parameters = split_arguments(arguments, family)
    read = [Path(name) for name in names if name.endswith(".jsonl")]
    instances = [name for name in names if not name.endswith(".jsonl")]
    _check_use(instances, read, family, files)
    picture = _check_files(instances, read, files)
    code = 0
    if not read:
        code = _solve_all(instances, (family, parameters), files, options, quiet)
        if files.output is None:
            raise SystemExit(code)
        read = [files.output]
        if code == 1 and files.compare is not None and is_manifest(files.compare):
            code = min(1, unpromised_failures(expectations(files.compare), read_results(files.output)))
    views, is_worse = _view_results(read, picture, files)
    if as_json:
        print_json({name: value for name, (value, _) in views.items()})
    elif not quiet:
        click.echo("\n\n".join(text for _, text in views.values() if text))
    raise SystemExit(code or (1 if is_worse else 0))


def _check_use(instances: list[str], read: list[Path], family: str | None, files: ResultFiles) -> None:
    """Raise if the arguments do not fit together."""
    source = click.get_current_context().get_parameter_source
    given = [field.name for field in fields(SolveOptions) if source(field.name) is not ParameterSource.DEFAULT]
    if read and (instances or family or files.output or given):
        more = "".join(f", --{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{read[0]} holds results to read; omit instances, --family, -o{more}")
    if not (instances or family or read):
        raise click.UsageError("nothing to search; name instances, or --family")
    if files.output is None and (files.resume or files.force) and not read:
        raise click.UsageError("--resume and --force need -o")
    if files.output is None and (files.report or files.compare or files.table) and not read:
        raise click.UsageError("--report, --compare and --table need -o")
    if files.resume and files.force:
        raise click.UsageError("--resume continues the file and --force overwrites it; give one of them")


def _check_files(instances: list[str], read: list[Path], files: ResultFiles) -> Path | None:
    """Raise before any work is done if a file cannot be written; return the path of the plot, None without a report."""
    picture = (read[0] if read else files.output or Path("results")).with_suffix(".svg") if files.report else None
    check_distinct([*dict.fromkeys(read), *filter(None, (files.output, picture, files.table))])
    check_distinct([*filter(None, (files.output, files.compare))])
    check_outputs(input_files(files.compare, *list_files(instances)), files.table, picture)
    if files.table is not None:
        check_table(files.table, files.force or files.resume)
    if picture is not None:
        check_picture(picture, files.force or files.resume)
    return picture


def _read_source(
    instances: list[str], family: str | None, parameters: dict[str, Sequence[Any]]
) -> tuple[Iterator[Any], int | None]:
    """Return the instances of files, stdin and a sweep, and their number if it is known."""
    named = [path for instance in instances if instance != "-" for path in paths(instance)]
    piped = (line.rstrip("\n") for line in standard_input() if line.strip()) if "-" in instances else ()
    swept = sweep(family, **parameters) if family else ()
    total = None if "-" in instances else len(named) + (prod(map(len, parameters.values())) if family else 0)
    return chain(named, piped, swept), total


def _solve_all(
    instances: list[str],
    family_sweep: tuple[str | None, dict[str, Sequence[Any]]],
    files: ResultFiles,
    options: SolveOptions,
    quiet: bool,
) -> int:
    """Solve all instances and write each result as it comes; return the exit code."""
    limits = Limits(options.time_limit, options.workers, options.seed)
    source, total = _read_source(instances, *family_sweep)
    books: list[Book] = []
    shows: list[Show] = []

    def recall(name: str, question: Question) -> Recalled | None:
        recalled = books[0].recall(name, question)
        if recalled is not None and recalled.is_there:
            shows[0](recalled.result)
        return recalled

    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler))
        executor, jobs = stack.enter_context(connected(options.dask)) if options.dask else (None, None)
        results = search(
            source,
            backend=options.backend,
            layers=options.layers,
            sparse=True if options.sparse else ...,
            limits=limits,
            jobs=options.jobs or jobs,
            executor=executor,
            ordered=options.ordered,
            budget=options.budget,
            kill_after=options.kill_after,
            memory=None if options.memory is None else options.memory * MEGABYTE,
            answers=options.answers is not None,
            recall=recall if files.resume else None,
        )
        if files.output is not None:
            books.append(stack.enter_context(Book(files.output, files.mode, limits, options.answers)))
        shows.append(stack.enter_context(progress_bar(total, quiet)))
        return write_results(results, books[0] if books else None, files.output, shows[0])


def _view_results(
    read: list[Path], picture: Path | None, files: ResultFiles
) -> tuple[dict[str, tuple[Any, str]], bool]:
    """Summarize, plot, tabulate and compare results.

    Returns
    -------
    (views, is_worse)
        ``{key: (JSON value, text)}``, and whether the comparison shows something worse, or nothing to compare.
    """

    def results() -> Iterator[Result]:
        return chain.from_iterable(map(read_results, read))

    summaries = summary(results())
    views: dict[str, tuple[Any, str]] = {
        "results": ([str(path) for path in read], ""),
        "summary": (summary_record(summaries), summary_text(summaries)),
    }
    is_worse = False
    if picture is not None:
        views["plot"] = (str(write_cactus(picture, summaries, force=True)), f"plot: {picture}")
    if files.table is not None:
        rows = write_table(files.table, results(), files.force or files.resume)
        views["table"] = (str(files.table), f"table: {files.table} ({rows} rows)")
    if files.compare is not None:
        changes = compare_with(files.compare, results())
        is_worse = changes.worse or not changes.compared
        views["comparison"] = (comparison_record(changes), comparison_text(changes))
    return views, is_worse
