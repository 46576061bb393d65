"""The real command in a process of its own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import chdir, suppress
from pathlib import Path

from click.testing import CliRunner

from masksynth.cli import main
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.tasks.instance_files import dumps

COMMAND = str(Path(sys.executable).parent / "masksynth")
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
FILES = {"solution.json", "mask.safetensors", "mask.npz", "flex_mask.py"}


def masksynth(*arguments, text=None, cwd=None, environment=None):
    """Run the command to its end; stdout and stderr are text."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        input=text,
        stdin=None if text is not None else subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        env=ENVIRONMENT | (environment or {}),
        timeout=120,
        check=False,
    )


def here(*arguments, text=None, cwd=None):
    """The same in this process, where the process is not what is tested."""
    with chdir(cwd or "."):
        done = CliRunner().invoke(main, [str(argument) for argument in arguments], input=text, prog_name="masksynth")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def refused(done, code=2):
    """The one line that a refusing command says; it answers nothing."""
    assert (done.returncode, done.stdout) == (code, ""), done
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    assert done.stderr[:-1].isprintable()
    return done.stderr.removeprefix("Error: ").rstrip("\n")


def start(*arguments, **options):
    """Start the command and leave it running."""
    return subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        **options,
    )


def wait_for_search(process, seconds=60):
    """Wait until the solver runs: until threads other than the first have worked for a fifth of a second."""
    end = time.monotonic() + seconds
    while worked(process.pid) < os.sysconf("SC_CLK_TCK") / 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.3)


def worked(pid):
    """CPU ticks of a process's threads other than the first."""
    ticks = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread may end while we look
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            ticks += 0 if task.name == str(pid) else int(fields[11]) + int(fields[12])
    return ticks


def interrupt(process, seconds=15):
    """Press Ctrl-C; (exit code, stdout, stderr, seconds until the end)."""
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err, time.monotonic() - begun


def regular(nodes, degree):
    """A task of equal nodes with ``degree`` random keys each: all of them merge, which is hard to find by search."""
    chance = random.Random(1)
    names = [f"n{number}" for number in range(nodes)]
    rows = {name: chance.sample(names, degree) for name in names}
    task = Task("t", [Node(name, "x", 0) for name in names], rows, [Prediction(name, "y") for name in names])
    return dumps(Instance(TaskFamily((task,)), f"regular-{nodes}-{degree}"))
