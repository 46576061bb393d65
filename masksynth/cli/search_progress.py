"""Show the progress of ``masksynth search`` on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from masksynth.search import Result
from masksynth.terminal import plain, printable

Show = Callable[[Result], None]
"""Called with each result."""


@contextmanager
def progress_bar(total: int | None, quiet: bool) -> Iterator[Show]:
    """Show a bar, and failures as they occur, on a terminal; show nothing elsewhere.

    Parameters
    ----------
    total : int, optional
        Number of results; None if it is not known.
    quiet : bool
        Whether to show nothing.
    """
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
                text = plain(f"{result.instance}: ") + printable(result.error)
                bar.console.print(text, markup=False, highlight=False)

        yield show
