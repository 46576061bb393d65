"""Compare packing from file to file with the json module, a trie of dictionaries, and numpy's files.

The files are those of ``MASKSYNTH_DATA`` (default: the excerpts among the tests). Each cell runs in a process of its
own; the best of ``REPEATS`` runs counts. The trie keeps token ids, position ids and the node of each token, with the
garbage collector off. Merging in memory: ``benchmarks.kernel``.
"""

from __future__ import annotations

import gc
import gzip
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.measure import alone, peak_mib
from benchmarks.results import Result, table
from masksynth.pack.packing import pack_samples

DATA = Path(os.environ.get("MASKSYNTH_DATA", Path(__file__).parent.parent / "tests/pack/data"))
FILES = ("file", "trie, seconds", "pack, seconds", "read", "merge", "check", "write", "ratio", "peak MiB")
REPEATS = 5
MAX_LENGTH = 32768
Rows = Sequence[tuple[object, Sequence[int]]]


def measure_packing() -> Result:
    """Measure each sample file: seconds of both, and of the steps of packing."""
    return Result((table(FILES, [_with(path) for path in sorted(DATA.glob("*.jsonl.gz"))]),))


def _with(path: Path) -> list[str]:
    slow = alone(trie_with_files, path)
    fast, steps, peak = alone(pack_with_files, path)
    steps["merge"] += steps.pop("search")
    parts = [f"{steps[name]:.3f}" for name in ("read", "merge", "check", "write")]
    return [path.name.split(".")[0], f"{slow:.3f}", f"{fast:.3f}", *parts, f"{slow / fast:.1f}", f"{peak:.0f}"]


def best(work: Callable[[], object]) -> float:
    """Return the least seconds of several runs."""
    seconds = []
    for _ in range(REPEATS):
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    return min(seconds)


def place_trie(rows: Rows) -> tuple[list[int], list[int], list[list[int]]]:
    """Return token ids and position ids of the nodes of a trie of dictionaries, and the node of each token."""
    roots: dict[object, tuple[dict[int, object], int]] = {}
    tokens: list[int] = []
    places: list[int] = []
    where = []
    for group, ids in rows:
        node = roots.setdefault(group, ({}, -1))
        path = []
        for place, token in enumerate(ids):
            below = node[0].get(token)
            if below is None:
                below = node[0][token] = ({}, len(tokens))
                tokens.append(token)
                places.append(place)
            node = below  # type: ignore[assignment]
            path.append(node[1])
        where.append(path)
    return tokens, places, where


def trie_with_files(path: Path) -> float:
    """Measure the json module, the placed trie and numpy's files together."""
    gc.disable()

    def work() -> None:
        with gzip.open(path) as lines, tempfile.TemporaryDirectory() as folder:
            samples = [json.loads(line) for line in lines]
            tokens, places, where = place_trie([(sample["group"], sample["input_ids"]) for sample in samples])
            labels = [label for sample in samples for label in sample["labels"]]
            flat = [place for path in where for place in path]
            np.savez(Path(folder) / "batch.npz", *(np.array(values) for values in (tokens, places, flat, labels)))

    return best(work)


def pack_with_files(path: Path) -> tuple[float, dict[str, float], float]:
    """Measure ``pack_samples`` from the same file to a folder, each batch checked."""
    runs = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            start = perf_counter()
            summary = pack_samples(path, Path(folder) / "out", max_length=MAX_LENGTH)
            runs.append((perf_counter() - start, summary.seconds))
    seconds, steps = min(runs, key=lambda pair: pair[0])
    return seconds, steps, peak_mib()
