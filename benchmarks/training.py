"""Measure a training step on a CPU: the samples of a merged batch padded, packed with a document mask, and merged."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.measure import alone
from benchmarks.results import Result, table

DATA = Path(os.environ.get("MASKSYNTH_DATA", Path(__file__).parent.parent / "tests/pack/data"))
"""Folder of the sample files; the default has excerpts."""
LAYOUTS = ("padded", "packed", "merged")
LENGTH = 512
"""Most positions of a sequence, unless a sample is longer: dense attention costs the square, so batches are short."""
TOKENS = 4096
"""Approximate number of positions that are run for each cell."""
WIDTHS = (256, 1536)
"""Widths of the model, which has one layer: the wider, the smaller the share of attention."""
HEAD = (
    "samples",
    "length",
    "width",
    "layout",
    "sample tokens",
    "tokens run",
    "CPU s",
    "sample tokens / s",
    "faster than padded",
    "gradient difference",
)


def files() -> list[Path]:
    """Return the sample files, sorted by name."""
    return sorted(DATA.glob("*.jsonl.gz"))


def cell(path: Path, width: int) -> tuple[int, int, float, dict[str, tuple[int, float]]]:
    """Return (longest sequence, sample tokens, gradient difference, {layout: (tokens run, seconds)})."""
    import torch

    from examples.train_gsm8k import Setting, read, steps

    torch.set_num_threads(1)
    samples = read(path, groups=40)
    setting = Setting(
        width=width, layers=1, max_length=max(LENGTH, max(len(sample["input_ids"]) for sample in samples))
    )
    costs_of_steps = list(steps(samples, setting, 1 + max(2, TOKENS // setting.max_length)))
    costs_of_steps = costs_of_steps[1:] or costs_of_steps
    spent = {
        layout: (
            sum(costs[layout].tokens for costs, *_ in costs_of_steps),
            sum(costs[layout].seconds for costs, *_ in costs_of_steps),
        )
        for layout in LAYOUTS
    }
    return (
        setting.max_length,
        sum(tokens for *_, tokens in costs_of_steps),
        max(apart for _, apart, _ in costs_of_steps),
        spent,
    )


def measure_training() -> Result:
    """Measure three training steps for each file and width: padded, packed, merged."""
    rows = [row for path in files() for width in WIDTHS for row in _rows(path, width, *alone(cell, path, width))]
    return Result((table(HEAD, rows),))


def _rows(
    path: Path, width: int, length: int, tokens: int, apart: float, spent: dict[str, tuple[int, float]]
) -> list[list[str]]:
    rows, name = [], path.name.removesuffix(".jsonl.gz")
    for layout, (ran, seconds) in spent.items():
        speed = [f"{seconds:.2f}", f"{tokens / seconds:,.0f}", f"{spent['padded'][1] / seconds:.2f}"]
        last = f"{apart:.0e}" if layout == "merged" else ""
        rows.append([name, f"{length:,}", f"{width:,}", layout, f"{tokens:,}", f"{ran:,}", *speed, last])
    return rows
