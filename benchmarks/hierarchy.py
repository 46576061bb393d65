"""Compare hierarchical attention with softmax attention on a CPU: one head, and whole models, against length.

Seconds are CPU seconds of one thread, the least of several rounds: other work on the machine lengthens them little.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np

from benchmarks.measure import alone, metered_here, peak_mib
from benchmarks.results import Result, table

SIZES = (1024, 4096, 16384, 65536, 262144)
LARGEST_FLAT = 16384
"""Positions up to which all scores are held at once: 1 GiB here, 16 GiB at 65,536."""
DIM, BRANCHING = 64, (16, 16, 16, 16, 16)
HEAD = ["positions", "attention", "CPU seconds", "peak MiB", "scores held, MiB"]
LENGTHS, WINDOWS = (128, 256, 512, 1024, 2048, 4096), ((2, 4, 8, 16), (16, 16))
WHOLE = ["tokens", "softmax, CPU s", *(f"windows {', '.join(map(str, each))}: times faster" for each in WINDOWS)]


def _inputs(positions: int) -> Any:
    return np.random.default_rng(0).standard_normal((3, positions, DIM), np.float32)


def _measured(work: Callable[[], Any]) -> tuple[float, float]:
    """Return the least CPU seconds of three runs, and the peak memory of the process in MiB."""
    return min(metered_here(work)[1] for _ in range(3)), peak_mib()


def tied(positions: int) -> tuple[float, float]:
    """Measure the dynamic program in numpy, windows of 16; building the tree is not measured."""
    from masksynth.diagnostics.hierarchy import hierarchical_attention, windows

    tree, (q, k, v) = windows(positions, BRANCHING), _inputs(positions)
    _ = tree.plan, tree.count, tree.first
    return _measured(lambda: hierarchical_attention(tree, q, k, v))


def tied_directly(positions: int) -> tuple[float, float]:
    """Measure the evaluation leaf by leaf."""
    from masksynth.diagnostics.hierarchy import direct_attention, windows

    tree, (q, k, v) = windows(positions, BRANCHING), _inputs(positions)
    _ = tree.plan, tree.count, tree.leaves
    return _measured(lambda: direct_attention(tree, q, k, v))


def tied_in_torch(positions: int) -> tuple[float, float]:
    """Measure the torch function."""
    import torch

    from masksynth.diagnostics.hierarchy import windows
    from masksynth.diagnostics.hierarchy.torch_attention import hierarchical_attention, plan_of

    plan = plan_of(windows(positions, BRANCHING))
    q, k, v = (torch.from_numpy(array)[None] for array in _inputs(positions))
    with torch.no_grad():
        return _measured(lambda: hierarchical_attention(plan, q, k, v))


def flat(positions: int) -> tuple[float, float]:
    """Measure softmax attention with all scores in memory."""
    q, k, v = _inputs(positions)

    def attention() -> Any:
        scores = q @ k.T
        scores /= np.float32(DIM**0.5)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores @ v

    return _measured(attention)


def fused(positions: int) -> tuple[float, float]:
    """Measure torch's scaled_dot_product_attention, which stores no scores."""
    import torch

    q, k, v = (torch.from_numpy(array)[None, None] for array in _inputs(positions))
    with torch.no_grad():
        return _measured(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v))


METHODS: tuple[tuple[str, Callable[[int], tuple[float, float]], int], ...] = (
    ("tied, dynamic program", tied, SIZES[-1]),
    ("tied, leaf by leaf", tied_directly, SIZES[-1]),
    ("tied, torch", tied_in_torch, SIZES[-1]),
    ("softmax, all scores", flat, LARGEST_FLAT),
    ("softmax, fused in torch", fused, 65536),
)


def _row(positions: int, name: str, work: Callable[[int], tuple[float, float]], max_positions: int) -> list[str]:
    from masksynth.diagnostics.hierarchy import windows

    pairs = 0 if "fused" in name else positions**2 if "softmax" in name else windows(positions, BRANCHING).sibling_pairs
    held = f"{pairs * 4 / 2**20:,.1f}"
    if positions > max_positions:
        return [f"{positions:,}", name, "not run", "-", held]
    seconds, peak = alone(work, positions)
    return [f"{positions:,}", name, f"{seconds:.3f}", f"{peak:,.0f}", held]


def whole_model(tokens: int) -> list[float]:
    """Return the CPU seconds of one forward pass of a BERT of six layers, 384 wide, one thread: softmax, then windows.

    All six layers are replaced; the best of three rounds in which the attentions take turns. The weights are random,
    as only time is measured.
    """
    import torch
    from transformers import BertConfig, BertModel

    from masksynth.diagnostics.hierarchy.torch_models import hierarchical_layers

    sizes: Any = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    model = BertModel(BertConfig(vocab_size=100, max_position_embeddings=tokens, **sizes)).eval()  # type: ignore[no-untyped-call]
    inputs = torch.arange(tokens)[None] % 100

    def seconds() -> float:
        begin = process_time()
        model(inputs)
        return process_time() - begin

    rounds = []
    with torch.no_grad():
        for _ in range(3):
            taken = [seconds()]
            for branching in WINDOWS:
                with hierarchical_layers(model, range(6), branching):
                    model(inputs)  # builds the index tensors of the tree
                    taken.append(seconds())
            rounds.append(taken)
    return [min(column) for column in zip(*rounds, strict=True)]


def _whole_row(tokens: int) -> list[str]:
    softmax, *tied = alone(whole_model, tokens)
    return [f"{tokens:,}", f"{softmax:.2f}", *(f"{softmax / each:.2f}" for each in tied)]


def measure_hierarchy(max_size: int) -> Result:
    """Measure each method up to ``max_size`` positions and models up to an eighth, each in a process of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"  # numpy and torch read it in the processes to come
    rows = [_row(size, *method) for size in SIZES if size <= max_size for method in METHODS]
    whole = [_whole_row(tokens) for tokens in LENGTHS if 8 * tokens <= max_size]
    return Result((table(HEAD, rows), table(WHOLE, whole)))
