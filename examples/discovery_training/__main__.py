"""Compare the methods, and print a line for each.

python -m examples.discovery_training                 # characters, one seed, about ten minutes of one processor
python -m examples.discovery_training --data digits
python -m examples.discovery_training --full -o results.json
python -m examples.discovery_training --show results.json
"""

from __future__ import annotations

import json
import os
import statistics
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from examples.discovery_training.data import Data, load_digits, load_text
from examples.discovery_training.methods import grid_methods, text_methods
from examples.discovery_training.table import markdown
from examples.discovery_training.train import Method, Run, Setting, hidden_derivative, train

RATES = (1e-3, 2e-3, 4e-3)


def main(arguments: Sequence[str] | None = None) -> list[Run]:
    """Train every method with equal FLOPs a step, and print what its predictions lose."""
    parser = ArgumentParser(description="Train small models by several methods at equal FLOPs.")
    parser.add_argument("--data", choices=("text", "digits"), default="text")
    parser.add_argument("--steps", type=int, default=1000, help="steps of each run")
    parser.add_argument("--flops", type=float, default=1e9, help="forward FLOPs of the layers in each step")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--test", type=int, default=64, help="held-out sequences that are scored")
    parser.add_argument("--only", help="names of methods, separated by commas")
    parser.add_argument("--full", action="store_true", help="tune the rate of each method, then run three seeds")
    parser.add_argument("-o", "--output", type=Path, help="write the figures of all runs as JSON")
    parser.add_argument("--show", type=Path, nargs="+", help="print the table of such files, and train nothing")
    options = parser.parse_args(arguments)
    if options.show:
        print(markdown([json.loads(path.read_text()) for path in options.show]))
        return []
    data = load_text() if options.data == "text" else load_digits()
    setting = Setting(options.layers, options.width, flops=options.flops, steps=options.steps, test=options.test)
    methods = text_methods(64, setting.layers) if options.data == "text" else grid_methods(setting.layers)
    if options.only:
        methods = [method for method in methods if method.name in options.only.split(",")]
    runs = [run for method in methods for run in compare(method, data, setting, options.full)]
    if options.output:
        record = {"data": options.data, "setting": asdict(setting), "runs": [asdict(run) for run in runs]}
        options.output.write_text(json.dumps(record, indent=1) + "\n")
    return runs


def compare(method: Method, data: Data, setting: Setting, full: bool) -> list[Run]:
    """Run one method, print its line, and return its runs."""
    runs = []
    rate = RATES[1]
    if full:
        short = replace(setting, steps=setting.steps // 3)
        runs = [train(method, data, short, candidate, seed=0) for candidate in RATES]
        rate = min(runs, key=lambda run: run.loss).rate
    final = [train(method, data, setting, rate, seed) for seed in ((1, 2, 3) if full else (1,))]
    losses = [run.loss for run in final]
    spread = f" +- {statistics.stdev(losses):.3f}" if len(losses) > 1 else ""
    proof = ""
    if method.sees == "all others" and method.share is None:
        own, others = hidden_derivative(method, data, setting)
        proof = f", derivative by its own token {own:g}, by others at least {others:.1e}"
    one = final[0]
    print(
        f"{method.name:20} loss {statistics.mean(losses):.3f}{spread} given {method.sees}; rate {rate:g}, "
        f"{one.sequences} sequences and {one.supervised / setting.steps:,.0f} predictions a step, "
        f"{one.seconds:.0f} CPU s{proof}",
        flush=True,
    )
    return runs + final


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    main()
