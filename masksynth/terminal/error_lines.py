"""Report errors and warnings in one line on stderr, with an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from masksynth import abort
from masksynth.errors import MasksynthError, MasksynthWarning, WrongAnswer
from masksynth.tasks.canonical import printable


class Refused(click.ClickException):
    """An error that is reported as one line on stderr, with an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(printable(message))
        self.exit_code = exit_code  # type: ignore[misc]  # click declares a class variable and reads the instance


@contextmanager
def one_line() -> Iterator[None]:
    """Report exceptions in one line: WrongAnswer exits with 1, other errors with 2, Ctrl-C with `abort.exit_code()`.

    An invalid value of an option is one line too; click prints its usage for a command line that is wrong otherwise.
    """
    try:
        yield
    except click.MissingParameter:
        raise
    except click.BadParameter as error:
        raise Refused(format_invalid_value(error), 2) from None
    except WrongAnswer as error:
        raise Refused(str(error), 1) from None
    except MasksynthError as error:
        raise Refused(str(error), 2) from None
    except OSError as error:
        drop_unwritten()
        if isinstance(error, BrokenPipeError):  # the reader has closed the pipe, as in `| head -1`
            sys.exit(2)
        name = f"{error.filename}: " if error.filename else ""
        raise Refused(f"{name}{error.strerror or error}", 2) from None
    except MemoryError:
        raise Refused("not enough memory; split the family", 2) from None
    except KeyboardInterrupt:
        raise Refused(abort.TEXT, abort.exit_code()) from None
    except (ImportError, SystemError) as error:
        # Ctrl-C while a compiled module was being imported
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise Refused(abort.TEXT, abort.exit_code()) from None
        raise


def format_invalid_value(error: click.BadParameter) -> str:
    """Return the line about an invalid value of an option; for a number it names the range.

    Examples
    --------
    >>> option = click.Option(["--jobs"], type=click.IntRange(1, 4096))
    >>> format_invalid_value(click.BadParameter("0 is not in the range 1<=x<=4096.", param=option))
    "Invalid value for '--jobs': expected an integer from 1 to 4096, got 0"
    """
    kind = error.param.type if error.param else None
    value, is_about_value, _ = error.message.partition(" is not ")  # the text of click
    if isinstance(kind, click.types.IntParamType | click.types.FloatParamType) and is_about_value:
        expected = f"expected {describe_numbers(kind)}, got {value:.40}"
        error = click.BadParameter(expected, error.ctx, error.param, error.param_hint)
    return error.format_message().removesuffix(".")


def describe_numbers(kind: click.types.IntParamType | click.types.FloatParamType) -> str:
    """Return in words which numbers an option takes.

    Examples
    --------
    >>> describe_numbers(click.IntRange(1)), describe_numbers(click.FloatRange(0, 1e9))
    ('an integer of at least 1', 'a number from 0 to 1000000000')
    >>> describe_numbers(click.FLOAT), describe_numbers(click.FloatRange(0, 100, min_open=True))
    ('a number', 'a number above 0 and at most 100')
    """
    words = "an integer" if isinstance(kind, click.types.IntParamType) else "a number"
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return words
    least, greatest = (None if bound is None else f"{bound:.10g}" for bound in (kind.min, kind.max))
    if least and greatest and not (kind.min_open or kind.max_open):
        return f"{words} from {least} to {greatest}"
    parts = [f"{'above' if kind.min_open else 'of at least'} {least}"] if least else []
    parts += [f"{'below' if kind.max_open else 'at most'} {greatest}"] if greatest else []
    return f"{words} {' and '.join(parts)}"


def drop_unwritten() -> None:
    """Drop output that stdout cannot take, so that it is not written again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Print masksynth's own warnings in one line on stderr, each once, without the line of code."""
    printed: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", MasksynthWarning)
        show_other = warnings.showwarning

        def show(
            message: Any, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None
        ) -> None:
            if not issubclass(category, MasksynthWarning):
                show_other(message, category, filename, lineno, file, line)
            elif str(message) not in printed:
                printed.add(str(message))
                click.echo(f"Warning: {printable(str(message))}", err=True)

        warnings.showwarning = show
        yield
