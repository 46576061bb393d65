"""Packing on a Dask cluster of real processes: whatever happens to them, the folder is the same."""

from __future__ import annotations

import os
import signal
import subprocess

from masksynth.pack import pack_samples
from tests.cli.command import COMMAND
from tests.pack.test_jobs import content, lines, samples
from tests.search.clusters import cluster
from tests.search.harness import environment, until

WINDOWS = {"window": 20, "max_length": 300}


def start(path, *arguments):
    """Run ``masksynth pack`` in a folder."""
    options = ("--window", "20", "--max-length", "300")
    return subprocess.Popen(
        [COMMAND, "pack", "a.jsonl", *options, "-o", "out", *arguments], cwd=path, env=environment(path), stdin=subprocess.DEVNULL,  # noqa: E501
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def journal(path):
    """Complete windows so far."""
    try:
        return (path / ".out.partial" / "journal.jsonl").read_bytes().count(b"\n") - 1
    except FileNotFoundError:
        return 0


def test_a_cluster_that_loses_a_worker_and_its_scheduler_gives_the_same_bytes(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(samples(1500)))
    pack_samples(tmp_path / "a.jsonl", tmp_path / "whole", jobs=1, **WINDOWS)
    with cluster(tmp_path) as dask:
        process = start(tmp_path, "--dask", dask.address)
        until(lambda: journal(tmp_path) >= 3, process)
        os.killpg(dask.processes[1].pid, signal.SIGKILL)
        until(lambda: journal(tmp_path) >= 8, process)
        dask.kill_scheduler()
        for worker in dask.processes[1:]:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        dask.start_scheduler()
        dask.start_workers(2)
        output, complaints = process.communicate(timeout=90)
        assert process.returncode == 0, complaints
    assert complaints == ""
    assert "1,500 samples" in output
    assert content(tmp_path / "out") == content(tmp_path / "whole")
