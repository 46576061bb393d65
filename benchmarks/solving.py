"""Measure `solve` from an instance file to the folder of its answer, and the start of the command.

Every figure is CPU seconds of a fresh process. With ``MASKSYNTH_OLD=folder``, another checkout of masksynth, each
process of this one runs in turn with one of that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.families import SOLVED
from benchmarks.results import Result, Table, table
from masksynth.solve import count_nodes
from masksynth.tasks.instance_files import dumps

HERE = Path(__file__).parent.parent
REPEATS = 3

SOLVE = """
import sys, time
import msgspec, safetensors.numpy
from masksynth.solve import solve, write
from masksynth.tasks.instance_files import load
clock = [time.process_time()]
instance = load(sys.argv[1]); clock.append(time.process_time())
answer = solve(instance, backend="criterion"); clock.append(time.process_time())
write(answer, sys.argv[2], force=True); clock.append(time.process_time())
print(len(answer.merged.positions), *(end - start for start, end in zip(clock, clock[1:])))
"""
LIMIT = """
import gc, json, sys, time
gc.disable()
start = time.process_time()
json.loads(open(sys.argv[1], "rb").read())
print(time.process_time() - start)
"""
START = """
import resource, subprocess, sys
subprocess.run([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL, check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime)
"""


def run(checkout: Path, code: str, *arguments: str) -> list[float]:
    """Return the numbers that a fresh process prints which imports masksynth from a checkout."""
    environment = {**os.environ, "PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'solvers'}"}
    command = [sys.executable, "-c", code, *arguments]
    with TemporaryDirectory() as folder:  # not the checkout, whose modules would come first
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def best(code: str, *arguments: str) -> list[list[float]]:
    """Return the least of each number over `REPEATS` runs, for this checkout and for the old one if there is one."""
    checkouts = [HERE, *([Path(os.environ["MASKSYNTH_OLD"])] if "MASKSYNTH_OLD" in os.environ else [])]
    runs = [[run(checkout, code, *arguments) for checkout in checkouts] for _ in range(REPEATS)]
    return [[min(numbers) for numbers in zip(*cells, strict=True)] for cells in zip(*runs, strict=True)]


def measure_solving(max_size: int) -> Result:
    """Measure families of up to 100,000 nodes from file to folder, then the start of the command."""
    nodes = min(max_size, 100_000)
    rows = []
    with TemporaryDirectory() as folder:
        file, output = Path(folder, "instance.json"), str(Path(folder, "out"))
        for name, family in SOLVED.items():
            instance = family(nodes)
            file.write_text(dumps(instance), encoding="utf-8")
            [[limit]] = best(LIMIT, str(file))[:1]
            (positions, *new), *old = best(SOLVE, str(file), output)
            ratios = [f"{old[0][part + 1] / new[part]:.1f}" if old else "-" for part in range(3)]
            total = f"{sum(old[0][1:]) / sum(new):.1f}" if old else "-"
            seconds = [f"{part:.2f}" for part in new]
            size = f"{count_nodes(instance.family):,}"
            rows.append([name, size, f"{positions:,.0f}", *seconds, *ratios, total, f"{sum(new) / limit:.1f}"])
    head = ["family", "task nodes", "positions", "load s", "solve s", "write s"]
    head += ["old / new load", "old / new solve", "old / new write", "old / new all", "all / json.loads"]
    return Result((table(head, rows), measure_start()))


def measure_start() -> Table:
    """Return a table of the CPU time that starting the command takes, beside that of importing click."""
    [[click]] = best(START, "-c", "import click")[:1]
    rows = []
    for arguments in (["--version"], ["--help"], ["pack", "--help"], ["solve", "--help"]):
        [new], *old = best(START, "-m", "masksynth", *arguments)
        ratio = f"{old[0][0] / new:.1f}" if old else "-"
        rows.append([f"masksynth {' '.join(arguments)}", f"{new:.3f}", ratio, f"{new / click:.1f}"])
    return table(["command", "CPU s", "old / new", "/ import click"], rows)
