"""Measure how few positions batches take: groups kept, split or separate, lower bounds, and a peer's first-fit tries.

Every data set is one window. The peer's packer (``benchmarks.tries``) gets the needed tokens only, in the order of the
file; it splits groups. Besides the sample files there are generated data: agent trajectories, and two kinds that are
hard to distribute. In *crossing roles* the samples of a group have different system prompts, so that groups overlap
crosswise; in *nested prompts* groups draw their prompts from a random tree; *shared documents* are samples with
segments, each of which has three of many documents, so that there is no tree at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import alone
from benchmarks.packing import DATA
from benchmarks.results import Result, table
from benchmarks.trajectories import Agents, generate_trajectories
from benchmarks.tries import first_fit_tries
from masksynth.pack.check_samples import tables_of
from masksynth.pack.merge_batches import Grouping, batches_of, count_live_tokens
from masksynth.pack.pack_window import WindowBounds, search_of_window
from masksynth.pack.read_files import read_samples
from masksynth.pack.sample_columns import SampleTable, join

LENGTHS = (8192, 32768, 131072)
HEAD = (
    "samples",
    "batches of",
    "groups kept",
    "batches",
    "lower bound",
    "gap",
    "groups split",
    "lower bound, split",
    "gap, split",
    "groups separate",
    "first fit",
)


def measure_filling(max_size: int) -> Result:
    """Measure each sample file, and generated data of at most about ``max_size`` positions."""
    tasks = min(Agents.tasks, max(1, max_size * Agents.tasks // 10**6))
    sources: list[Path | str] = [*sorted(DATA.glob("*.jsonl.gz")), *GENERATED]
    return Result(
        (table(HEAD, [alone(measure_source, source, limit, tasks) for source in sources for limit in LENGTHS]),)
    )


def measure_source(source: Path | str, limit: int, tasks: int) -> list[str]:
    """Return the row of a file or of generated data, for batches of ``limit``."""
    if isinstance(source, Path):
        name, samples = source.name.split(".")[0], join(list(read_samples(source)))
    else:
        name, samples = source, GENERATED[source](tasks)
    kept, split, separate = (count_positions(samples, limit, mode) for mode in ("together", "split", "separate"))
    bound, free = kept[2], split[2]
    needed = count_live_tokens(samples).tolist()
    segmented = any(segments is not None for segments in samples.segments)  # the peer knows no segments
    texts = [samples.tokens[a : a + n].tolist() for a, n in zip(samples.offset.tolist(), needed, strict=False)]
    peer = "" if segmented else f"{sum(len(tokens) for tokens, _ in first_fit_tries(texts, limit)):,}"
    numbers = (limit, *kept), (split[0], free), (separate[0],)
    shown = [[f"{number:,}" for number in part] for part in numbers]
    gaps = [f"{value / least - 1:.3%}" for value, least in ((kept[0], bound), (split[0], free))]
    return [name, *shown[0], gaps[0], *shown[1], gaps[1], *shown[2], peer]


def count_positions(samples: SampleTable, limit: int, grouping: Grouping) -> tuple[int, int, int]:
    """Return the numbers of positions and of batches, and the lower bound on the former."""
    split, separate = grouping == "split", grouping == "separate"
    bounds = WindowBounds(samples, limit, split, separate)
    sizes = [batch.positions for *_, batch in batches_of(samples, limit, grouping, search_of_window(samples, bounds))]
    return sum(sizes), len(sizes), bounds.raise_to(sum(sizes)).kept


def crossing_roles(tasks: int) -> SampleTable:
    """Return samples of groups each of which has most of three roles, with a system prompt for each role."""
    rng = np.random.default_rng(0)
    prompts = [_text(rng, 600) for _ in range(3)]

    def rows() -> Iterator[tuple[int, list[int]]]:
        for task in range(tasks):
            start = _text(rng, 200)
            for prompt in prompts:
                if rng.random() < 0.8:
                    text = prompt + start
                    for _ in range(int(rng.integers(1, 4))):
                        text = text + _text(rng, 200)
                        yield task, text

    return _table_of(rows())


def nested_prompts(tasks: int) -> SampleTable:
    """Return samples of groups that begin with the prompt of a node of a random tree of depth 4 and degree 3."""
    rng = np.random.default_rng(0)
    prompts: dict[tuple[int, ...], list[int]] = {(): _text(rng, 200)}

    def rows() -> Iterator[tuple[int, list[int]]]:
        for task in range(tasks):
            path = tuple(rng.integers(0, 3, 4).tolist())
            for depth in range(1, 5):
                if path[:depth] not in prompts:
                    prompts[path[:depth]] = prompts[path[: depth - 1]] + _text(rng, 350)
            for _ in range(int(rng.integers(1, 5))):
                depth = int(rng.integers(1, 5)) if rng.random() < 0.3 else 4
                yield task, prompts[path[:depth]] + _text(rng, 250)

    return _table_of(rows())


def shared_documents(tasks: int) -> SampleTable:
    """Return samples of three documents, which do not attend to one another, and a question that attends to all."""
    rng = np.random.default_rng(0)
    documents = [_text(rng, 800) for _ in range(3 * tasks // 2)]

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(3 * tasks):
            chosen = [documents[i] for i in sorted(rng.choice(len(documents), 3, replace=False).tolist())]
            question = _text(rng, 100)
            ids = [*itertools.chain(*chosen), *question]
            segments = [{"length": len(text), "position": 0} for text in chosen]
            segments.append({"length": len(question), "sees": [[0, 3]], "position": 2000})
            labels = [-100] * (len(ids) - len(question) + 1) + question[1:]
            yield {"id": number, "group": number // 2, "input_ids": ids, "labels": labels, "segments": segments}

    return join(list(tables_of(rows())))


def _text(rng: np.random.Generator, mean: int) -> list[int]:
    return rng.integers(0, 50_000, int(rng.integers(mean // 2, mean * 3 // 2))).tolist()


def _table_of(rows: Iterator[tuple[int, list[int]]]) -> SampleTable:
    """Return samples of given (group, needed tokens)."""
    samples: Iterator[dict[str, Any]] = (
        {"id": number, "group": group, "input_ids": [*ids, 0], "labels": [-100] * len(ids) + [0]}
        for number, (group, ids) in enumerate(rows)
    )
    return join(list(tables_of(samples)))


GENERATED = {
    "agent trajectories": lambda tasks: generate_trajectories(Agents(tasks=tasks)),
    "crossing roles": crossing_roles,
    "nested prompts": nested_prompts,
    "shared documents": shared_documents,
}
"""Generated data by name: functions of the number of tasks."""
