"""Write the results of ``masksynth search`` as they arrive, safely under Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from masksynth.cli.search_progress import Show
from masksynth.search import Result
from masksynth.search.book import Book
from masksynth.search.result import line_of
from masksynth.search.running import UNFINISHED
from masksynth.workers.pool import ExecutorBroke


def write_results(results: Generator[Result, None, None], book: Book | None, output: Path | None, show: Show) -> int:
    """Write results as they arrive; return the exit code.

    After the first Ctrl-C the finished results are written, and later ones are ignored.
    """
    endings: Counter[str] = Counter()

    def keep(result: Result) -> None:
        with _hold_interrupts():
            written = book.write(result) if book else _print_line(result)
            error = written.error or ""
            endings["stopped" if error.startswith(UNFINISHED) else "failed" if error else "done"] += 1
        show(written)

    try:
        for result in results:
            keep(result)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for result in _drain(results):
            keep(result)
        remedy = f"; they are in {output}, --resume goes on" if output else ""
        click.echo(f"stopped after {endings.total()} results{remedy}", err=True)
        return 3
    except ExecutorBroke as error:
        click.echo(f"Error: {error}" + (f"; --resume goes on from {output}" if output else ""), err=True)
        return 1
    return 1 if endings["failed"] else 3 if endings["stopped"] else 0


def _drain(results: Generator[Result, None, None]) -> Iterator[Result]:
    """Yield the finished results of a search that is interrupted."""
    with suppress(KeyboardInterrupt, StopIteration):
        yield results.throw(KeyboardInterrupt())
        yield from results


@contextmanager
def _hold_interrupts() -> Iterator[None]:
    """Delay Ctrl-C until a result is written completely."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _print_line(result: Result) -> Result:
    sys.stdout.buffer.write(line_of(result))
    sys.stdout.buffer.flush()
    return result
