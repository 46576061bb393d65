"""The scripts in examples/, loaded as files: what they print and yield."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import training
from tests.torch import trie

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "samples.jsonl.gz"
    with gzip.open(path, "wt") as lines:
        lines.writelines(json.dumps(one) + "\n" for one in trie.rollouts(groups=6))
    return path


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_both_ways_step_by_step(file, attention):
    """In double precision the two models stay equal through their own steps, and the merged one runs fewer tokens."""
    train = example("train_gsm8k")
    samples = train.read(file, 100)
    assert train.vocabulary_of(samples) <= 40
    setting = train.Setting(model="gpt2", attention=attention, dtype=torch.float64, max_length=48, width=64, layers=2)
    found = list(train.steps(samples, setting, 4))
    assert len(found) == 4
    losses = [costs["merged"].loss for costs, *_ in found]
    assert len(set(losses)) == 4
    for costs, apart, tokens in found:
        assert abs(costs["padded"].loss - costs["merged"].loss) < 1e-12
        assert abs(costs["packed"].loss - costs["merged"].loss) < 1e-12
        assert apart < 1e-10
        assert costs["merged"].tokens < costs["packed"].tokens < tokens <= costs["padded"].tokens


def test_another_model_is_seen(file):
    """What the step by step comparison is for."""
    train = example("train_gsm8k")
    setting = train.Setting(width=64, layers=2)
    one, other = (train.model_of(setting, 40, 64) for _ in range(2))
    assert all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    samples = train.read(file, 1)
    batch = train.Collator()(train.packed(samples, 64)[0])
    train.measured(one, train.padded_step, samples, 1.0, setting)
    train.measured(other, train.packed_step, [batch], 1.0, setting)
    assert train.further(one, other) < 1e-5
    train.measured(other, train.packed_step, [batch], 1.1, setting)
    assert train.further(one, other) > 1e-2


def test_the_command(file, monkeypatch, capsys):
    train = example("train_gsm8k")
    monkeypatch.setattr(
        sys, "argv", ["train", str(file), "--steps", "2", "--max-length", "64", "--width", "64", "--layers", "1"]
    )
    train.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("24 samples")
    assert [line.split(":")[0] for line in lines[1:]] == ["step 0", "step 1", "padded", "packed", "merged"]


def test_a_cell_of_the_training_benchmark(monkeypatch):
    """On the excerpts, with a small model: the merged way runs fewest tokens and ends where the padded one does."""
    monkeypatch.setattr(training, "TOKENS", 0)  # two measured steps of each file
    names = []
    for path in training.files():
        names.append(path.name.split(".")[0])
        _, tokens, apart, spent = training.cell(path, 64)
        assert apart < 1e-4
        assert spent["merged"][0] < spent["packed"][0] < tokens <= spent["padded"][0]
    assert names == ["gsm8k_rollouts", "preference_pairs", "reasoning_calls"]
