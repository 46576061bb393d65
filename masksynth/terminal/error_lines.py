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
    """Report exceptions in one line: WrongAnswer exits with 1, other errors with 2, Ctrl-C with `abort.exit_code()`."""
    try:
        yield
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
