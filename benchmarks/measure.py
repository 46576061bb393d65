"""Measure a cell in a process of its own, so that neither memory nor caches carry over from one cell to the next."""

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
from time import perf_counter, process_time
from typing import Any

SOLVERS = ("numpy", "ortools", "python-sat")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of ``work`` and its wall-clock seconds."""
    start = perf_counter()
    result = work()
    return result, perf_counter() - start


def metered_here(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of ``work`` and the CPU seconds of this process, all threads included."""
    start = process_time()
    result = work()
    return result, process_time() - start


def peak_mib() -> float:
    """Return the peak memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if platform.system() == "Darwin" else peak / 2**10


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run ``work(*arguments)`` in a new process and return its result."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def metered(limit: float, work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Run ``work(*arguments)`` in a forked process; return its result and its CPU seconds.

    The kernel ends the process after ``limit`` CPU seconds; the result is then None. CPU seconds include all threads of
    the process and the children it waited for; modules that this process has already imported cost the fork nothing.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        signal.setitimer(signal.ITIMER_PROF, limit)
        _send_result(write_end, work, arguments)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        payload = pipe.read()
    _, status, usage = os.wait4(child, 0)
    spent = usage.ru_utime + usage.ru_stime
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
        return None, spent
    if status:
        raise RuntimeError(f"{work.__name__} ended with wait status {status}")
    return pickle.loads(payload), spent


def _send_result(descriptor: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Run the work in the forked process, send its result, and exit; output of solvers is discarded."""
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        result = pickle.dumps(work(*arguments))
        with os.fdopen(descriptor, "wb") as pipe:
            pipe.write(result)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the least-squares slope of log seconds over log sizes: seconds grow like size to this power.

    Examples
    --------
    >>> round(exponent([1, 10, 100], [2, 20, 200]), 6)
    1.0
    """
    x, y = [log(size) for size in sizes], [log(second) for second in seconds]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True)) / sum((a - middle_x) ** 2 for a in x)


def machine() -> str:
    """Return one line on processor, Python and library versions."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor()
    )
    libraries = ", ".join(f"{name} {version(name)}" for name in ("masksynth", *SOLVERS))
    return f"{cpu or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}."


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
