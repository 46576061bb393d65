"""What the cases of the GPU benchmark share: the device, its clock and memory, samples, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch

from masksynth.pack import PackedBatch, pack_batches
from masksynth.torch.join_batches import join_batches

PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12, "L40S": 362e12, "A10": 125e12}
"""Dense bfloat16 FLOP/s by the data sheets of the GPUs."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where and how large the cases run.

    Parameters
    ----------
    device : torch.device
    tiny : bool
        Small shapes, one repetition, nothing compiled.
    deadline : float
        By ``perf_counter``; cases end before their next row after it.
    """

    device: torch.device
    tiny: bool
    deadline: float

    @property
    def has_flex_backward(self) -> bool:
        """Whether FlexAttention has a derivative: not on a CPU."""
        return self.device.type == "cuda"

    @property
    def peak(self) -> float | None:
        """Dense bfloat16 FLOP/s of the GPU; None if it is not known."""
        if self.device.type != "cuda":
            return None
        name = torch.cuda.get_device_name(self.device)
        return next((value for part, value in PEAKS.items() if part in name), None)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def time(self, work: Callable[[], Any], repeats: int = 5) -> float:
        """Return the least of the milliseconds of some repetitions, after one that compiles and fills caches."""
        work()
        best = float("inf")
        for _ in range(1 if self.tiny else repeats):
            self.synchronize()
            start = perf_counter()
            work()
            self.synchronize()
            best = min(best, perf_counter() - start)
        return 1e3 * best

    def measure_memory(self, work: Callable[[], Any]) -> float | None:
        """Return the peak memory of some work on the device, GiB; None on a CPU."""
        if self.device.type != "cuda":
            work()
            return None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        work()
        self.synchronize()
        return torch.cuda.max_memory_allocated(self.device) / 2**30

    def rows_until_deadline(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield rows; stop before the next one after the deadline."""
        for row in rows:
            yield row
            if perf_counter() > self.deadline:
                return


def rollouts(positions: int, answers: int = 8, vocabulary: int = 32000, seed: int = 0) -> list[dict[str, Any]]:
    """Return a prompt with some answers that take about this many positions, a quarter of them for the prompt."""
    random = np.random.default_rng(seed)
    prompt = random.integers(3, vocabulary, positions // 4).tolist()
    size = (positions - len(prompt)) // answers
    samples = []
    for number in range(answers):
        text = random.integers(3, vocabulary, size + 1).tolist()  # the last token is dead
        samples.append({"id": number, "input_ids": prompt + text, "labels": [-100] * len(prompt) + text})
    return samples


def merge_and_pack(samples: list[dict[str, Any]]) -> tuple[PackedBatch, PackedBatch]:
    """Return one merged batch of some samples, and plain packing: the same samples one after another, not merged."""
    [merged] = pack_batches(samples, max_length=2**31 - 1)
    named = {sample["id"]: sample for sample in samples}
    plain = join_batches([batch for name in merged.samples for batch in pack_batches([named[name]])])
    return merged, plain


def divide(numerator: float, denominator: float) -> str:
    """Return a ratio as text."""
    return f"{numerator / denominator:.2f}" if denominator else "-"
