"""Jobs on the workers of a Dask scheduler: the executor, and what must hold before it is used."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from masksynth.errors import InvalidInstance, MasksynthError, Unsupported

WAIT = 10
"""Seconds in which a scheduler must answer, and in which the first worker must join it."""
AWAY = 600
"""Seconds for which a scheduler that was lost is waited for."""
LEAST = 32
"""Least number of jobs under way, so that workers that join later have something to do."""


@contextmanager
def connected(address: str) -> Iterator[tuple[Executor, int]]:
    """An executor on the workers of the Dask scheduler at an address, and how many jobs keep them busy: two for each thread of a worker.

    A scheduler that goes away is waited for, and found again at the same address.

    Parameters
    ----------
    address : str
        As ``dask scheduler`` prints it, ``tcp://HOST:PORT``.

    Raises
    ------
    InvalidInstance
        If this is no address.
    Unsupported
        If Dask is not installed.
    MasksynthError
        If no scheduler answers there, it has no workers, or theirs is another version of masksynth.

    Examples
    --------
    >>> with connected("butterfly"):
    ...     pass
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: butterfly: not an address of a Dask scheduler; give tcp://HOST:PORT
    """
    with _quiet():
        with _client(address, WAIT) as client:
            threads = _threads(client, address)
            _check_versions(client)
        with _client(address, AWAY) as client:
            yield client.get_executor(pure=False), max(LEAST, 2 * threads)


def _client(address: str, seconds: float) -> Any:
    """A client that waits so long for its scheduler, at first and whenever it is lost."""
    try:
        from distributed import Client
    except ImportError:
        raise Unsupported("a cluster needs Dask; pip install 'masksynth[dask]'") from None
    try:
        connect: Any = Client
        return connect(address, timeout=seconds, set_as_default=False)
    except ValueError:
        raise InvalidInstance("not an address of a Dask scheduler", "", "give tcp://HOST:PORT", address) from None
    except (OSError, AssertionError):  # the latter where somebody else listens, and says nothing
        raise MasksynthError(f"{address}: no Dask scheduler answers; start one with `dask scheduler`") from None


def _threads(client: Any, address: str) -> int:
    """Threads of all workers, as soon as there is one."""
    try:
        client.wait_for_workers(1, timeout=WAIT)
    except TimeoutError:
        raise MasksynthError(f"{address}: the scheduler has no workers; start one with `dask worker {address}`") from None
    threads: int = sum(client.nthreads().values())
    return threads


def _check_versions(client: Any) -> None:
    """Every worker has the masksynth that asks it."""
    here = version("masksynth")
    found: dict[str, Any] = client.run(version, "masksynth", on_error="return")
    for worker, there in sorted(found.items()):
        if there != here:
            has = "no masksynth" if isinstance(there, Exception) else f"masksynth {there}"
            raise MasksynthError(f"{worker}: the worker has {has}, here is {here}; install the same wheel on every machine")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from writing stack traces about a scheduler that is away."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
