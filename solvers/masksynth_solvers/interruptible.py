"""Run solvers so that a time limit or Ctrl-C stops them and the best solution so far is kept."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread
from time import monotonic
from typing import TypeVar

from masksynth.backends import Limits, Outcome, Status
from masksynth.problem import Problem
from masksynth_solvers.encoding import Encoding, OutOfTime, encode

Result = TypeVar("Result")


def search(problem: Problem, limits: Limits, work: Callable[[Encoding, float | None], Outcome]) -> Outcome:
    """Encode a problem and search it by ``work(encoding, until)``.

    If the time ends, or Ctrl-C arrives, before the solver has started, the answer is all nodes apart with the number of
    identities as bound: every identity of a live node needs a position.
    """
    until = None if limits.seconds is None else monotonic() + limits.seconds
    try:
        return work(encode(problem, until), until)
    except (OutOfTime, KeyboardInterrupt):
        nodes = problem.nodes
        return Outcome(
            Status.FEASIBLE,
            tuple(range(len(nodes.name))),
            len(set(nodes.identity)),
            "no search: one position per identity",
        )


def run(work: Callable[[], Result], stop: Callable[[], None], until: float | None) -> tuple[Result, bool]:
    """Run ``work`` in a thread; at the time ``until`` or on Ctrl-C, call ``stop`` repeatedly until it ends.

    Parameters
    ----------
    work, stop : function
        The search, and a function that makes it return early.
    until : float or None
        Time limit, by ``time.monotonic``.

    Returns
    -------
    (result, stopped)
        What ``work`` returned, and whether ``stop`` was called.

    Examples
    --------
    >>> run(lambda: 7, lambda: None, None)
    (7, False)
    """
    results: list[Result] = []
    faults: list[BaseException] = []
    done = Event()

    def target() -> None:
        try:
            results.append(work())
        except BaseException as error:
            faults.append(error)
        finally:
            done.set()

    stopped = False
    with _collect_interrupts() as interrupts:
        Thread(target=target, daemon=True).start()
        while not done.is_set():
            done.wait(0.1 if until is None else min(0.1, max(0.001, until - monotonic())))
            stopped = stopped or bool(interrupts) or (until is not None and monotonic() >= until)
            if stopped and not done.is_set():
                stop()
                done.wait(0.05)
        stopped = stopped or bool(interrupts)
    if faults:
        raise faults[0]
    return results[0], stopped


@contextmanager
def _collect_interrupts() -> Iterator[list[int]]:
    """Collect SIGINT in a list instead of raising KeyboardInterrupt, which could leave the block at any line.

    A caller that was left while its solver still runs would use the solver from two threads. Outside the main thread,
    and where SIGINT is ignored, nothing is changed.
    """
    interrupts: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    if current_thread() is not main_thread() or not callable(handler):
        yield interrupts
        return
    signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, handler)


def run_stoppable(work: Callable[[Event], Result], until: float | None) -> Result:
    """Run ``work(stop)`` in a thread, with ``stop`` set at the time ``until`` or on Ctrl-C; return its result.

    On Ctrl-C, KeyboardInterrupt is raised once the work has ended. The work looks at ``stop`` between calls of a solver
    that cannot be interrupted, so that the solver can be used again.

    Examples
    --------
    >>> run_stoppable(lambda stop: stop.is_set(), None)
    False
    """
    stop = Event()
    result, stopped = run(lambda: work(stop), stop.set, until)
    if stopped and (until is None or monotonic() < until):
        raise KeyboardInterrupt
    return result


def run_in_thread(work: Callable[[], Result]) -> Result:
    """Run ``work`` in another thread and return its result; on Ctrl-C, raise KeyboardInterrupt once it has ended.

    In the main thread PySAT replaces the handler of SIGINT by one that jumps out of the solver: a jump out of a memory
    allocation leaves the allocator locked, and a signal that reaches another thread crashes the process. In other
    threads PySAT leaves the handler alone. Blocking SIGINT would not do: the kernel then delivers it to another thread.

    Examples
    --------
    >>> run_in_thread(lambda: 7)
    7
    """
    result, stopped = run(work, lambda: None, None)
    if stopped:
        raise KeyboardInterrupt
    return result
