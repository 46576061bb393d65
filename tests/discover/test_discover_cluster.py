"""``masksynth discover --dask``: a cluster of processes on this machine, one of whose workers is killed."""

from __future__ import annotations

import json
import os
import signal
import time

from masksynth.contracts import dump_contracts
from masksynth.contracts.families import FAMILIES, leave_one_out
from tests.cli.command import here, start
from tests.search.clusters import cluster


def test_rounds_go_on_where_a_worker_is_killed(tmp_path):
    path, out = tmp_path / "contracts.json", tmp_path / "out"
    path.write_text(dump_contracts(FAMILIES["leave_ball_out"](n=16, radius=1, layers=4)))
    with cluster(tmp_path) as dask:
        options = ("--backend", "search", "--time-limit", 6, "--dask", dask.address, "-o", out, "--json")
        process = start("discover", path, *options)
        time.sleep(3)
        os.killpg(dask.processes[-1].pid, signal.SIGKILL)
        text, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, "")
    record = json.loads(text)
    assert record["bound"] <= record["cost"]
    assert record["seconds"] < 2 * 6  # rounds do not wait for one another beyond the limit
    assert here("verify", out / "contracts.json", out).returncode == 0


def test_jobs_of_an_exact_search_are_run_again(tmp_path):
    path, out = tmp_path / "contracts.json", tmp_path / "out"
    document = json.loads(dump_contracts(leave_one_out(n=5)))
    document["weights"] = {"position": 1, "kv": 1, "pair": 1, "count": "structure"}
    path.write_text(json.dumps(document))
    with cluster(tmp_path) as dask:
        process = start("discover", path, "--backend", "cpsat", "--dask", dask.address, "-o", out, "--json")
        time.sleep(2)
        os.killpg(dask.processes[-1].pid, signal.SIGKILL)
        text, complaints = process.communicate(timeout=90)
    assert (process.returncode, complaints) == (0, "")
    record = json.loads(text)
    assert (record["status"], record["cost"], record["bound"]) == ("OPTIMAL", 27, 27)
