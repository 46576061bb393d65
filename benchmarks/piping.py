"""Measure the stages of packing from file to file, runs of one and of two jobs, and what limits many workers.

The excerpts of ``benchmarks.packing.DATA`` are repeated, with other ids and groups, to about ``TEXT`` bytes of JSON
lines. Stages are measured in CPU seconds, the least of ``ROUNDS``; runs of one and of two jobs take turns. CPU seconds
of two jobs are without those of starting workers, which one tiny run measures; "two idle cores" is what they allow if
nothing else runs, where the ratio of wall seconds depends on what else the machine does. The second
table is computed, not measured: what 50 GB of such text would take on 64 workers if each resource worked alone, from
the measured CPU seconds per byte of the workers and of the process that reads, and the bandwidth of the disk.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.measure import alone
from benchmarks.packing import DATA, MAX_LENGTH
from benchmarks.results import Result, table
from masksynth.pack.packing import pack_samples
from masksynth.pack.read_files import Source, block_tables
from masksynth.pack.text_lines import Block, read_blocks, read_chunks, unpack_chunks

TEXT = 40_000_000
"""Bytes of JSON lines in each file."""
ROUNDS = 3
GIGABYTES, WORKERS = 50, 64
DISK = 1 << 28
"""Bytes that are written to measure the bandwidth of the disk: 256 MiB."""
STAGES = (
    "file",
    "text, MB",
    "gzip / unpack",
    "json / parse",
    "unpack, GB/s",
    "parse, GB/s",
    "wall, 1 / 2 jobs",
    "CPU, 2 / 1 jobs",
    "two idle cores, on paper",
)
PAPER = ("file", "workers, s", "reader, s", "disk, s", "saturates first", "workers until then", "disk, GB/s")


def measure_piping() -> Result:
    """Measure the stages and runs of each sample file, and extrapolate."""
    measured = [(path.name.split(".")[0], alone(measure_file, path)) for path in sorted(DATA.glob("*.jsonl.gz"))]
    stages = [[name, *(f"{value:.2f}" for value in cells[:8])] for name, cells in measured]
    paper = [[name, *extrapolate(*cells[8:])] for name, cells in measured]
    note = (
        f"The second table is on paper: {GIGABYTES} GB of text on {WORKERS} workers. Workers parse, merge, check and "
        "encode; the reader unpacks, cuts blocks, compares ids and keeps the journal; the disk takes the batches."
    )
    return Result((table(STAGES, stages), table(PAPER, paper)), (note,))


def extrapolate(work: float, read: float, written: float, disk: float) -> list[str]:
    """Return what each resource takes for ``GIGABYTES`` of text, the slowest one, and how many workers it feeds.

    Parameters
    ----------
    work, read : float
        CPU seconds of workers and of the reading process for each byte of text.
    written : float
        Bytes of batches for each byte of text.
    disk : float
        Bytes that the disk takes in a second.
    """
    text = GIGABYTES * 1e9
    seconds = {"workers": text * work / WORKERS, "reader": text * read, "disk": text * written / disk}
    slowest = max(seconds, key=lambda name: seconds[name])
    others = max(seconds["reader"], seconds["disk"])
    fed = f"{text * work / others:.0f}"
    return [*(f"{value:.0f}" for value in seconds.values()), slowest, fed, f"{disk / 1e9:.2f}"]


def measure_file(path: Path) -> tuple[float, ...]:
    """Return the cells of a file: stages, runs, and the seconds and bytes for each byte of text."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, packed = folder / "samples.jsonl", folder / "samples.jsonl.gz"
        plain.write_bytes(text := repeat_samples(gzip.decompress(path.read_bytes())))
        packed.write_bytes(gzip.compress(text, 6))
        unpack = least(lambda: unpack_file(packed))
        parse = least(lambda: parse_file(plain))
        slow_unpack = least(lambda: gzip.decompress(packed.read_bytes()))
        slow_parse = least(lambda: [parse_by_json(line) for line in plain.read_bytes().splitlines()])
        tiny = folder / "tiny.jsonl"
        tiny.write_bytes(text[: text.index(b"\n")])
        _, start, read_start, _ = run(tiny, folder / "out", 2)
        runs = [(run(packed, folder / "out", jobs), jobs) for _ in range(ROUNDS) for jobs in (1, 2)]
        (wall, cpu, _, size), (wall2, cpu2, read2, _) = (
            [min(cells) for cells in zip(*(cells for cells, each in runs if each == jobs), strict=True)]
            for jobs in (1, 2)
        )
        disk = disk_bandwidth(folder / "zeros")
    count = len(text)
    ratios = (slow_unpack / unpack, slow_parse / parse, count / unpack / 1e9, count / parse / 1e9)
    every, read = cpu2 - start, max(read2 - read_start, 0.0)  # without the start of the workers
    ratios = (*ratios, wall / wall2, every / cpu, 2 * cpu / every)
    return (count / 1e6, *ratios, (every - read) / count, read / count, size / count, disk)


def least(work: Callable[[], Any]) -> float:
    """Return the least CPU seconds of several runs."""
    seconds = []
    for _ in range(ROUNDS):
        start = process_time()
        work()
        seconds.append(process_time() - start)
    return min(seconds)


def repeat_samples(text: bytes) -> bytes:
    """Return JSON lines of about ``TEXT`` bytes: the samples of a file again and again, with other ids and groups."""
    rows = [json.loads(line) for line in text.splitlines()]
    copies = range(max(1, TEXT // len(text)))
    return b"".join(
        json.dumps(row | {name: f"{copy}/{row[name]}" for name in ("id", "group") if name in row}).encode() + b"\n"
        for copy in copies
        for row in rows
    )


def unpack_file(path: Path) -> int:
    with path.open("rb") as file:
        return sum(len(chunk) for chunk in unpack_chunks(file, path.name))


def parse_file(path: Path) -> int:
    source = Source(path.name, (), (), "#")
    with path.open("rb") as file:
        blocks: list[Block] = list(read_blocks(read_chunks(file), path.name))
    return sum(len(each) for block in blocks for each in block_tables(source, block))


def parse_by_json(line: bytes) -> list[Any]:
    row = json.loads(line)
    return [np.array(row[name], np.int64) for name in ("input_ids", "labels")]


def run(path: Path, folder: Path, jobs: int) -> tuple[float, float, float, float]:
    """Return wall seconds, CPU seconds of all processes and of this one, and bytes written, of one packing run."""
    before, start = _cpu(), perf_counter()
    pack_samples(path, folder, max_length=MAX_LENGTH, jobs=jobs, force=True)
    wall = perf_counter() - start
    own, children = (after - earlier for after, earlier in zip(_cpu(), before, strict=True))
    return wall, own + children, own, float(sum(file.stat().st_size for file in folder.iterdir()))


def _cpu() -> tuple[float, float]:
    """Return the CPU seconds of this process and of its children that have ended."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own, children = (each.ru_utime + each.ru_stime for each in usage)
    return own, children


def disk_bandwidth(path: Path) -> float:
    """Return the bytes that the disk takes in a second, the least seconds of several files counting."""
    data, seconds = bytes(DISK), []
    for _ in range(ROUNDS):
        start = perf_counter()
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        seconds.append(perf_counter() - start)
        path.unlink()
    return DISK / min(seconds)
