"""Print answers on stdout and progress on stderr."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from masksynth.tasks.canonical import SHOWN, printable
from masksynth.tasks.value_text import count


def plain(name: str) -> str:
    """Return a name as printable text on one line, cut if it is long."""
    text = printable(name[: SHOWN + 1])
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def depth(layers: int | None) -> str:
    """Return a number of layers in words."""
    return "any number of layers" if layers is None else count(layers, "layer")


@contextmanager
def spinner(text: str, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show a spinner with a label on a terminal; yield a function that replaces the label."""
    if quiet or not sys.stderr.isatty():
        yield lambda label: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(text)) as status:
        yield lambda label: status.update(Text(label))


@contextmanager
def progress(text: str, quiet: bool) -> Iterator[Callable[[float, float], None]]:
    """Show a spinner with a label on a terminal; yield a function that adds the best value and bound of a search."""
    with spinner(text, quiet) as show:
        yield lambda value, bound: show(f"{text} best so far {value:.12g}, bound {bound:.12g}")


@contextmanager
def to_the_end() -> Iterator[None]:
    """Ignore Ctrl-C while a finished answer is written and printed."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def print_json(value: Any) -> None:
    """Print a value as ASCII JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=True))
