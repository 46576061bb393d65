"""Running a native solver so that a time-out and Ctrl-C can stop it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from time import monotonic
from typing import TypeVar

Result = TypeVar("Result")


def run(work: Callable[[], Result], stop: Callable[[], None], seconds: float | None) -> tuple[Result, bool]:
    """Run ``work`` in a thread and call ``stop`` at the time limit or on Ctrl-C.

    Returns
    -------
    (result, stopped)
        What ``work`` returned, and whether it was asked to stop.

    Examples
    --------
    >>> run(lambda: 7, lambda: None, None)
    (7, False)
    """
    results: list[Result] = []
    faults: list[BaseException] = []

    def target() -> None:
        try:
            results.append(work())
        except BaseException as error:
            faults.append(error)

    thread = Thread(target=target, daemon=True)
    end = None if seconds is None else monotonic() + seconds
    stopped = False
    thread.start()
    while thread.is_alive():
        try:
            thread.join(0.1 if end is None or stopped else max(0.0, min(0.1, end - monotonic())))
            if end is not None and monotonic() >= end:
                stopped = True
                stop()
        except KeyboardInterrupt:
            stopped = True
            stop()
    if faults:
        raise faults[0]
    return results[0], stopped
