"""``masksynth search``: many instances, and nothing lost."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, get_type_hints

import click
from click.core import ParameterSource

from masksynth import catalog
from masksynth.backends import Limits
from masksynth.cli.families import parsed
from masksynth.draw.pictures import check_picture
from masksynth.search import Result, search, sweep
from masksynth.search.book import Book, read_results
from masksynth.search.cactus import write_cactus
from masksynth.search.compare import comparison_record, comparison_text
from masksynth.search.dask import connected
from masksynth.search.entries import paths
from masksynth.search.expected import compare_with, expectations, is_manifest, unpromised_failures
from masksynth.search.pool import ExecutorBroke
from masksynth.search.result import Question, Recalled, line_of
from masksynth.search.running import UNFINISHED
from masksynth.search.summary import summary, summary_record, summary_text
from masksynth.search.table import check_table, write_table
from masksynth.terminal import (
    JSON,
    QUIET,
    Refused,
    check_outputs,
    input_files,
    layers_option,
    plain,
    print_json,
    printable,
    standard_input,
)

MEGABYTE = 2**20
SOLVING = (
    "backend",
    "layers",
    "sparse",
    "jobs",
    "workers",
    "seed",
    "time_limit",
    "kill_after",
    "budget",
    "memory",
    "dask",
    "answers",
    "ordered",
)
"""Options that mean nothing where results are read."""


@click.command("search", context_settings={"ignore_unknown_options": True})
@click.argument("instances", nargs=-1, type=click.UNPROCESSED, metavar="[INSTANCES]... [--PARAMETER VALUES]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one line of JSON per instance; else to stdout.",
)
@click.option(
    "--family",
    help="Instances of a catalogue family: --n 4..64, or --n 4..64..4, or --n 4,8,16; an option may be repeated.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="As in solve; several, separated by commas, race for the first proof.",
)
@click.option("--layers", callback=layers_option, help="Override the instances' number of layers ('any': any depth).")
@click.option("--sparse", is_flag=True, default=None, help="Find the fewest edges.")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes; the default is one for each processor.")
@click.option(
    "--workers",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="Threads of a solver, at most processors / jobs.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Random seed of the solvers."
)
@click.option("--time-limit", type=float, metavar="SECONDS", help="For each instance and backend.")
@click.option(
    "--kill-after",
    type=float,
    metavar="SECONDS",
    help="Kill the worker of an instance that takes longer, whatever it does.",
)
@click.option("--budget", type=float, metavar="SECONDS", help="For the whole batch.")
@click.option("--memory", type=click.IntRange(1), metavar="MEGABYTES", help="Address space of each worker.")
@click.option("--dask", metavar="tcp://HOST:PORT", help="Solve on the workers of this Dask scheduler.")
@click.option(
    "--answers", type=click.Path(path_type=Path, file_okay=False), help="Write every answer as a folder below this one."
)
@click.option(
    "--resume", is_flag=True, help="Continue the file of -o: what is finished is not solved again, failures are."
)
@click.option("--force", is_flag=True, help="Overwrite the file of -o, the plot and the table.")
@click.option("--ordered", is_flag=True, help="Write results in the order of the instances, not as they finish.")
@click.option(
    "--report",
    is_flag=True,
    help="Print a table, and draw solved instances against time beside the results (FILE.svg).",
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
def search_command(
    instances: tuple[str, ...],
    output: Path | None,
    family: str | None,
    resume: bool,
    force: bool,
    report: bool,
    compare: Path | None,
    table: Path | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Solve many instances side by side: files, folders, globs, or a sweep over a family.

    \b
    masksynth search instances/ -o results.jsonl --jobs 2
    masksynth search --family butterfly --n 4..64 -o results.jsonl --resume
    masksynth search results.jsonl --report

    One line of JSON for each instance, as it finishes: its status and objective, or the reason why there is none. Ctrl-C loses nothing
    that is finished; --resume goes on from there. Arguments that end in .jsonl are results to read, not instances to solve.

    Exit codes: 0 every instance is answered, 1 some failed or became worse, 2 trouble (usage, full disk), 3 stopped before the end.
    """
    things, flags = _split(instances, family)
    read = [Path(thing) for thing in things if thing.endswith(".jsonl")]
    things = [thing for thing in things if not thing.endswith(".jsonl")]
    _check_use(things, read, family, output, resume or force, bool(report or compare or table))
    if resume and force:
        raise click.UsageError("--resume continues the file and --force overwrites it; give one of them")
    picture = (read[0] if read else output or Path("results")).with_suffix(".svg") if report else None
    _check_files([*dict.fromkeys(read), *filter(None, (output, picture, table))])
    _check_files([*filter(None, (output, compare))])
    check_outputs(input_files(compare, *_instance_files(things)), table, picture)
    if table is not None:
        check_table(table, force or resume)
    if picture is not None:
        check_picture(picture, force or resume)
    code = 0
    if not read:
        mode = "resume" if resume else "force" if force else "new"
        code = _run(things, family, flags, output, mode, quiet, options)
        if output is None:
            raise SystemExit(code)
        read = [output]
        if code == 1 and compare is not None and is_manifest(compare):
            code = min(1, unpromised_failures(expectations(compare), read_results(output)))
    told, worse = _look(read, picture, compare, table, force or resume)
    if as_json:
        print_json({name: value for name, (value, _) in told.items()})
    elif not quiet:
        click.echo("\n\n".join(text for _, text in told.values() if text))
    raise SystemExit(code or (1 if worse else 0))


def _check_use(
    things: list[str], read: list[Path], family: str | None, output: Path | None, kept: bool, looks: bool
) -> None:
    given = [
        name
        for name in SOLVING
        if click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if read and (things or family or output or given):
        more = "".join(f", --{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{read[0]} holds results to read; leave instances, --family, -o{more} away")
    if not (things or family or read):
        raise click.UsageError("nothing to search; name instances, or --family")
    if output is None and kept and not read:
        raise click.UsageError("--resume and --force need -o")
    if output is None and looks and not read:
        raise click.UsageError("--report, --compare and --table need -o")


def _instance_files(things: list[str]) -> list[str]:
    """The files among the instances; stdin stays ``-``."""
    return [path for thing in things for path in (["-"] if thing == "-" else paths(thing))]


def _check_files(files: list[Path]) -> None:
    """Refuse one file for two things, before either is lost."""
    places = [os.path.realpath(file) for file in files]
    for place, file in zip(places, files, strict=True):
        if places.count(place) > 1:
            raise click.UsageError(f"{file} is named for two things; name two files")


def _split(tokens: tuple[str, ...], family: str | None) -> tuple[list[str], dict[str, Sequence[Any]]]:
    """What was given as (things to search, values of the family's parameters)."""
    things: list[str] = []
    flags: dict[str, Sequence[Any]] = {}
    rest = iter(tokens)
    for token in rest:
        if not token.startswith("-") or token == "-":
            things.append(token)
            continue
        if family is None or not token.startswith("--"):
            raise click.NoSuchOption(token.partition("=")[0])
        name, is_joined, text = token[2:].partition("=")
        if not is_joined and (text := next(rest, "")) == "":
            raise click.UsageError(f"option '--{name}' requires an argument")
        values = _values(family, name, text)
        flags[name] = [*flags[name], *values] if name in flags else values
    return things, flags


def _values(family: str, name: str, text: str) -> Sequence[Any]:
    """The values of a parameter: ``4..64``, ``4..64..4`` and ``4,8`` of a number, one value of anything else."""
    if family not in catalog.FAMILIES:
        raise Refused(f"unknown family {family!r}; choose from {', '.join(catalog.FAMILIES)}", 2)
    kinds = get_type_hints(catalog.FAMILIES[family])
    if name not in kinds or name == "return":
        raise Refused(
            f"{family} has no parameter {name!r}; its parameters are {', '.join(kind for kind in kinds if kind != 'return')}",
            2,
        )
    try:
        if kinds[name] is not int:
            return [parsed(kinds[name], text)]
        return [value for part in text.split(",") for value in _numbers(part)] if "," in text else _numbers(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither a number, a growing range like 4..64 nor a list", param_hint=f"--{name}"
        ) from None


def _numbers(text: str) -> range:
    first, *more = (int(part) for part in text.split(".."))
    last, step = (*more, first, 1)[:2] if not more else (more[0], more[1] if len(more) > 1 else 1)
    if len(more) > 2 or step < 1 or last < first:
        raise ValueError(text)
    return range(first, last + 1, step)


def _run(
    things: list[str],
    family: str | None,
    flags: dict[str, Sequence[Any]],
    output: Path | None,
    mode: str,
    quiet: bool,
    options: dict[str, Any],
) -> int:
    """Solve, and write every result as it comes; the exit code."""
    limits = Limits(options["time_limit"], options["workers"], options["seed"])
    files = [path for thing in things if thing != "-" for path in paths(thing)]
    piped = (line.rstrip("\n") for line in standard_input() if line.strip()) if "-" in things else ()
    swept = sweep(family, **flags) if family else ()
    total = None if "-" in things else len(files) + (prod(map(len, flags.values())) if family else 0)
    books: list[Book] = []
    shows: list[Callable[[Result], None]] = []

    def recall(name: str, question: Question) -> Recalled | None:
        known = books[0].recall(name, question)
        if known is not None and known.is_there:
            shows[0](known.result)
        return known

    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler))
        executor, jobs = stack.enter_context(connected(options["dask"])) if options["dask"] else (None, None)
        results = search(
            chain(files, piped, swept),
            backend=options["backend"],
            layers=options["layers"],
            sparse=True if options["sparse"] else ...,
            limits=limits,
            jobs=options["jobs"] or jobs,
            executor=executor,
            ordered=options["ordered"],
            budget=options["budget"],
            kill_after=options["kill_after"],
            memory=None if options["memory"] is None else options["memory"] * MEGABYTE,
            answers=options["answers"] is not None,
            recall=recall if mode == "resume" else None,
        )
        if output is not None:
            books.append(stack.enter_context(Book(output, mode, limits, options["answers"])))
        show = stack.enter_context(_progress(total, quiet))
        shows.append(show)
        return _take(results, books, output, show)


def _take(
    results: Generator[Result, None, None], books: list[Book], output: Path | None, show: Callable[[Result], None]
) -> int:
    """Write results as they come; the exit code. After a first Ctrl-C what is finished is written, and no further one is heard."""
    endings: Counter[str] = Counter()

    def keep(result: Result) -> None:
        with _held():
            written = books[0].write(result) if books else _print(result)
            endings[
                "spent" if (written.error or "").startswith(UNFINISHED) else "failed" if written.error else "done"
            ] += 1
        show(written)

    try:
        for result in results:
            keep(result)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for result in _rest(results):
            keep(result)
        go_on = f"; they are in {output}, --resume goes on" if output else ""
        click.echo(f"stopped after {endings.total()} results{go_on}", err=True)
        return 3
    except ExecutorBroke as error:
        click.echo(f"Error: {error}" + (f"; --resume goes on from {output}" if output else ""), err=True)
        return 1
    return 1 if endings["failed"] else 3 if endings["spent"] else 0


def _rest(results: Generator[Result, None, None]) -> Iterator[Result]:
    """What a search has finished when it is interrupted."""
    with suppress(KeyboardInterrupt, StopIteration):
        yield results.throw(KeyboardInterrupt())
        yield from results


@contextmanager
def _held() -> Iterator[None]:
    """Ctrl-C waits until a result is written whole."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _print(result: Result) -> Result:
    sys.stdout.buffer.write(line_of(result))
    sys.stdout.buffer.flush()
    return result


@contextmanager
def _progress(total: int | None, quiet: bool) -> Iterator[Callable[[Result], None]]:
    """A bar on a terminal, nothing elsewhere; failures are told as they come."""
    if quiet or not sys.stderr.isatty():
        yield lambda result: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)

        def show(result: Result) -> None:
            bar.update(task, advance=1, description=plain(result.instance))
            if result.error is not None:
                bar.console.print(
                    plain(f"{result.instance}: ") + printable(result.error), markup=False, highlight=False
                )

        yield show


def _look(
    read: list[Path], picture: Path | None, compare: Path | None, table: Path | None, force: bool
) -> tuple[dict[str, tuple[Any, str]], bool]:
    """What there is to say about results, as {key: (JSON, text)}, and whether anything became worse."""

    def results() -> Iterator[Result]:
        return chain.from_iterable(map(read_results, read))

    found = summary(results())
    told: dict[str, tuple[Any, str]] = {
        "results": ([str(path) for path in read], ""),
        "summary": (summary_record(found), summary_text(found)),
    }
    worse = False
    if picture is not None:
        told["plot"] = (str(write_cactus(picture, found, force=True)), f"plot: {picture}")
    if table is not None:
        rows = write_table(table, results(), force)
        told["table"] = (str(table), f"table: {table} ({rows} rows)")
    if compare is not None:
        changes = compare_with(compare, results())
        worse = changes.worse or not changes.compared
        told["comparison"] = (comparison_record(changes), comparison_text(changes))
    return told, worse
