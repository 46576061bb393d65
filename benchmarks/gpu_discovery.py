"""Train by discovered structures, masked language models and a causal model at a larger size, on a GPU."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.gpu_setting import Row
from benchmarks.gpu_setting import Setting as Device
from examples.discovery_training.data import load_library, load_text
from examples.discovery_training.methods import text_methods
from examples.discovery_training.train import Setting, train


def measure_discovery(device: Device) -> Iterator[Row]:
    """Yield a row for each method: equal FLOPs a step, held-out loss of each token given what the method lets it see.

    1,024 characters of the standard library's source, 12 layers of width 768; tiny: 32 characters of the help topics.
    """
    n, layers = (32, 3) if device.tiny else (1024, 12)
    data = load_text(n) if device.tiny else load_library(n)
    if device.tiny:
        setting = Setting(layers, width=16, heads=2, flops=3e6, steps=3, test=2, device=device.device.type)
    else:
        setting = Setting(layers, width=768, heads=12, flops=3e12, steps=400, test=8, device=device.device.type)
    for method in text_methods(n, layers):
        run = train(method, data, setting, rate=2e-3 if device.tiny else 4e-4, seed=1)
        yield {
            "method": method.name,
            "sequences a step": run.sequences,
            "predictions a step": run.supervised // setting.steps,
            "TFLOP a step": run.flops_per_step / 1e12,
            "sees": method.sees,
            "held-out loss": run.loss,
            "CPU seconds": run.seconds,
        }
