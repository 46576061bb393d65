"""Run jobs on the workers of a Dask scheduler, after checking that it can be reached and has the same version."""

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
"""Seconds within which a scheduler must answer, and its first worker must be connected."""
AWAY = 600
"""Seconds to wait for a scheduler that was lost."""
LARGEST = "2GB"
"""Size of the arguments of a call up to which Dask does not warn."""
LEAST = 32
"""Least number of running jobs, so that workers that join later have jobs."""


@contextmanager
def connected(address: str, least: int = LEAST) -> Iterator[tuple[Executor, int]]:
    """Connect to a Dask scheduler; yield an executor on its workers and the number of jobs that keeps them busy.

    The number is two per worker thread. If the scheduler is lost, it is awaited at the same address.

    Parameters
    ----------
    address : str
        As ``dask scheduler`` prints it, ``tcp://HOST:PORT``.
    least : int
        Least number of jobs. Few suit jobs with a time limit of their own, which would be over while they wait.

    Raises
    ------
    Unsupported
        If Dask is not installed.
    MasksynthError
        If no scheduler answers, it has no workers, or they have another version of masksynth.

    Examples
    --------
    >>> with connected("butterfly"):
    ...     pass
    Traceback (most recent call last):
    masksynth.errors.MasksynthError: butterfly: no Dask scheduler answers; start one with `dask scheduler`, ...
    """
    with _mute_logging():
        threads, versions = asyncio.run(_inspect_cluster(address))
        _check_versions(versions)
        client = _client()(address, timeout=AWAY, set_as_default=False)
        with client, _allow_large_arguments():
            yield client.get_executor(pure=False), max(least, 2 * threads)


def _client() -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise Unsupported("a cluster needs Dask; pip install 'masksynth[dask]'") from None
    return Client


async def _inspect_cluster(address: str) -> tuple[int, dict[str, Any]]:
    """Return the threads of all workers, once there is one, and the version of masksynth on each."""
    # A synchronous client cannot be closed if its scheduler does not answer; a second one may then wait forever.
    client = _client()(address, timeout=WAIT, set_as_default=False, asynchronous=True)
    try:
        await _await_worker(client, address)
        threads = await client.nthreads()
        return sum(threads.values()), await client.run(version, "masksynth", on_error="return")
    finally:
        await client.close()


async def _await_worker(client: Any, address: str) -> None:
    """Wait for the scheduler and its first worker."""
    try:
        async with asyncio.timeout(WAIT):  # the client's own timeout does not end if a silent process listens there
            await client
    except Exception:  # any type: the client interprets bytes of other protocols as array lengths
        raise MasksynthError(
            f"{address}: no Dask scheduler answers; start one with `dask scheduler`, and give its tcp://HOST:PORT"
        ) from None
    try:
        await client.wait_for_workers(1, timeout=WAIT)
    except TimeoutError:
        raise MasksynthError(
            f"{address}: the scheduler has no workers; start one with `dask worker {address}`"
        ) from None


def _check_versions(versions: dict[str, Any]) -> None:
    """Raise unless each worker has this version of masksynth."""
    here = version("masksynth")
    for worker, there in sorted(versions.items()):
        if there != here:
            has = "no masksynth" if isinstance(there, Exception) else f"masksynth {there}"
            raise MasksynthError(
                f"{worker}: the worker has {has}, here is {here}; install the same wheel on every machine"
            )


@contextmanager
def _allow_large_arguments() -> Iterator[None]:
    """Keep Dask from warning of calls with large arguments, such as a window of samples."""
    import dask

    with dask.config.set({"distributed.admin.large-graph-warning-threshold": LARGEST}):
        yield


@contextmanager
def _mute_logging() -> Iterator[None]:
    """Keep Dask from logging stack traces about a lost scheduler."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
