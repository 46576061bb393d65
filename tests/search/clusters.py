"""A Dask cluster of processes on this machine, whose workers have the faulty backends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.search.harness import environment, named, until

DASK = str(Path(sys.executable).parent / "dask")
HOST = "127.0.0.1"


def free_port():
    """A port at which no process listens."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


class Cluster:
    """A scheduler at a port of its own, and workers with one thread each; every process leads a group and writes to a
    log.
    """

    def __init__(self, path):
        self.path, self.port, self.processes, self._awaited = path, free_port(), [], []
        self.address = f"tcp://{HOST}:{self.port}"

    def _start(self, word, *arguments, **variables):
        variables = environment(self.path, DASK_TEMPORARY_DIRECTORY=str(self.path / "scratch")) | variables
        log = self.path / f"dask-{len(self.processes)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [DASK, *map(str, arguments)], cwd=self.path, env=variables, stdin=subprocess.DEVNULL, stdout=file,
                stderr=file, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        self._awaited.append((process, log, word))
        return process

    def start_scheduler(self, **variables):
        """At the same port each time."""
        options = ("--host", HOST, "--port", self.port, "--no-dashboard")
        self.scheduler = self._start("Scheduler at:", "scheduler", *options, **variables)

    def start_workers(self, count, nanny=False, **variables):
        """A nanny ends a worker that takes too much memory, and starts it again when it dies."""
        kind = ("--nanny", "--memory-limit", "1GB") if nanny else ("--no-nanny",)
        options = ("--nthreads", "1", *kind, "--no-dashboard")
        for _ in range(count):
            self._start("Registered to:", "worker", self.address, *options, **variables)

    def wait(self):
        """Until everything that was started is there."""
        for process, log, word in self._awaited:
            until(lambda log=log, word=word: word in log.read_text(), process)
        self._awaited = []

    def start(self, workers=2, nanny=False, **variables):
        """Scheduler and workers, side by side."""
        self.start_scheduler(**variables)
        self.start_workers(workers, nanny)
        self.wait()

    def kill_scheduler(self):
        """As a machine that loses its power."""
        self.scheduler.kill()
        self.scheduler.wait()

    def end(self):
        """Kill every process, and those that these have started."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        until(lambda: not named(self.path))


@contextmanager
def cluster(path, workers=2, nanny=False, **variables):
    """A cluster for one test; the variables are for its scheduler."""
    found = Cluster(path)
    try:
        found.start(workers, nanny, **variables)
        yield found
    finally:
        found.end()
