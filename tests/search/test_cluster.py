"""Batches on a Dask cluster of real processes: whatever happens to them, every instance has exactly one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from threading import Thread

import pytest

import masksynth as ms
from masksynth.errors import MasksynthError
from masksynth.tasks.instance_files import dumps
from masksynth.workers import dask as dask_module
from masksynth.workers.dask import connected
from tests.cli.command import refused
from tests.search.clusters import cluster, free_port
from tests.search.harness import (
    chain,
    environment,
    errors,
    folder,
    good,
    home,
    results,
    said,
    search,
    search_here,
    start,
    until,
    whole_lines,
)

pytestmark = pytest.mark.slow
OPTIONS = ("instances", "--backend", "faulty")
OUT = ("-o", "r.jsonl")


def python(path, code):
    """Run a program that finds the faulty backends."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=path, env=environment(path), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,  # noqa: E501
        check=False,
    )  # fmt: skip


def lines(path):
    """Results that are on disk so far."""
    return whole_lines(path / "r.jsonl")


def undisturbed(path):
    """What the same batch says in this process, where nothing goes wrong."""
    with chdir(path), ThreadPoolExecutor(1) as executor:
        return said(ms.search("instances", backend="criterion", executor=executor))


def slow(path, count, seconds=0.2):
    """Instances that take their time."""
    return folder(path / "instances", {f"s{number:02}": f"sleep {seconds} #{number}" for number in range(count)})


def ended(process, code):
    """The output of a command that has ended."""
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == code, complaints
    assert "Traceback" not in complaints
    return complaints


def test_a_worker_that_is_killed_costs_nothing(tmp_path):
    folder(tmp_path / "instances", {"aaa": "once sleep 3600"} | good(6))
    with cluster(tmp_path) as dask:
        process = start(tmp_path, *OPTIONS, *OUT, "--dask", dask.address)
        mark = home(tmp_path) / "once-sleep-3600"
        os.kill(int(until(lambda: mark.exists() and mark.read_text(), process)), signal.SIGKILL)
        ended(process, 0)
    assert said(results(tmp_path / "r.jsonl")) == undisturbed(tmp_path)


def test_every_fault_among_good_instances(tmp_path):
    faults = {
        "dies": ("die", "the worker died 2 times"),
        "leaves": ("leave", "SystemExit: 5"),
        "raises": ("raise", "RuntimeError: the solver has crashed"),
        "odd": ("odd", "an exception of no module"),
        "eats": ("eat", "the worker died 2 times"),
    }
    orders = {name: order for name, (order, _) in faults.items()} | good(10)
    folder(tmp_path / "instances", orders)
    (tmp_path / "instances" / "malformed.json").write_text("{")
    with cluster(tmp_path, nanny=True, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1") as dask:
        done = search(tmp_path, *OPTIONS, *OUT, "--dask", dask.address)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    found = results(tmp_path / "r.jsonl")
    assert len(said(found)) == len(orders) + 1
    told = errors(found)
    assert set(told) == {*faults, "malformed"}
    for name, (_, reason) in faults.items():
        assert reason in told[name], told[name]
    assert "not JSON" in told["malformed"]
    (tmp_path / "instances" / "malformed.json").write_text(dumps(chain("answer #99")))
    again = search_here(tmp_path, *OPTIONS, *OUT, "--resume", calm=True)
    assert again.returncode == 0, again
    assert said(results(tmp_path / "r.jsonl")) == undisturbed(tmp_path)


def test_a_scheduler_goes_away_and_comes_back(tmp_path):
    slow(tmp_path, 24)
    with cluster(tmp_path) as dask:
        process = start(tmp_path, *OPTIONS, *OUT, "--dask", dask.address)
        until(lambda: len(lines(tmp_path)) >= 4, process)
        dask.kill_scheduler()
        for worker in dask.processes[1:]:
            worker.wait(timeout=30)  # a worker ends with its scheduler
        before = len(lines(tmp_path))
        assert before < 24
        dask.start(workers=2)
        ended(process, 0)
    assert said(results(tmp_path / "r.jsonl")) == undisturbed(tmp_path)


def test_ctrl_c_leaves_the_cluster_to_the_next_command(tmp_path):
    slow(tmp_path, 16)
    with cluster(tmp_path) as dask:
        process = start(tmp_path, *OPTIONS, *OUT, "--dask", dask.address)
        until(lambda: len(lines(tmp_path)) >= 3, process)
        os.killpg(process.pid, signal.SIGINT)
        assert "--resume" in ended(process, 3)
        assert all(line.error is None for line in lines(tmp_path))
        assert all(worker.poll() is None for worker in dask.processes)
        again = search(tmp_path, *OPTIONS, *OUT, "--resume", "--dask", dask.address)
        assert again.returncode == 0, again
    assert said(results(tmp_path / "r.jsonl")) == undisturbed(tmp_path)


def test_ctrl_c_while_the_scheduler_is_away(tmp_path):
    slow(tmp_path, 16)
    with cluster(tmp_path) as dask:
        process = start(tmp_path, *OPTIONS, *OUT, "--dask", dask.address)
        until(lambda: len(lines(tmp_path)) >= 3, process)
        dask.kill_scheduler()
        os.killpg(process.pid, signal.SIGINT)
        assert ended(process, 3).count("\n") == 1
    again = search_here(tmp_path, *OPTIONS, *OUT, "--resume", calm=True)
    assert again.returncode == 0, again
    assert said(results(tmp_path / "r.jsonl")) == undisturbed(tmp_path)


GIVES_UP = """
from masksynth.cli import main
from masksynth.workers import dask

dask.AWAY = 2
main(["search", "instances", "--backend", "faulty", "-o", "r.jsonl", "--dask", "{address}"])
"""


def test_a_scheduler_that_stays_away_ends_the_batch(tmp_path):
    slow(tmp_path, 60)
    with cluster(tmp_path) as dask:
        code = GIVES_UP.format(address=dask.address)
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True
        )
        until(lambda: len(lines(tmp_path)) >= 3, process)
        dask.kill_scheduler()
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaints.startswith("Error: the executor broke and takes no more jobs: ")
    assert complaints.count("\n") == 1
    found = results(tmp_path / "r.jsonl")
    assert len(said(found)) < 60  # what had not begun is not there
    assert {line.status for line in found} == {"OPTIMAL", None}
    again = search_here(tmp_path, *OPTIONS, *OUT, "--resume", calm=True)
    assert again.returncode == 0, again
    assert said(results(tmp_path / "r.jsonl")) == undisturbed(tmp_path)


FROM_PYTHON = """
from distributed import Client
import masksynth as ms

with Client("{address}") as client:
    executor = client.get_executor()
    twice = list(ms.search(["instances/good-000.json"] * 2, backend="faulty", executor=executor))
    race = list(ms.search("instances", backend=["slow", "criterion"], executor=executor, ordered=True))
    carried = list(ms.search(ms.sweep("butterfly", n=[4, 8]), executor=executor, jobs=1))
    statuses = {{result.status for result in race}}
    print([result.status for result in twice], statuses, [result.instance for result in race])
    print([result.answer.objective["positions"].value for result in carried])
"""


def test_from_python_with_the_executor_as_dask_gives_it(tmp_path):
    folder(tmp_path / "instances", good(3))
    with cluster(tmp_path) as dask:
        done = python(tmp_path, FROM_PYTHON.format(address=dask.address))
    names = [f"instances/good-{number:03}.json" for number in range(3)]
    assert done.stdout == f"{['OPTIMAL'] * 2} {{'OPTIMAL'}} {names}\n[10, 22]\n", done


@contextmanager
def web_server():
    """The port of something else than a scheduler."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_what_is_missing_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_module, "WAIT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent, web_server() as web:
        ports = free_port(), silent.getsockname()[1], web
        for address in (
            *(f"tcp://127.0.0.1:{port}" for port in ports),
            "nonsense",
            "",
            "127.0.0.1",
            "http://127.0.0.1:80",
            "tcp://h:port",
        ):
            with (
                pytest.raises(MasksynthError, match=f"^{address}: no Dask scheduler answers; start one with `dask sch"),
                connected(address),
            ):
                pass
    with cluster(tmp_path, workers=0) as dask:
        with (
            pytest.raises(MasksynthError, match=f"no workers; start one with `dask worker {dask.address}`$"),
            connected(dask.address),
        ):
            pass
        other = tmp_path / "other" / "masksynth-9.9.dist-info"
        other.mkdir(parents=True)
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: masksynth\nVersion: 9.9\n")
        dask.start_workers(1, PYTHONPATH=str(other.parent))
        dask.wait()
        folder(tmp_path / "instances", good(1))
        reason = refused(search(tmp_path, *OPTIONS, *OUT, "--dask", dask.address))
        here = version("masksynth")
        assert reason.endswith(
            f": the worker has masksynth 9.9, here is {here}; install the same wheel on every machine"
        )
        assert not (tmp_path / "r.jsonl").exists()


def test_dask_is_an_extra(tmp_path):
    folder(tmp_path / "instances", good(1))
    code = "import sys; sys.modules['distributed'] = None; from masksynth.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "search", "instances", "--dask", "tcp://127.0.0.1:1"], cwd=tmp_path, stdin=subprocess.DEVNULL,  # noqa: E501
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused(done) == "a cluster needs Dask; pip install 'masksynth[dask]'"
