"""What every command shares: refusals in one line, reading, progress, printing."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from masksynth import abort
from masksynth.errors import InvalidInstance, MasksynthError, MasksynthWarning, WrongAnswer
from masksynth.files import check_inputs, is_same
from masksynth.tasks import Instance
from masksynth.tasks.canonical import SHOWN, shown
from masksynth.tasks.canonical import printable as printable
from masksynth.tasks.instance_files import load

DATA = (".json", ".jsonl", ".gz", ".parquet", ".safetensors", ".npz", ".npy", ".py")
"""Endings of files that hold data, as pictures and reports do not."""


class Refused(click.ClickException):
    """One line on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(printable(message))
        self.exit_code = exit_code  # type: ignore[misc]  # click declares a class variable and reads the instance


@contextmanager
def one_line() -> Iterator[None]:
    """Every refusal is one line: WrongAnswer exits with 1, other trouble with 2, Ctrl-C with 3."""
    try:
        yield
    except WrongAnswer as error:
        raise Refused(str(error), 1) from None
    except MasksynthError as error:
        raise Refused(str(error), 2) from None
    except OSError as error:
        drop_unwritten()
        if isinstance(error, BrokenPipeError):  # the reader has gone, as in `| head -1`
            sys.exit(2)
        place = f"{error.filename}: " if error.filename else ""
        raise Refused(f"{place}{error.strerror or error}", 2) from None
    except MemoryError:
        raise Refused("not enough memory; split the family", 2) from None
    except KeyboardInterrupt:
        raise Refused(abort.TEXT, abort.exit_code()) from None
    except (ImportError, SystemError) as error:
        if isinstance(
            error.__cause__ or error.__context__, KeyboardInterrupt
        ):  # Ctrl-C while a compiled module was starting
            raise Refused(abort.TEXT, abort.exit_code()) from None
        raise


def drop_unwritten() -> None:
    """Forget what stdout cannot take, so that it is not written again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def output_file(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """A file to write beside the answer, which has stdout for itself."""
    if value == Path("-"):
        raise click.BadParameter("stdout holds the answer; name a file")
    return value


def input_files(*subjects: str | Path | None) -> list[Path]:
    """The files that a command reads: each subject (``-``: stdin), and the data in those that are folders."""
    given = [Path(subject) for subject in subjects if subject is not None]
    return [
        *given,
        *(file for folder in given if os.path.isdir(folder) for file in folder.iterdir() if file.suffix in DATA),
    ]


def check_outputs(inputs: Sequence[Path], *targets: Path | None) -> None:
    """Refuse, before any work is done, to write over an input, or two things to one place.

    Raises
    ------
    InvalidInstance
        If a target is an input.
    click.UsageError
        If two targets are one.
    """
    given = [target for target in targets if target is not None and str(target) != "-"]
    for number, target in enumerate(given):
        check_inputs(target, inputs)
        if any(is_same(target, other) for other in given[:number]):
            raise click.UsageError(f"{target} is named for two things; name two places")


class Commands(click.Group):
    """A group whose commands refuse in one line and can print every name."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line; also where stdout cannot take the help or the version, which no command prints."""
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            drop_unwritten()
            with suppress(OSError):
                click.echo(f"Error: {error.strerror or error}", err=True)
            sys.exit(2)
        finally:
            abort.ignore()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what a terminal cannot encode is escaped."""
        try:
            with one_line(), _warnings_in_one_line():
                abort.release()
                _open_descriptors()
                for stream in (sys.stdout, sys.stderr):
                    if isinstance(stream, TextIOWrapper):
                        stream.reconfigure(errors="backslashreplace")
                return super().invoke(ctx)
        finally:
            abort.ignore()


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Our own warnings are one line on stderr, without the line of code that gave them."""
    told: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", MasksynthWarning)
        others = warnings.showwarning

        def show(
            message: Any, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None
        ) -> None:
            if not issubclass(category, MasksynthWarning):
                others(message, category, filename, lineno, file, line)
            elif str(message) not in told:
                told.add(str(message))
                click.echo(f"Warning: {printable(str(message))}", err=True)

        warnings.showwarning = show
        yield


def _open_descriptors() -> None:
    """Open what was closed of stdin, stdout and stderr, so that no file of ours gets its number and no library writes into it.

    What is printed to a closed stream goes nowhere; reading a closed stdin stays an error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends


def standard_input() -> Any:
    """Return stdin.

    Raises
    ------
    InvalidInstance
        If it is closed, as by ``<&-``.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise InvalidInstance("stdin is closed", "", "name a file, or pipe something in", "-")
    return sys.stdin


def read_instance(path: str) -> Instance:
    """The instance in a file, or on stdin where the path is ``-``."""
    try:
        return load(standard_input().buffer if path == "-" else path)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}; name an instance file, or - for stdin", 2) from None


def plain(name: str) -> str:
    """A name as text for people: printable, on one line, cut where it is long."""
    text = printable(name[: SHOWN + 1])
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


@contextmanager
def progress(text: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A spinner on a terminal, nothing elsewhere; what it yields shows the best value and bound of a search beside the text."""
    if quiet or not sys.stderr.isatty():
        yield lambda value, bound: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(text)) as status:
        yield lambda value, bound: status.update(Text(f"{text} best so far {value}, at least {bound}"))


@contextmanager
def to_the_end() -> Iterator[None]:
    """An answer that is found is written and printed whole: Ctrl-C comes too late."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def print_json(value: Any) -> None:
    """Print a value for programs: ASCII JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=True))


def layers_option(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    """The value of ``--layers``: a depth, None for ``any``, ... where the option is not given."""
    if value is None:
        return ...
    if value == "any":
        return None
    if value.isdecimal() and len(value) < SHOWN and int(value) > 0:
        return int(value)
    raise click.BadParameter(f"{shown(value)} is neither a positive integer nor 'any'")


INSTANCE = click.argument("instance", type=click.Path(allow_dash=True))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text for people.")
QUIET = click.option("--quiet", is_flag=True, help="No progress and no text for people; the exit code tells.")
