"""Engines in processes of their own: each sends its improvements to the portfolio, which sends nothing back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe, wait
from threading import Thread
from typing import Any

from masksynth.sparse.engines import Standing


@contextmanager
def run_engines(task: Any, names: Sequence[str], known: Standing, effort: float) -> Iterator[list[Connection]]:
    """Start ``python -m masksynth_solvers.sparse.worker`` for each engine; end them all on leaving.

    Not by multiprocessing, whose children import the user's main script again; scripts need not be written for that.

    Parameters
    ----------
    task : ComponentTask
    names : sequence of str
    known : Standing
        What each engine starts from.
    effort : float
        Of each engine.
    """
    ends: list[Connection] = []
    children: list[subprocess.Popen[bytes]] = []
    try:
        for name in names:
            near, far = Pipe()
            command = [sys.executable, "-m", "masksynth_solvers.sparse.worker", str(far.fileno())]
            children.append(
                subprocess.Popen(command, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, start_new_session=True)
            )
            far.close()
            ends.append(near)
            # A large task fills the pipe until the child has started: the portfolio does not wait for that.
            Thread(target=_send, args=(near, (name, task, known, effort)), daemon=True).start()
        yield ends
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()
        for end in ends:
            end.close()


def _send(end: Connection, message: Any) -> None:
    with suppress(OSError):
        end.send(message)


def receive(ends: list[Connection], seconds: float) -> list[Standing]:
    """Return what engines have sent, after waiting for at most some seconds; remove the ends of those that have ended.

    Raises
    ------
    MasksynthError
        If one was raised in an engine's process.
    """
    received: list[Standing] = []
    for end in wait(ends, seconds):
        assert isinstance(end, Connection)
        try:
            message = end.recv()
        except (EOFError, OSError):
            ends.remove(end)
            continue
        if isinstance(message, Exception):
            raise message
        received.append(message)
    return received
