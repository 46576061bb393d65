"""The command ``masksynth``: reads options, calls the library, prints. Answers on stdout, everything else on stderr.

Exit codes: 0 yes, 1 no (infeasible, check failed), 2 trouble (usage, bad file, disk), 3 unknown (limit reached, no answer).
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, get_type_hints

import click

import masksynth
from masksynth import catalog, synthesis
from masksynth.backends import Limits, Status, backend, names
from masksynth.errors import InvalidInstance, MasksynthError, Unsupported, WrongAnswer
from masksynth.problem import Problem
from masksynth.tasks import Instance, MergedTask
from masksynth.tasks.canonical import SHOWN, canonical, shown
from masksynth.tasks.files import dumps, load, question_of

PICTURE = 40
"""Largest mask that is drawn on the terminal."""
EXIT = {Status.OPTIMAL: 0, Status.FEASIBLE: 0, Status.INFEASIBLE: 1, Status.UNKNOWN: 3}


class _Refused(click.ClickException):
    """One line on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(_printable(message))
        self.exit_code = exit_code  # type: ignore[misc]  # click declares a class variable and reads the instance


@contextmanager
def _one_line() -> Iterator[None]:
    """Every refusal is one line: WrongAnswer exits with 1, other trouble with 2, Ctrl-C with 3."""
    try:
        yield
    except WrongAnswer as error:
        raise _Refused(str(error), 1) from None
    except MasksynthError as error:
        raise _Refused(str(error), 2) from None
    except OSError as error:
        _drop_unwritten()
        if isinstance(error, BrokenPipeError):  # the reader has gone, as in `| head -1`
            sys.exit(2)
        place = f"{error.filename}: " if error.filename else ""
        raise _Refused(f"{place}{error.strerror or error}", 2) from None
    except MemoryError:
        raise _Refused("not enough memory; split the family", 2) from None
    except KeyboardInterrupt:
        raise _Refused("interrupted; nothing was written", 3) from None


def _drop_unwritten() -> None:
    """Forget what stdout cannot take, so that it is not written again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Commands(click.Group):
    """A group whose commands refuse in one line and can print every name."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        with _one_line():
            return super().invoke(ctx)


def _read(path: str) -> Instance:
    try:
        return load(sys.stdin.buffer if path == "-" else path)
    except OSError as error:
        raise _Refused(f"{path}: {error.strerror}; name an instance file, or - for stdin", 2) from None


def _printable(text: str) -> str:
    """A text on one line, with escapes for what a terminal would act upon or cannot show."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _plain(name: str) -> str:
    """A name as text for people: printable, on one line, cut where it is long."""
    text = _printable(name[: SHOWN + 1])
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


@contextmanager
def _progress(text: str, quiet: bool) -> Iterator[None]:
    """A spinner on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(text)):
        yield


@contextmanager
def _to_the_end() -> Iterator[None]:
    """An answer that is found is written and printed whole: Ctrl-C comes too late."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=1, ensure_ascii=True))


INSTANCE = click.argument("instance", type=click.Path(allow_dash=True))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text for people.")
QUIET = click.option("--quiet", is_flag=True, help="No progress and no text for people; the exit code tells.")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(masksynth.__version__, prog_name="masksynth")
def main() -> None:
    """Find the smallest single forward pass that trains a family of tasks, prove it, check it, and hand PyTorch the mask.

    \b
    masksynth new butterfly --n 8 | masksynth solve - -o out
    masksynth verify instance.json out

    Exit codes: 0 yes, 1 no (infeasible, check failed), 2 trouble (usage, bad file), 3 unknown (limit reached, no answer).
    """


def _layers(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    if value is None:
        return ...
    if value == "any":
        return None
    if value.isdecimal() and len(value) < SHOWN and int(value) > 0:
        return int(value)
    raise click.BadParameter(f"{shown(value)} is neither a positive integer nor 'any'")


def _file(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    if value == Path("-"):
        raise click.BadParameter("stdout holds the answer; name a file")
    return value


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


@main.command()
@INSTANCE
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the answer as a folder.")
@click.option("--force", is_flag=True, help="Replace the answer in a folder that is not empty.")
@click.option("--backend", default="auto", show_default=True, help="auto, or one that `masksynth backends` lists.")
@click.option("--layers", callback=_layers, help="The model has this many layers ('any': any depth) [default: the instance's].")
@click.option("--sparse", is_flag=True, default=None, help="Ask for the fewest mask edges (not in this version).")
@click.option("--time-limit", type=click.FloatRange(0, 1e9), help="Seconds for encoding and search [default: none].")
@click.option("--workers", type=click.IntRange(1, 4096), default=1, show_default=True, help="Threads of the solver; 1 is deterministic.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Random seed of the solver.")
@click.option(
    "--emit", type=click.Path(path_type=Path, dir_okay=False), callback=_file, help="Also write the search as DIMACS WCNF (2022 format)."
)
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
    workers: int,
    seed: int,
    emit: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the smallest merged task of INSTANCE (a JSON file, or - for stdin).

    \b
    masksynth solve instances/butterfly-8.json -o out
    masksynth solve instance.json --layers 4 --backend criterion --json

    Prints the answer; -o DIR writes solution.json, mask.safetensors, mask.npz and flex_mask.py. Ctrl-C and --time-limit give the best
    answer so far, marked FEASIBLE.
    """
    from masksynth.export.folder import check_target
    from masksynth_solvers.encoding import write_wcnf

    asked = _read(instance)
    if emit is not None and (asked.layers if layers is ... else layers) is not None:
        raise Unsupported("--emit writes the search, which knows no finite depth; give --layers any")
    if output is not None:
        check_target(output, force)
    with _progress(f"merging {_plain(asked.name)} ...", quiet):
        chosen: Any = ... if sparse is None else sparse
        limits = Limits(time_limit, workers, seed)
        answer = synthesis.solve(asked, backend=backend, layers=layers, sparse=chosen, limits=limits)
    with _to_the_end():
        if output is not None and answer.merged is not None:
            synthesis.write(answer, output, force)
        if as_json:
            _print_json(synthesis.record(answer))
        elif not quiet:
            click.echo(_told(asked, answer, output))
    if emit is not None and answer.merged is not None:
        write_wcnf(Problem(asked.family, answer.merged.problem.layers), emit)
    sys.exit(EXIT[answer.status])


def _told(asked: Instance, answer: synthesis.Answer, output: Path | None) -> str:
    """The answer in words, with a picture where the mask is small."""
    name = _plain(asked.name)
    if answer.leak is not None:
        leak = answer.leak
        path = " -> ".join(map(_plain, leak.path))
        return (
            f"{name}: INFEASIBLE. Node {shown(leak.node)} of task {shown(leak.task)} hides {_plain(canonical(leak.hides))} and sees it: "
            f"{path} ({_count(len(leak.path) - 1, 'hop')})."
        )
    if answer.merged is None:
        return f"{name}: {answer.status.name}. {answer.status.value}"
    merged, size = answer.merged, answer.objective["positions"]
    roads = " and ".join(f"{road['backend']} ({road['value']})" for road in answer.certificate["roads"])
    lines = [
        f"{name}: {answer.status.name}, {_count(size.value, 'position')} instead of {synthesis.nodes_of(asked.family)} "
        f"({_count(len(merged.tasks), 'task')}, {_count(len(merged.loss_edges), 'prediction')})",
        f"  {'minimal' if answer.status is Status.OPTIMAL else f'at least {size.bound} are needed'}; found by {roads}",
        f"  checked: {', '.join(answer.certificate['checks'])}",
        f"  mask: {_count(merged.mask.pairs, 'pair')}, {_count(merged.mask.tables, 'table')}; {answer.seconds:.2f} s",
    ]
    if answer.status is Status.FEASIBLE:
        lines.append("  the search was stopped; --backend auto or criterion gives the minimum in closed form")
    if output is not None:
        lines.append(f"  written to {output}")
    if 0 < merged.mask.size <= PICTURE:
        lines += ["", _picture(merged)]
    return "\n".join(lines)


def _picture(merged: MergedTask) -> str:
    """The mask with the input and position id of every row."""
    names = [f"{_plain(at.input if isinstance(at.input, str) else canonical(at.input))}@{at.position}" for at in merged.positions]
    width = min(max(map(len, names)), 24)
    labels = [name if len(name) <= width else f"{name[: width - 3]}..." for name in names]
    tables = str(merged.mask).split("\n\n")
    return "\n\n".join(
        "\n".join(f"{label:>{width}}  {row}" for label, row in zip(labels, table.splitlines(), strict=True)) for table in tables
    )


@main.command()
@INSTANCE
@click.argument("folder", type=click.Path(path_type=Path))
@JSON
@QUIET
def verify(instance: str, folder: Path, as_json: bool, quiet: bool) -> None:
    """Check the answer in FOLDER against INSTANCE with the independent checker.

    \b
    masksynth verify instances/butterfly-8.json out

    Exit 0: right. Exit 1: wrong, with the broken requirement and a witness. Exit 2: a file cannot be read.
    """
    from masksynth.verify.folder import verify_folder

    asked = _read(instance)
    try:
        with _progress(f"checking {folder} ...", quiet):
            report = verify_folder(asked, folder)
    except WrongAnswer as error:
        if as_json:
            found = {"requirement": error.requirement, "task": error.task, "node": error.node, "path": list(error.path)}
            _print_json({"ok": False, **found, "fact": error.fact})
            sys.exit(1)
        raise
    if as_json:
        right = {"ok": True, "requirement": None, "task": None, "node": None, "path": [], "checks": list(report.checks)}
        _print_json({**right, "positions": report.positions, "layers": report.layers, "minimal": report.minimal})
    elif not quiet:
        depth = "any depth" if report.layers is None else _count(report.layers, "layer")
        claim = "minimal" if report.minimal else "not claimed minimal"
        problem = question_of(asked.family, report.layers)
        click.echo(
            f"{_plain(asked.name)}: right. {_count(report.positions, 'position')}, {claim}, {depth}; checked: {', '.join(report.checks)}"
        )
        click.echo(f"  problem: layers {report.layers or 'any'}, sparse no, pattern {problem.pattern}, SHA-256 {problem.sha256}")


@main.group(context_settings={"max_content_width": 110})
def new() -> None:
    """Print a catalogue instance as JSON.

    \b
    masksynth new butterfly --n 8 > butterfly-8.json
    masksynth new packed_docs --help

    Lists are separated by commas, lists of lists by semicolons.
    """


def _parsed(kind: Any, text: str) -> Any:
    """A flag's text as the annotated type: int, str, tuple[int, ...], tuple[str, ...] or a tuple of tuples."""
    inner = getattr(kind, "__args__", (kind,))[0]
    if kind is int:
        return int(text)
    if kind is str:
        return text
    separator = ";" if hasattr(inner, "__args__") else ","
    return tuple(_parsed(inner, part) for part in text.split(separator) if part)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return (";" if value and isinstance(value[0], tuple) else ",").join(map(_shown, value))
    return str(value)


def _family_command(name: str, function: Callable[..., Instance]) -> click.Command:
    hints = get_type_hints(function)

    def build(**flags: str) -> None:
        values = {}
        for key, text in flags.items():
            try:
                values[key] = _parsed(hints[key], text)
            except ValueError:
                raise click.BadParameter(f"{text!r} is not {_kind(hints[key])}", param_hint=f"--{key}") from None
        try:
            instance = function(**values)
        except InvalidInstance as error:
            raise _Refused(f"{error.fact}; {error.remedy}", 2) from None
        click.echo(dumps(instance), nl=False)

    options = [
        click.Option([f"--{key}", key], default=_shown(parameter.default), show_default=True, help=_meaning(function, key, hints[key]))
        for key, parameter in inspect.signature(function).parameters.items()
    ]
    text = inspect.getdoc(function) or ""
    return click.Command(name, params=list(options), callback=build, help=text.partition("\n\n")[0], short_help=_summary(function))


def _meaning(function: Callable[..., Instance], key: str, kind: Any) -> str:
    """What a parameter means, from the docstring, and how it is written."""
    lines = (inspect.getdoc(function) or "").splitlines()
    place = next((number for number, line in enumerate(lines) if line.startswith(f"{key} : ")), None)
    meaning = lines[place + 1].strip().replace("`", "") if place is not None and place + 1 < len(lines) else ""
    return f"{meaning} ({_kind(kind)})" if meaning else _kind(kind)


def _kind(kind: Any) -> str:
    inner = getattr(kind, "__args__", (None,))[0]
    if kind is int:
        return "an integer"
    if kind is str:
        return "a text"
    if inner is not None and hasattr(inner, "__args__"):
        return f"{'integers' if inner.__args__[0] is int else 'texts'} separated by commas, lists separated by semicolons"
    return f"{'integers' if inner is int else 'texts'} separated by commas"


def _summary(function: Callable[..., Instance]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0].replace("``", "")


for _name, _function in catalog.FAMILIES.items():
    new.add_command(_family_command(_name, _function))


@main.command("catalog")
@JSON
def list_catalog(as_json: bool) -> None:
    """List the families of the catalogue with their parameters.

    \b
    masksynth catalog --json
    """
    rows = [
        {
            "name": name,
            "summary": _summary(function),
            "parameters": {key: _shown(parameter.default) for key, parameter in inspect.signature(function).parameters.items()},
        }
        for name, function in catalog.FAMILIES.items()
    ]
    if as_json:
        _print_json(rows)
        return
    lines = []
    for row in rows:
        flags = " ".join(f"--{key} {value or '...'}" for key, value in row["parameters"].items())  # type: ignore[attr-defined]
        lines.append(f"{row['name']:24} {flags}\n{'':24} {row['summary']}")
    click.echo("\n".join(lines))


@main.command()
@JSON
def backends(as_json: bool) -> None:
    """List the backends, whether they can run, and their versions.

    \b
    masksynth backends
    """
    rows = []
    for name in names():
        try:
            found = backend(name)
            rows.append({"name": name, "available": True, "versions": found.versions(), "remedy": ""})
        except Unsupported as error:
            rows.append({"name": name, "available": False, "versions": {}, "remedy": str(error)})
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        versions = ", ".join(f"{key} {value}" for key, value in row["versions"].items())  # type: ignore[attr-defined]
        click.echo(f"{row['name']:12} {versions if row['available'] else row['remedy']}")


@main.command()
@INSTANCE
@click.argument("task")
@click.argument("node")
@click.argument("other_task")
@click.argument("other_node")
@click.option("--layers", callback=_layers, help="Judge equality at this many layers ('any': any depth) [default: the instance's].")
@JSON
def explain(instance: str, task: str, node: str, other_task: str, other_node: str, layers: Any, as_json: bool) -> None:
    """Say why two nodes of INSTANCE did or did not merge.

    The reason is the first difference in identity or upstream.

    \b
    masksynth explain instances/butterfly-8.json "predict w2" f1 "predict w3" f1
    """
    from masksynth.merge.explain import explain as explained

    asked = _read(instance)
    depth = asked.layers if layers is ... else layers
    found = explained(asked.family, (task, node), (other_task, other_node), depth)
    if as_json:
        _print_json({"merged": found.merged, "reason": found.reason, "path": [list(pair) for pair in found.path]})
    else:
        click.echo(found.reason)
