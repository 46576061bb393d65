"""Seconds of a training step on a CPU: the samples of a merged batch padded, packed with a document mask, and merged."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.measure import alone, table

DATA = Path(os.environ.get("MASKSYNTH_DATA", Path(__file__).parent.parent / "tests/pack/data"))
"""Where the sample files are; excerpts stand in for them."""
WAYS = ("padded", "packed", "merged")
LENGTH = 512
"""Most positions of a sequence, or those of the longest sample: dense attention pays for every pair, so batches are kept short."""
TOKENS = 4096
"""About how many positions are run for each cell."""
WIDTHS = (256, 1536)
"""Of the model, one layer: the wider, the less attention weighs."""
HEAD = (
    "samples",
    "length",
    "width",
    "way",
    "their tokens",
    "tokens run",
    "CPU s",
    "their tokens / s",
    "faster than padded",
    "gradients apart",
)


def files() -> list[Path]:
    """The sample files, by name."""
    return sorted(DATA.glob("*.jsonl.gz"))


def cell(path: Path, width: int) -> tuple[int, int, float, dict[str, tuple[int, float]]]:
    """(longest sequence, tokens of the samples, largest difference of gradients, {way: (tokens run, seconds)}), the first step left out."""
    import torch

    from examples.train_gsm8k import Setting, read, steps

    torch.set_num_threads(1)
    samples = read(path, groups=40)
    setting = Setting(width=width, layers=1, max_length=max(LENGTH, max(len(one["input_ids"]) for one in samples)))
    found = list(steps(samples, setting, 1 + max(2, TOKENS // setting.max_length)))
    found = found[1:] or found
    spent = {
        way: (sum(costs[way].tokens for costs, *_ in found), sum(costs[way].seconds for costs, *_ in found))
        for way in WAYS
    }
    return setting.max_length, sum(tokens for *_, tokens in found), max(apart for _, apart, _ in found), spent


def training_table() -> str:
    """Three rows for each file and width."""
    rows = [row for path in files() for width in WIDTHS for row in _rows(path, width, *alone(cell, path, width))]
    return table(HEAD, rows)


def _rows(
    path: Path, width: int, length: int, tokens: int, apart: float, spent: dict[str, tuple[int, float]]
) -> list[list[str]]:
    rows, name = [], path.name.removesuffix(".jsonl.gz")
    for way, (ran, seconds) in spent.items():
        speed = [f"{seconds:.2f}", f"{tokens / seconds:,.0f}", f"{spent['padded'][1] / seconds:.2f}"]
        last = f"{apart:.0e}" if way == "merged" else ""
        rows.append([name, f"{length:,}", f"{width:,}", way, f"{tokens:,}", f"{ran:,}", *speed, last])
    return rows
