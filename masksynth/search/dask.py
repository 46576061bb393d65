"""Jobs on the workers of a Dask scheduler: the executor, and what must hold before it is used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from masksynth.errors import MasksynthError, Unsupported

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
    Unsupported
        If Dask is not installed.
    MasksynthError
        If no scheduler answers there, it has no workers, or theirs is another version of masksynth.

    Examples
    --------
    >>> with connected("butterfly"):
    ...     pass
    Traceback (most recent call last): masksynth.errors.MasksynthError: butterfly: no Dask scheduler answers; start one
    with `dask scheduler`, and give its tcp://HOST:PORT
    """
    with _quiet():
        threads, versions = asyncio.run(_look(address))
        _check_versions(versions)
        with _client()(address, timeout=AWAY, set_as_default=False) as client:
            yield client.get_executor(pure=False), max(LEAST, 2 * threads)


def _client() -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise Unsupported("a cluster needs Dask; pip install 'masksynth[dask]'") from None
    return Client


async def _look(address: str) -> tuple[int, dict[str, Any]]:
    """Threads of all workers, as soon as there is one, and the version of masksynth that each has."""
    # A client that is not asynchronous cannot be closed where its scheduler does not answer, and a second one may then
    # wait for ever.
    client = _client()(address, timeout=WAIT, set_as_default=False, asynchronous=True)
    try:
        await _meet(client, address)
        threads = await client.nthreads()
        return sum(threads.values()), await client.run(version, "masksynth", on_error="return")
    finally:
        await client.close()


async def _meet(client: Any, address: str) -> None:
    """Wait for the scheduler and its first worker."""
    try:
        async with asyncio.timeout(WAIT):  # the client's own time does not end where somebody listens who is silent
            await client
    except Exception:  # of any kind: the client takes what others answer for lengths of arrays
        raise MasksynthError(
            f"{address}: no Dask scheduler answers; start one with `dask scheduler`, and give its tcp://HOST:PORT"
        ) from None
    try:
        await client.wait_for_workers(1, timeout=WAIT)
    except TimeoutError:
        raise MasksynthError(
            f"{address}: the scheduler has no workers; start one with `dask worker {address}`"
        ) from None


def _check_versions(found: dict[str, Any]) -> None:
    """Every worker has the masksynth that asks it."""
    here = version("masksynth")
    for worker, there in sorted(found.items()):
        if there != here:
            has = "no masksynth" if isinstance(there, Exception) else f"masksynth {there}"
            raise MasksynthError(
                f"{worker}: the worker has {has}, here is {here}; install the same wheel on every machine"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from writing stack traces about a scheduler that is away."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
