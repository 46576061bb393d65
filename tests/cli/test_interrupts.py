"""Ctrl-C and kill at every stage: the best checked answer, or nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from itertools import pairwise

import pytest

from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.tasks.instance_files import dumps
from tests.cli.command import FILES, interrupt, masksynth, regular, start, wait_for_search

SEARCHES = {"cpsat": (24, 6), "maxsat": (40, 8), "ilp": (24, 3)}


def chain(nodes, closure):
    """One task: a chain of which every node predicts."""
    names = [f"w{number}" for number in range(nodes)]
    rows = {name: [before, name] for before, name in pairwise(names)} | {names[0]: names[:1]}
    task = Task(
        "t",
        [Node(name, name, i) for i, name in enumerate(names)],
        rows,
        [Prediction(name, "y") for name in names],
        closure,
    )
    return dumps(Instance(TaskFamily((task,)), f"chain-{nodes}"))


@pytest.mark.parametrize("backend", SEARCHES)
def test_ctrl_c_in_a_search_gives_the_best_checked_answer(backend, tmp_path):
    path, out = tmp_path / "instance.json", tmp_path / "out"
    nodes, degree = SEARCHES[backend]
    path.write_text(regular(nodes, degree))
    process = start("solve", path, "--backend", backend, "-o", out, "--json")
    wait_for_search(process)
    code, text, complaints, seconds = interrupt(process)
    assert (code, complaints) == (0, "")
    assert seconds < 10
    record = json.loads(text)
    objective = record["objective"]["positions"]
    assert record["status"] == "FEASIBLE"
    assert 1 <= objective["bound"] <= degree <= objective["value"] == len(record["positions"])
    assert [road["backend"] for road in record["certificate"]["roads"]] == [backend]
    assert "rows" in record["certificate"]["checks"]
    assert "minimality" not in record["certificate"]["checks"]
    assert record == json.loads((out / "solution.json").read_text())
    assert {entry.name for entry in out.iterdir()} == FILES
    done = masksynth("verify", path, out)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not claimed minimal" in done.stdout


def test_ctrl_c_before_anything_is_found_leaves_nothing(tmp_path):
    process = start("solve", "-", "-o", tmp_path / "out", "--emit", tmp_path / "m.wcnf", stdin=subprocess.PIPE)
    process.stdin.write(chain(60_000, True))  # returns when the command has read nearly all of it
    process.stdin.flush()
    process.stdin.close()
    process.stdin = None
    time.sleep(0.3)
    code, out, complaints, seconds = interrupt(process)
    assert (code, out, complaints) == (3, "", "Error: interrupted; nothing was written\n")
    assert seconds < 10
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_reading(tmp_path):
    process = start("solve", "-", "-o", tmp_path / "out", stdin=subprocess.PIPE)
    process.stdin.write(chain(3000, True))
    process.stdin.flush()
    time.sleep(0.3)
    code, out, complaints, _ = interrupt(process)
    assert (code, out, complaints) == (3, "", "Error: interrupted; nothing was written\n")
    assert list(tmp_path.iterdir()) == []


def writing(folder, target):
    """A process that writes an answer of about 30 MB, stopped at the moment at which its hidden draft appears."""
    process = start("solve", folder / "chain.json", "--backend", "criterion", "-o", target, "--quiet")
    end = time.monotonic() + 60
    while not [name for name in os.listdir(folder) if name.endswith(".partial")]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.001)
    return process


@pytest.mark.parametrize("delay", [0, 0.05])
def test_kill_while_writing_leaves_no_half_folder(delay, tmp_path):
    (tmp_path / "chain.json").write_text(chain(2500, True))
    out = tmp_path / "out"
    process = writing(tmp_path, out)
    time.sleep(delay)
    process.kill()
    process.communicate()
    whole = out.exists()
    if whole:
        assert {entry.name for entry in out.iterdir()} == FILES
        assert process.returncode in (0, -signal.SIGKILL)
    done = masksynth(
        "solve",
        tmp_path / "chain.json",
        "--backend",
        "criterion",
        "-o",
        out,
        "--quiet",
        *(["--force"] if whole else []),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {entry.name for entry in tmp_path.iterdir()} == {"chain.json", "out"}
    assert masksynth("verify", tmp_path / "chain.json", out, "--quiet").returncode == 0


def test_ctrl_c_while_writing_comes_too_late(tmp_path):
    (tmp_path / "chain.json").write_text(chain(2500, True))
    process = writing(tmp_path, tmp_path / "out")
    code, out, complaints, _ = interrupt(process)
    assert (code, out, complaints) == (0, "", "")
    assert {entry.name for entry in tmp_path.iterdir()} == {"chain.json", "out"}
    assert masksynth("verify", tmp_path / "chain.json", tmp_path / "out", "--quiet").returncode == 0


def test_a_time_limit_while_searching():
    begun = time.monotonic()
    done = masksynth("solve", "-", "--backend", "maxsat", "--time-limit", "0.5", "--json", text=regular(40, 8))
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(done.stdout)
    assert (record["status"], len(record["positions"]), record["limits"]["seconds"]) == ("FEASIBLE", 40, 0.5)
    assert time.monotonic() - begun < 30
