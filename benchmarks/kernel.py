"""Measure merging in memory: the kernel beside the speed of memory, a trie of dictionaries, and a peer's packer.

The kernel is all that ``seconds.merge`` covers: from a window's columns to the arrays of its batches. Its limit is
(bytes of tokens and labels + bytes of the batches' arrays) / (bytes per second that ``numpy.copyto`` copies between two
arrays far larger than the caches). *one batch* is the kernel where all samples go into one batch, beside the limit of
that: nothing is distributed over batches. Methods take turns in one process for each data set, in CPU seconds, the
least of ``ROUNDS``. The trie is given the samples of each batch in order, so that it gives the same arrays;
the peer's packer chooses its own batches, across groups, and builds no rows. Both get Python lists, whose making is not
measured.

A second table measures ``pack_batches`` in a training loop: a few samples as mappings of lists, checks included.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from time import process_time

import numpy as np

from benchmarks.measure import alone
from benchmarks.packing import DATA, MAX_LENGTH
from benchmarks.results import Result, table
from benchmarks.trajectories import Agents, generate_trajectories
from benchmarks.tries import Sample, first_fit_tries, trie_batch
from masksynth.mask.typing import AnyArray, Int64Array
from masksynth.pack.batch import PackedBatch, batch_arrays
from masksynth.pack.merge_batches import batches_of, is_too_long
from masksynth.pack.packing import pack_batches
from masksynth.pack.read_files import read_samples
from masksynth.pack.sample_columns import SampleTable, join, slice_samples

TASKS = Agents.tasks
ROUNDS, SLOW_ROUNDS, STEPS = 15, 3, 200
COPIED = 1 << 25
"""Numbers copied to measure the bandwidth: 256 MiB."""
HEAD = (
    "samples",
    "tokens",
    "positions",
    "tokens / position",
    "kernel, ms",
    "limit, ms",
    "kernel / limit",
    "one batch / limit",
    "copy, GB/s",
    "trie / kernel",
    "first fit / kernel",
    "first fit, positions",
)
LOOP = ("samples", "in a step", "tokens", "ms / 1,000 tokens", "trie / pack_batches")


def measure_kernel(max_size: int) -> Result:
    """Measure generated agent trajectories of at most about ``max_size`` positions, and each sample file."""
    tasks = min(TASKS, max(1, max_size * TASKS // 10**6))
    sources = [tasks, *sorted(DATA.glob("*.jsonl.gz"))]
    kernel, loop = zip(*(alone(measure_source, source) for source in sources), strict=True)
    return Result((table(HEAD, kernel), table(LOOP, [row for rows in loop for row in rows])))


def measure_source(source: int | Path) -> tuple[list[str], list[list[str]]]:
    """Return the rows of generated trajectories of some tasks, or of a file: of merging it, and of a training loop.

    A step of the loop has the first samples of about 3,000 or 32,000 tokens.
    """
    if isinstance(source, int):
        name, samples = "agent trajectories", generate_trajectories(Agents(tasks=source))
    else:
        name, samples = source.name.split(".")[0], join(list(read_samples(source)))
    return measure_merge(name, samples), [measure_step(name, samples, tokens) for tokens in (3000, 32000)]


def measure_step(name: str, samples: SampleTable, tokens: int) -> list[str]:
    """Return the row of steps of about this many tokens."""
    count = max(1, int(np.searchsorted(samples.offset, tokens, "right")) - 1)
    part = slice_samples(samples, 0, count)
    rows = [
        {"id": i, "input_ids": part.tokens[a:b].tolist(), "labels": part.labels[a:b].tolist()}
        for i, (a, b) in enumerate(pairwise(part.offset))
    ]
    [batch] = batches_of(part, len(part.tokens))
    _, lists = depth_first(*batch)
    best = least({"loop": (STEPS, lambda: list(pack_batches(rows))), "trie": (ROUNDS, lambda: trie_batch(lists))})
    each = best["loop"] * 1e6 / len(part.tokens)
    return [name, f"{count:,}", f"{len(part.tokens):,}", f"{each:.3f}", f"{best['trie'] / best['loop']:.1f}"]


def measure_merge(name: str, samples: SampleTable) -> list[str]:
    """Return the row of merging some samples."""
    batches = list(batches_of(samples, MAX_LENGTH))
    lists = [depth_first(*batch) for batch in batches]
    for (_, _, batch), (order, rows) in zip(batches, lists, strict=True):
        check_trie(batch, order, trie_batch(rows))
    positions = sum(batch.positions for *_, batch in batches)
    moved = count_bytes(samples, (batch for *_, batch in batches))
    moved_by_one = count_bytes(samples, (batch for *_, batch in batches_of(samples, len(samples.tokens))))
    texts = [tokens.tolist() for tokens in np.split(samples.tokens, samples.offset[1:-1])]
    peer = sum(len(tokens) for tokens, _ in first_fit_tries(texts, MAX_LENGTH))
    del batches
    source, target = np.ones(COPIED), np.zeros(COPIED)
    runs = {
        "kernel": (ROUNDS, lambda: run_kernel(samples, MAX_LENGTH)),
        "one batch": (ROUNDS, lambda: run_kernel(samples, len(samples.tokens))),
        "copy": (ROUNDS, lambda: np.copyto(target, source)),
        "trie": (SLOW_ROUNDS, lambda: [trie_batch(rows) for _, rows in lists]),
        "first fit": (SLOW_ROUNDS, lambda: first_fit_tries(texts, MAX_LENGTH)),
    }
    best = least(runs)
    bandwidth, kernel = source.nbytes / best["copy"], best["kernel"]
    limit, limit_of_one = moved / bandwidth, moved_by_one / bandwidth
    return [
        name,
        f"{len(samples.tokens):,}",
        f"{positions:,}",
        f"{len(samples.tokens) / positions:.1f}",
        f"{kernel * 1e3:.1f}",
        f"{limit * 1e3:.1f}",
        f"{kernel / limit:.1f}",
        f"{best['one batch'] / limit_of_one:.1f}",
        f"{bandwidth / 1e9:.1f}",
        f"{best['trie'] / kernel:.0f}",
        f"{best['first fit'] / kernel:.0f}",
        f"{peer:,}",
    ]


def run_kernel(samples: SampleTable, max_length: int) -> None:
    """Do what ``seconds.merge`` covers, and keep no batch longer than the run that writes it does."""
    is_too_long(samples, max_length)
    for _ in batches_of(samples, max_length):
        pass


def count_bytes(samples: SampleTable, batches: Iterable[PackedBatch]) -> int:
    """Return the bytes of tokens and labels, and of all arrays of the batches."""
    written = sum(array.nbytes for batch in batches for array in batch_arrays(batch).values())
    return samples.tokens.nbytes + samples.labels.nbytes + written


def depth_first(part: SampleTable, chosen: Int64Array, batch: PackedBatch) -> tuple[list[int], list[Sample]]:
    """Return the samples of a batch in the order in which their first own positions follow one another, as lists.

    The first of the pair has the number of each in the batch.
    """
    cut = batch.sample_offset
    paths = [batch.sample_position[a:b] for a, b in pairwise(cut)]
    order = sorted(range(len(paths)), key=lambda number: (int(paths[number].max(initial=-1)), len(paths[number])))
    trees = [int(paths[number].min(initial=batch.positions)) for number in order]  # the first position of the tree
    bounds = [(int(part.offset[s]), int(part.offset[s + 1])) for s in chosen[order].tolist()]
    rows = [(part.tokens[a:b].tolist(), part.labels[a:b].tolist()) for a, b in bounds]
    return order, [(tree, *row) for tree, row in zip(trees, rows, strict=True)]


def check_trie(batch: PackedBatch, order: list[int], arrays: Mapping[str, AnyArray]) -> None:
    """Check that the trie gives the arrays of the batch; its samples follow one another in ``order``."""
    expected = batch_arrays(batch)
    for name in ("input_ids", "position_ids", "row_offset", "key_start", "key_end"):
        if not np.array_equal(arrays[name], expected[name]):
            raise AssertionError(f"{name} of the trie differ")
    for name, owner in (("sample_position", "sample_offset"), ("dead_token", "dead_offset")):
        ours, theirs = (np.split(columns[name], columns[owner][1:-1]) for columns in (expected, arrays))
        if not all(np.array_equal(ours[number], path) for number, path in zip(order, theirs, strict=True)):
            raise AssertionError(f"{name} of the trie differ")
    if sorted(arrays["loss_position"].tolist()) != sorted(expected["loss_position"].tolist()):
        raise AssertionError("loss_position of the trie differ")


def least(works: Mapping[str, tuple[int, Callable[[], object]]]) -> dict[str, float]:
    """Return the least CPU seconds of each work, which is run a number of times, in turn with the others."""
    best = dict.fromkeys(works, float("inf"))
    gc.disable()
    for turn in range(max(times for times, _ in works.values())):
        for name, (times, work) in works.items():
            if turn < times:
                start = process_time()
                work()
                best[name] = min(best[name], process_time() - start)
    return best
