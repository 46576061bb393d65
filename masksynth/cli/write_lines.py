"""Write samples as lines to stdout or to a file, as ``tokenize`` and ``unpack`` do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from masksynth.files import write_file

CHUNK = 1 << 20
"""Bytes of a gzip stream that are written at a time."""
Command = TypeVar("Command", bound=Callable[..., Any])


def lines_options(command: Command) -> Command:
    """Add the options ``--output`` and ``--force``."""
    command = click.option("--force", is_flag=True, help="Replace the file.")(command)
    text = "File to write, gzipped if it ends in .gz [default: stdout]."
    return click.option("-o", "--output", type=click.Path(path_type=Path), callback=_named, help=text)(command)


def _named(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """Return the file, None for stdout."""
    return None if value == Path("-") else value


def write_lines(lines: Iterator[bytes], output: Path | None, force: bool, inputs: Sequence[Path]) -> None:
    """Write lines to a file, which is an input never, or to stdout.

    Parameters
    ----------
    lines : iterator of bytes
    output : path, optional
        Gzipped if it ends in ``.gz``.
    force : bool
        Whether a file that exists is replaced.
    inputs : sequence of path
    """
    if output is None:
        for line in lines:
            click.echo(line, nl=False)
    else:
        content = compress_lines(lines) if output.suffix == ".gz" else lines
        write_file(output, content, force, inputs, "the samples")


def compress_lines(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield lines as a gzip stream without a time stamp, so that equal lines give equal bytes."""
    import gzip
    from io import BytesIO

    stream = BytesIO()
    with gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as file:
        for line in lines:
            file.write(line)
            if stream.tell() > CHUNK:
                yield stream.getvalue()
                stream.seek(0)
                stream.truncate()
    yield stream.getvalue()
