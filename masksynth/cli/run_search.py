"""Run ``masksynth search``: solve instances or read results, and view them."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from masksynth.backends import Limits
from masksynth.cli.search import ResultFiles, SolveOptions
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
from masksynth.terminal import check_outputs, input_files, standard_input
from masksynth.workers.dask import connected

MEGABYTE = 2**20
Views = dict[str, tuple[Any, str]]
"""Key -> (JSON value, text) of each view of the results."""


def run_search(
    arguments: tuple[str, ...], family: str | None, files: ResultFiles, options: SolveOptions, quiet: bool
) -> tuple[Views, int]:
    """Solve the instances that the arguments name, or read the results; return views of the results and the exit code.

    Raises
    ------
    SystemExit
        With the exit code, if the results went to stdout.
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
    return views, code or (1 if is_worse else 0)


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


def _view_results(read: list[Path], picture: Path | None, files: ResultFiles) -> tuple[Views, bool]:
    """Summarize, plot, tabulate and compare results.

    Returns
    -------
    (views, is_worse)
        ``{key: (JSON value, text)}``, and whether the comparison shows something worse, or nothing to compare.
    """

    def results() -> Iterator[Result]:
        return chain.from_iterable(map(read_results, read))

    summaries = summary(results())
    views: Views = {
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
