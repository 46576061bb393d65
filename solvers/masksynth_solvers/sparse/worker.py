"""``python -m masksynth_solvers.sparse.worker DESCRIPTOR``: run one engine for the portfolio of another process."""

import os
import sys
from contextlib import suppress
from math import inf
from multiprocessing.connection import Connection

from masksynth.errors import MasksynthError
from masksynth_solvers.sparse.budget import Budget

STEP = 0.25
"""Effort between two reports."""


def work(descriptor: int) -> None:
    """Run one engine: send improvements until the component is solved, the effort is spent, or the parent ends."""
    end = Connection(descriptor)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        name, task, known, effort = end.recv()
        try:
            budget = Budget(None, effort)
            searching = task.start(name, task.encode(None), budget)
            while not (known.closed or budget.over):
                given = min(STEP, budget.effort)
                now = searching.advance(known, given, None)
                budget.effort -= given if effort < inf else 0.0
                if now != known:
                    end.send(now)
                known = now
        except MasksynthError as error:
            end.send(error)
            os._exit(1)


if __name__ == "__main__":
    work(int(sys.argv[1]))
