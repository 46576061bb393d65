"""Measuring one cell in a process of its own, so that neither memory nor caches leak from one cell to the next."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import platform
import resource
import signal
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from math import log
from pathlib import Path
from time import perf_counter
from typing import Any

SOLVERS = ("numpy", "ortools", "python-sat")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What ``work`` returns, and its seconds."""
    begun = perf_counter()
    result = work()
    return result, perf_counter() - begun


def peak_mib() -> float:
    """The most memory that this process has held so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if platform.system() == "Darwin" else peak / 2**10


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """``work(*arguments)`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def metered(limit: float, work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """``work(*arguments)`` in a forked process that the kernel ends after ``limit`` CPU seconds, and the CPU seconds it took.

    None is returned instead of a result when the limit came first. CPU seconds are those of the process, all its threads and the children
    that it waited for; what this process has imported already costs the fork nothing.
    """
    near, far = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(near)
        signal.setitimer(signal.ITIMER_PROF, limit)
        _answer(far, work, arguments)
    os.close(far)
    with os.fdopen(near, "rb") as answer:
        told = answer.read()
    _, status, usage = os.wait4(child, 0)
    spent = usage.ru_utime + usage.ru_stime
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
        return None, spent
    if status:
        raise RuntimeError(f"{work.__name__} ended with wait status {status}")
    return pickle.loads(told), spent


def _answer(descriptor: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """What a forked process does: it never returns. What a solver prints is not kept."""
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        result = pickle.dumps(work(*arguments))
        with os.fdopen(descriptor, "wb") as answer:
            answer.write(result)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of log seconds over log sizes by least squares: seconds grow like size to this power.

    Examples
    --------
    >>> round(exponent([1, 10, 100], [2, 20, 200]), 6)
    1.0
    """
    x, y = [log(size) for size in sizes], [log(second) for second in seconds]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True)) / sum((a - middle_x) ** 2 for a in x)


def machine() -> str:
    """One line on where the figures come from."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor()
    )
    libraries = ", ".join(f"{name} {version(name)}" for name in ("masksynth", *SOLVERS))
    return f"{cpu or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}."


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table, columns aligned for the terminal too."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|", *lines[1:]])
