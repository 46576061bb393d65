"""The example of training runs, and its structures keep the promise of exact zeros, on text and on digits."""

import json
from pathlib import Path

import pytest

from examples.discovery_training.__main__ import main
from examples.discovery_training.data import load_digits, load_text
from examples.discovery_training.methods import grid_methods, text_methods
from examples.discovery_training.train import Setting, hidden_derivative

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("data", ["text", "digits"])
def test_every_method_trains_and_is_scored(data, tmp_path, capsys):
    sizes = ["--steps", "3", "--width", "16", "--flops", "2e7", "--layers", "4", "--test", "4"]
    runs = main(["--data", data, *sizes, "-o", str(tmp_path / "runs.json")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(runs) == len(json.loads((tmp_path / "runs.json").read_text())["runs"])
    assert all(run.loss < 6 for run in runs)
    flops = [run.flops_per_step for run in runs]
    assert max(flops) < 1.5 * min(flops)  # whole sequences only: at this size a step has few


@pytest.mark.parametrize(("methods", "data"), [(text_methods(64, 4), load_text()), (grid_methods(4), load_digits())])
def test_no_structure_sees_its_own_token(methods, data):
    structures = [method for method in methods if method.share is None and method.sees == "all others"]
    assert len(structures) >= 2
    for method in structures:
        own, others = hidden_derivative(method, data, Setting(layers=4, width=16, heads=2))
        assert own == 0
        assert others > 1e-6


@pytest.mark.parametrize("name", ["text", "digits"])
def test_the_page_shows_the_stored_runs(name, capsys):
    page, results = ROOT / "docs" / "discovery.md", ROOT / "examples" / "discovery_training" / "results"
    main(["--show", str(results / f"{name}.json")])
    assert capsys.readouterr().out.strip() in page.read_text(encoding="utf-8")
