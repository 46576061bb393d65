"""Run batches in processes: instances that steer faulty backends, results read back, workers found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from masksynth import solve
from masksynth.search import Result
from masksynth.search.result import result_of
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.tasks.instance_files import content_hash, dumps, load
from tests.cli.command import ENVIRONMENT, here

SITE = Path(__file__).parent / "faulty"
COMMAND = (sys.executable, "-m", "masksynth", "search")


def chain(order, nodes=3):
    """An instance of one task, a chain; its name is the order to a faulty backend."""
    names = [f"w{number}" for number in range(nodes)]
    rows = {name: names[: place + 1] for place, name in enumerate(names)}
    task = Task(
        order, [Node(name, name, place) for place, name in enumerate(names)], rows, [Prediction(names[-1], "y")], True
    )
    return Instance(TaskFamily((task,)), order.replace(" ", "-"))


def folder(path, orders):
    """A file for each name and order."""
    path.mkdir(exist_ok=True)
    for name, order in orders.items():
        (path / f"{name}.json").write_text(dumps(chain(order)))
    return path


def good(count, first=0):
    """Orders that nothing is wrong with, no two instances the same."""
    return {f"good-{number:03}": f"answer #{number}" for number in range(first, first + count)}


def home(path):
    """Where the backends of a test leave their marks."""
    place = path / "home"
    place.mkdir(exist_ok=True)
    return place


def with_site():
    """The search path of modules with the faulty backends in front."""
    return os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH", ""))))


def environment(path, **more):
    """Of a process that finds the faulty backends."""
    return {**ENVIRONMENT, "PYTHONPATH": with_site(), "FAULTY_HOME": str(home(path)), **more}


def search(path, *arguments, calm=False, timeout=100, **options):
    """Run ``masksynth search`` in a folder to its end."""
    variables = environment(path, **({"FAULTY_CALM": "1"} if calm else {}))
    options = {
        "cwd": path,
        "env": variables,
        "stdin": subprocess.DEVNULL,
        "capture_output": True,
        "text": True,
    } | options
    return subprocess.run([*COMMAND, *map(str, arguments)], timeout=timeout, check=False, **options)


def search_here(path, *arguments, calm=False):
    """The same in this process, where the process is not what is tested; its workers are processes all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTY_HOME", str(home(path)))
        patch.setenv("PYTHONPATH", with_site())
        patch.syspath_prepend(SITE)
        if calm:
            patch.setenv("FAULTY_CALM", "1")
        return here("search", *arguments, cwd=path)


def start(path, *arguments, **options):
    """Start it as the leader of a process group, as a terminal does."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], cwd=path, env=environment(path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,  # noqa: E501
        stderr=subprocess.PIPE, text=True, start_new_session=True, **options,
    )  # fmt: skip


def until(condition, process=None, seconds=60):
    """Wait for something true, and return it."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


def results(path) -> list[Result]:
    """Every line of a complete file."""
    text = path.read_bytes()
    assert text.endswith(b"\n") or not text
    return [result_of(line, str(path), place) for place, line in enumerate(text.splitlines(), 1)]


def whole_lines(path):
    """The lines of a file that may end in the middle of one."""
    return [result_of(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def said(lines):
    """What is the same in every run: instance, hash, status, objective; no instance twice."""
    told = [(line.instance, line.hash, line.status, json.dumps(line.objective, sort_keys=True)) for line in lines]
    assert len({line[0] for line in told}) == len(told)
    return sorted(told, key=str)


def undisturbed(path, *arguments):
    """What the same command says when nothing goes wrong."""
    out = path / "undisturbed.jsonl"
    done = search_here(path, *arguments, "-o", out, calm=True)
    assert done.returncode == 0, done
    return said(results(out))


def name_of(path):
    """A path as a line of results gives it: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def due(path):
    """The same from a plain loop over the files of ``instances``."""
    told = []
    for file in sorted((path / "instances").rglob("*.json")):
        instance = load(file)
        answer = solve(instance, backend="criterion")
        objective = json.dumps({name: asdict(size) for name, size in answer.objective.items()}, sort_keys=True)
        told.append((name_of(file.relative_to(path)), content_hash(instance.family), answer.status.name, objective))
    return sorted(told, key=str)


def errors(lines):
    """Reason of each failure, by the name of its file without ending."""
    return {Path(line.instance).stem: line.error for line in lines if line.error is not None}


def alive(pid):
    """Whether a process runs (one that has ended and was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def asked(path, backend="faulty"):
    """Numbers of the processes in which a backend was called."""
    return {int(mark.name.rpartition("-")[2]) for mark in home(path).glob(f"{backend}-*")}


def named(path):
    """Processes whose environment names the home of a test: all that were started by it, but for Python's trackers of
    semaphores.
    """
    mark, found = f"FAULTY_HOME={home(path)}\0".encode(), set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            is_tracker = b"resource_tracker" in (entry / "cmdline").read_bytes()
            if mark in (entry / "environ").read_bytes() and alive(int(entry.name)) and not is_tracker:
                found.add(int(entry.name))
    return found - {os.getpid()}
