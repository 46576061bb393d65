"""``python -m masksynth_solvers.sparse.worker DESCRIPTOR``: run one engine for the portfolio of another process."""

import os
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from masksynth.errors import MasksynthError, Unsupported
from masksynth_solvers.sparse.budget import Budget, next_step


def work(descriptor: int) -> None:
    """Run one engine: send improvements until the component is solved, the effort is spent, or the parent ends."""
    end = Connection(descriptor)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        name, task, known, effort = end.recv()
        try:
            budget, spent = Budget(None, effort), 0.0
            searching = task.start(name, task.encode(None), budget)
            while not (known.closed or budget.over):
                step = min(next_step(spent), budget.effort)
                now = searching.advance(known, step, None)
                spent += step
                budget.effort -= step
                if now != known:
                    end.send(now)
                known = now
                if end.poll():
                    end.recv()  # nothing is ever sent: the parent has ended, and EOFError ends this process, too
        except Unsupported:  # such as weights that are too large for a totalizer: the other engines go on
            return
        except MasksynthError as error:
            end.send(error)
            os._exit(1)


if __name__ == "__main__":
    work(int(sys.argv[1]))
