"""Compare training steps of a model with the same steps under `masksynth.torch.fold`, on a CPU.

Rows have the shapes that trainers make: answers to prompts (GRPO), pairs (DPO), the calls of agents (SFT), and rows
that share nothing, which fold passes through. Both steps are forward and backward passes over the same padded rows with
the same loss; they run in turns in one process for each case, and the least CPU time of each counts. Peak memory is
above that of a step over one row. The limit of the ratio is padded places / positions: a step that costs nothing but
the backbone, linearly in positions, would reach it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import alone, metered_here, peak_mib
from benchmarks.results import Result, table

HEAD = (
    "rows",
    "count",
    "tokens",
    "positions",
    "places / positions",
    "plain, CPU s",
    "folded, CPU s",
    "plain / folded",
    "merging, ms",
    "plain, MiB",
    "folded, MiB",
    "loss difference",
    "gradient difference",
)
ROUNDS = 3
VOCABULARY, WIDTH, LAYERS = 8192, 256, 6
SIZES = {"answers to prompts": 8, "pairs": 12, "calls of agents": 8, "nothing shared": 8}
"""Rows of each case."""


class Costs(NamedTuple):
    """Costs of plain and folded steps over the same rows, and relative differences of their results."""

    tokens: int
    positions: int
    places: int
    plain: float
    folded: float
    merging: float
    plain_mib: float
    folded_mib: float
    loss: float
    gradient: float


def measure_folding(max_size: int) -> Result:
    """Measure all cases with rows of about 640 tokens, or fewer so that a case has at most ``max_size`` tokens."""
    rows = [_row(name, count, min(1.0, max_size / (640 * count))) for name, count in SIZES.items()]
    width = f"width {WIDTH}, {LAYERS} layers, vocabulary {VOCABULARY:,}"
    return Result((table(HEAD, rows),), (f"A Llama model of {width}, float32, sdpa, one thread; {ROUNDS} rounds.",))


def _row(name: str, count: int, scale: float) -> list[str]:
    costs: Costs = alone(measure_steps, name, count, scale)
    ratios = [f"{costs.places / costs.positions:.2f}", f"{costs.plain:.3f}", f"{costs.folded:.3f}"]
    memory = [f"{value:.0f}" for value in (costs.plain_mib, costs.folded_mib)]
    differences = [f"{value:.0e}" for value in (costs.loss, costs.gradient)]
    faster = f"{costs.plain / costs.folded:.2f}"
    counts = [f"{value:,}" for value in (count, costs.tokens, costs.positions)]
    return [name, *counts, *ratios, faster, f"{costs.merging * 1e3:.1f}", *memory, *differences]


def make_rows(name: str, count: int, scale: float) -> list[list[int]]:
    """Return the rows of a case; at scale 1 they have about 640 tokens."""
    random = np.random.default_rng(0)

    def text(size: float) -> list[int]:
        return random.integers(3, VOCABULARY, max(2, int(size * scale))).tolist()

    if name == "calls of agents":  # each call has the conversation so far and adds an answer
        rows, history = [], text(160)
        for _ in range(count):
            rows.append(history + text(40))
            history = rows[-1] + text(80)
        return rows
    group = {"answers to prompts": count // 2, "pairs": 2, "nothing shared": 1}[name]
    prompts = [text(512) for _ in range(-(-count // group))]
    return [prompts[i // group] + text(random.integers(64, 192)) for i in range(count)]


def _step(rows: list[list[int]]) -> tuple[Any, int, Callable[[], tuple[float, list[Any]]]]:
    """Return a model, the padded places of the rows, and a function that runs a step: (loss, gradients)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 8}
    model = LlamaForCausalLM(LlamaConfig(**shape, num_hidden_layers=LAYERS, max_position_embeddings=4096)).train()
    model.config.use_cache = False
    width = max(map(len, rows))
    ids, mask = torch.zeros(len(rows), width, dtype=torch.int64), torch.zeros(len(rows), width, dtype=torch.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)], mask[number, : len(row)] = torch.tensor(row), 1
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}

    def run() -> tuple[float, list[Any]]:
        model.zero_grad(set_to_none=True)
        loss = model(**inputs).loss
        loss.backward()
        return loss.item(), [part.grad for part in model.parameters()]

    return model, ids.numel(), run


def measure_steps(name: str, count: int, scale: float) -> Costs:
    """Return what plain and folded steps over the rows of a case cost.

    Memory is measured first for folded steps: the peak of a process only rises.
    """
    from masksynth.torch import fold

    rows = make_rows(name, count, scale)
    _, _, small = _step(rows[-1:])
    small()
    base = peak_mib()
    model, places, run = _step(rows)
    with fold(model):  # the first folded step is checked, which is not part of the figures
        run()
    folded_mib = peak_mib() - base
    plain_loss, gradients = run()
    plain_mib = peak_mib() - base
    seconds: tuple[list[float], list[float]] = ([], [])
    merging = []
    for _ in range(ROUNDS):
        seconds[0].append(metered_here(run)[1])
        with fold(model) as folded:
            (loss, others), spent = metered_here(run)
            report = folded.report()
        seconds[1].append(spent)
        merging.append(report.seconds)
    largest = max(float(part.abs().max()) for part in gradients)
    return Costs(
        tokens=sum(map(len, rows)),
        positions=report.positions or places,
        places=places,
        plain=min(seconds[0]),
        folded=min(seconds[1]),
        merging=min(merging),
        plain_mib=plain_mib,
        folded_mib=folded_mib,
        loss=abs(loss - plain_loss) / plain_loss,
        gradient=max(float((a - b).abs().max()) for a, b in zip(gradients, others, strict=True)) / largest,
    )
