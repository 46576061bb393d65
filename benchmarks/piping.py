"""Measure the stages of packing from file to file, runs of one and of two jobs, and what limits many workers.

The excerpts of ``benchmarks.packing.DATA`` are repeated, with other tokens, ids and groups, to about ``TEXT`` bytes of
JSON lines; agent trajectories are generated. Stages are measured in CPU seconds, the least of ``ROUNDS``, beside gzip
and json of Python. Runs of one and of two jobs take turns, ``TURNS`` each, on one plain file and on several gzip files;
the fastest ones count. The ratio of their wall seconds says something only where no other process needs the processors,
so the table says how many of them others used meanwhile; "on paper" is what the CPU seconds, the start of workers
included, allow on two idle processors. The last table is computed, not measured: what 50 GB of such text would take on
64 workers if each resource worked alone, from the measured CPU seconds per byte of the workers and of the process that
reads, without the start of the workers, and the bandwidth of the disk.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import msgspec
import numpy as np

from benchmarks.measure import alone
from benchmarks.packing import DATA, MAX_LENGTH
from benchmarks.results import Result, table
from benchmarks.trajectories import VOCABULARY, generate_trajectories
from masksynth.pack.packing import pack_samples
from masksynth.pack.read_files import Source, block_tables
from masksynth.pack.sample_columns import IGNORED
from masksynth.pack.text_lines import Block, read_blocks, read_chunks, unpack_chunks

TEXT = 240_000_000
"""Bytes of JSON lines of each kind."""
FILES = 3
"""Number of gzip files into which they are divided."""
AGENTS = "agent trajectories"
ROUNDS, TURNS = 3, 2
GIGABYTES, WORKERS = 50, 64
DISK = 1 << 28
"""Bytes that are written to measure the bandwidth of the disk: 256 MiB."""
STAGES = ("samples", "gzip / unpack", "json / parse", "unpack, GB/s", "parse, GB/s")
RUNS = (
    "samples",
    "files",
    "text, MB",
    "windows",
    "wall, 1 / 2 jobs",
    "CPU, 2 / 1 jobs",
    "on paper",
    "processors used by others",
)
PAPER = ("samples", "workers, s", "reader, s", "disk, s", "saturates first", "workers until then", "disk, GB/s")
Row = dict[str, Any]


class Run(NamedTuple):
    """One packing run: wall seconds, CPU seconds of all processes and of this one, windows, bytes written.

    ``others`` is the number of processors that other processes kept busy meanwhile.
    """

    wall: float
    cpu: float
    own: float
    windows: int
    written: int
    others: float


def measure_piping() -> Result:
    """Measure the stages and runs of each kind of samples, and extrapolate."""
    names = [*(path.name.split(".")[0] for path in sorted(DATA.glob("*.jsonl.gz"))), AGENTS]
    measured = [(name, *alone(measure_kind, name)) for name in names]
    note = (
        f"The last table is on paper: {GIGABYTES} GB of text on {WORKERS} workers. Workers parse, merge, check and "
        "encode; the reader unpacks, cuts blocks, compares ids and keeps the journal; the disk takes the batches."
    )
    tables = (
        table(STAGES, [[name, *stages] for name, stages, _, _ in measured]),
        table(RUNS, [[name, *cells] for name, _, runs, _ in measured for cells in runs]),
        table(PAPER, [[name, *extrapolate(*rates)] for name, _, _, rates in measured]),
    )
    return Result(tables, (note,))


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


def measure_kind(name: str) -> tuple[list[str], list[list[str]], tuple[float, ...]]:
    """Return the cells of the stages and of the runs of one kind of samples, and its rates for `extrapolate`."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tiny, plain, packed = write_samples(name, folder)
        stages = measure_stages(folder / "part.jsonl", packed[0])
        start = run([tiny], folder / "out", 2)  # little more than the start of the workers
        cells = []
        for files in ([plain], packed):
            turns = [[run(files, folder / "out", jobs) for jobs in (1, 2)] for _ in range(TURNS)]
            one, two = (min(runs) for runs in zip(*turns, strict=True))
            cells.append(describe_runs(files, plain.stat().st_size, one, two))
        disk = disk_bandwidth(folder / "zeros")
        text = plain.stat().st_size
    read = max(two.own - start.own, 0.0)
    return stages, cells, ((two.cpu - start.cpu - read) / text, read / text, two.written / text, disk)


def describe_runs(files: Sequence[Path], text: int, one: Run, two: Run) -> list[str]:
    """Return the cells of the fastest runs of one and of two jobs."""
    return [
        "1 plain" if len(files) == 1 else f"{len(files)} gzip",
        f"{text / 1e6:.0f}",
        f"{one.windows}",
        f"{one.wall / two.wall:.2f}",
        f"{two.cpu / one.cpu:.2f}",
        f"{2 * one.cpu / two.cpu:.2f}",
        f"{one.others:.1f}; {two.others:.1f}",
    ]


def write_samples(name: str, folder: Path) -> tuple[Path, Path, list[Path]]:
    """Write samples of a kind; return a file of one sample, one of all, and the gzip files of their parts."""
    tiny, plain, part = (folder / f"{each}.jsonl" for each in ("tiny", "plain", "part"))
    packed = [folder / f"packed-{number}.jsonl.gz" for number in range(FILES)]
    samples, size = repeat_samples(name), 0
    with plain.open("wb") as whole:
        for number, path in enumerate(packed, 1):
            pieces: list[bytes] = []
            while not pieces or size < TEXT * number / FILES:
                pieces.append(b"".join(msgspec.json.encode(row) + b"\n" for row in next(samples)))
                size += len(pieces[-1])
            text = b"".join(pieces)
            whole.write(text)
            path.write_bytes(gzip.compress(text, 1))
            if number == 1:
                part.write_bytes(text)
                tiny.write_bytes(text[: text.index(b"\n") + 1])
    return tiny, plain, packed


def repeat_samples(name: str) -> Iterator[list[Row]]:
    """Yield the samples of a kind again and again, with other tokens, ids and groups each time."""
    if name == AGENTS:
        for seed in count():
            made = generate_trajectories(seed=seed)
            cut = made.offset.tolist()
            yield [
                {"id": f"{seed}/{s}", "group": f"{seed}/{group}"}
                | {key: flat[cut[s] : cut[s + 1]].tolist() for key, flat in lists}
                for lists in [(("input_ids", made.tokens), ("labels", made.labels))]
                for s, group in enumerate(made.groups)
            ]
    text = gzip.decompress((DATA / f"{name}.jsonl.gz").read_bytes())
    rows = [json.loads(line) for line in text.splitlines()]
    rng = np.random.default_rng(0)
    for copy in count():
        shift = int(rng.integers(VOCABULARY))
        yield [
            row
            | {key: f"{copy}/{row[key]}" for key in ("id", "group") if key in row}
            | {key: shift_tokens(row[key], shift) for key in ("input_ids", "labels")}
            for row in rows
        ]


def shift_tokens(tokens: list[int], shift: int) -> list[int]:
    """Return other tokens that are equal where the given ones are.

    Examples
    --------
    >>> shift_tokens([5, 5, -100, 149_999], 1)
    [6, 6, -100, 0]
    """
    given = np.array(tokens, np.int64)
    shifted: list[int] = np.where(given == IGNORED, IGNORED, (given + shift) % VOCABULARY).tolist()
    return shifted


def measure_stages(plain: Path, packed: Path) -> list[str]:
    """Return the cells of unpacking and parsing a file, beside the ways of Python's own modules."""
    text = plain.stat().st_size
    unpack = least(lambda: unpack_file(packed))
    parse = least(lambda: parse_file(plain))
    slow_unpack = least(lambda: gzip.decompress(packed.read_bytes()))
    slow_parse = least(lambda: [parse_by_json(line) for line in plain.read_bytes().splitlines()])
    ratios = (slow_unpack / unpack, slow_parse / parse, text / unpack / 1e9, text / parse / 1e9)
    return [f"{value:.2f}" for value in ratios]


def least(work: Callable[[], Any]) -> float:
    """Return the least CPU seconds of several runs."""
    seconds = []
    for _ in range(ROUNDS):
        start = process_time()
        work()
        seconds.append(process_time() - start)
    return min(seconds)


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


def run(files: Sequence[Path], folder: Path, jobs: int) -> Run:
    """Measure one packing run."""
    before, busy, start = _cpu(), _busy(), perf_counter()
    summary = pack_samples(files, folder, max_length=MAX_LENGTH, jobs=jobs, force=True)
    wall = perf_counter() - start
    own, children = (after - earlier for after, earlier in zip(_cpu(), before, strict=True))
    others = max(_busy() - busy - own - children, 0.0) / wall
    written = sum(file.stat().st_size for file in folder.iterdir())
    return Run(wall, own + children, own, summary.counts["windows"], written, others)


def _cpu() -> tuple[float, float]:
    """Return the CPU seconds of this process and of its children that have ended."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own, children = (each.ru_utime + each.ru_stime for each in usage)
    return own, children


def _busy() -> float:
    """Return the seconds for which the processors of this machine have been busy, all of them together (Linux)."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


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
