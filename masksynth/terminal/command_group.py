"""Run a click group with closed streams, narrow encodings and Ctrl-C handled."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

import click

from masksynth import abort
from masksynth.terminal.error_lines import drop_unwritten, one_line, warnings_in_one_line


class Commands(click.Group):
    """A group whose commands report errors in one line and can print every name."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line, including help and version, and report errors of stdout."""
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
        """Run the command; characters that a terminal cannot encode are escaped."""
        try:
            with one_line(), warnings_in_one_line():
                _open_descriptors()
                for stream in (sys.stdout, sys.stderr):
                    if isinstance(stream, TextIOWrapper):
                        stream.reconfigure(errors="backslashreplace")
                return super().invoke(ctx)
        finally:
            abort.ignore()

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find and import the subcommand; from then on Ctrl-C is an exception that it can handle."""
        resolved = super().resolve_command(ctx, args)
        abort.release()
        return resolved


def _open_descriptors() -> None:
    """Open closed standard streams, so that no other file gets their descriptor and is written to by a library.

    Output to a closed stream is dropped; reading a closed stdin remains an error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends
