"""Compare packing of token samples with a trie of dictionaries, with and without reading and writing.

The files are those of ``MASKSYNTH_DATA`` (default: the excerpts among the tests). Each cell runs in a process of its
own; the best of ``REPEATS`` runs counts. The trie does one dict lookup per token and nothing else, with the garbage
collector off.
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
from masksynth.pack.merge_batches import batches_of
from masksynth.pack.packing import pack_samples
from masksynth.pack.position_layout import lay_out
from masksynth.pack.prefix import forest_of, live_lengths, trained_tokens
from masksynth.pack.read_files import read_samples
from masksynth.pack.sample_columns import SampleTable, join

DATA = Path(os.environ.get("MASKSYNTH_DATA", Path(__file__).parent.parent / "tests/pack/data"))
HEAD = (
    "file",
    "tokens",
    "positions",
    "trie",
    "trie, placed",
    "merge",
    "placed",
    "batches",
    "merge / trie",
    "placed / placed",
)
FILES = ("file", "trie, seconds", "pack, seconds", "read", "merge", "check", "write", "ratio", "peak MiB")
REPEATS = 5
MAX_LENGTH = 32768
Rows = Sequence[tuple[object, Sequence[int]]]


def measure_packing() -> Result:
    """Measure each sample file: million tokens a second of each method, and ratios."""
    paths = sorted(DATA.glob("*.jsonl.gz"))
    return Result((table(HEAD, [_without(path) for path in paths]), table(FILES, [_with(path) for path in paths])))


def _without(path: Path) -> list[str]:
    tokens, positions, *seconds = alone(without_files, path)
    trie, placed_trie, merge, with_rows, batches = (tokens / s / 1e6 for s in seconds)
    speeds = [f"{speed:.1f}" for speed in (trie, placed_trie, merge, with_rows, batches)]
    name = path.name.split(".")[0]
    return [name, f"{tokens:,}", f"{positions:,}", *speeds, f"{merge / trie:.0f}", f"{with_rows / placed_trie:.0f}"]


def _with(path: Path) -> list[str]:
    slow = alone(trie_with_files, path)
    fast, steps, peak = alone(pack_with_files, path)
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


def without_files(path: Path) -> tuple[int, int, float, float, float, float, float]:
    samples = join(list(read_samples(path)))
    trained, cut = trained_tokens(samples)
    length = live_lengths(samples, trained, cut)
    ends = (samples.offset[:-1] + length).tolist()
    rows = [
        (g, samples.tokens[a:b].tolist())
        for g, a, b in zip(samples.groups, samples.offset.tolist(), ends, strict=False)
    ]
    forest = forest_of(samples, length)
    gc.disable()
    assert count_trie(rows) == int((forest.length - forest.shared).sum())
    works = (
        lambda: count_trie(rows),
        lambda: place_trie(rows),
        lambda: forest_of(samples, live_lengths(samples, *trained_tokens(samples))),
        lambda: placed(samples),
        lambda: list(batches_of(samples, MAX_LENGTH)),
    )
    return (len(samples.tokens), int((forest.length - forest.shared).sum()), *(best(work) for work in works))


def placed(samples: SampleTable) -> object:
    """Lay out positions, rows, and the position of each token."""
    return lay_out(samples, forest_of(samples, live_lengths(samples, *trained_tokens(samples))))


def count_trie(rows: Rows) -> int:
    """Count the nodes of a trie of dictionaries."""
    roots: dict[object, dict[int, object]] = {}
    nodes = 0
    for group, ids in rows:
        node = roots.setdefault(group, {})
        for token in ids:
            below = node.get(token)
            if below is None:
                below = node[token] = {}
                nodes += 1
            node = below  # type: ignore[assignment]
    return nodes


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
