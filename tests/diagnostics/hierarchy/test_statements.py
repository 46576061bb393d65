"""What the page and the record say is known: defaults that work, theorems, and what was refuted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from masksynth import catalog
from masksynth.cli import main
from masksynth.diagnostics.hierarchy import (
    diagnose_hierarchy,
    family_tree,
    leaking_rows,
    lists_of_tree,
    module_tree,
    sight_of,
    tree_of_lists,
)
from masksynth.diagnostics.hierarchy.dense_reference import attention_matrix, leaf_scores
from masksynth.diagnostics.hierarchy.record_text import format_hierarchy
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.tasks.instance_files import dumps

CAUSAL = Mask.from_dense(np.tri(6, dtype=bool))


def test_the_default_measures_every_causal_mask():
    found = diagnose_hierarchy(module_tree(CAUSAL, 2), mask=CAUSAL)
    assert found.included
    assert found.kl_total > 0
    assert diagnose_hierarchy(module_tree(CAUSAL, 2), mask=CAUSAL, included=False).kl_total is None


def test_a_row_that_the_mask_leaves_empty_is_not_blamed_on_an_option():
    dense = np.tri(5, dtype=bool)
    dense[4] = False
    mask = Mask.from_dense(dense)
    assert "(the mask gives none)" in format_hierarchy(diagnose_hierarchy(module_tree(mask), mask=mask))[-1]


def test_the_record_says_what_is_proved():
    done = CliRunner().invoke(main, ["diagnose", "hierarchy", "--length", "8", "--json"])
    status = {one["name"]: one["status"] for one in json.loads(done.stdout)["statements"]}
    assert status == dict.fromkeys(("closest", "identity", "leak", "modules"), "theorem") | {"left siblings": "refuted"}


def rows_of(tree, row, keys=None):
    """A row of the explicit causal matrix before and after the query of position 3 changes."""
    q, k = np.random.default_rng(0).standard_normal((2, 4, 3))
    other = q.copy()
    other[3] += 1
    k = k if keys is None else k[keys]
    included = keys is None
    return [attention_matrix(tree, leaf_scores(tree, each, k), np.tri(4) > 0, included)[row] for each in (q, other)]


def test_left_siblings_alone_are_not_causal():
    before, after = rows_of(tree_of_lists([[0, 1], [2, 3]]), 2)
    assert np.abs(before - after).max() > 1e-3


def test_a_row_leaks_for_almost_all_keys_and_not_for_equal_ones():
    tree = tree_of_lists([0, 1, [2, 3]])
    assert leaking_rows(tree, sight_of(tree, causal=True)).tolist() == [False, False, True, False]
    for keys, leaks in (([0, 1, 2, 3], True), ([0, 0, 2, 3], False)):
        before, after = rows_of(tree, 2, keys)
        assert (np.abs(before - after).max() > 1e-3) == leaks


@pytest.mark.parametrize("window", [2, 3, 4, 5])
def test_sliding_windows_are_prime_only_from_twice_their_size(window):
    for size in range(window + 1, 3 * window):
        ago = np.arange(size)[:, None] - np.arange(size)
        tree = module_tree((ago >= 0) & (ago < window))
        assert (tree.families == 1) == (size >= 2 * window - 1)


@pytest.mark.parametrize(
    ("instance", "nested"),
    [
        (catalog.packed_docs(lengths=(3, 4, 2)), [[0, 1], [2, 3, 4], 5]),
        (catalog.transfusion(segments=(3, 2, 2)), [0, 1, 2, [3, 4], 5]),
        (catalog.multiturn_reasoning(turns=((2, 3, 2), (1, 2, 2))), [0, 1, [[2, 3, 4, 5, 6, 7], [8, 9, 10, 11]]]),
    ],
    ids=["documents", "image", "turns"],
)
def test_a_family_has_the_tree_of_its_documents_turns_and_images(instance, nested, tmp_path):
    tree, mask = family_tree(instance)
    assert lists_of_tree(tree) == nested
    assert sight_of(tree, included=True, mask=mask).lost == 0
    (tmp_path / "family.json").write_text(dumps(instance))
    command = ["diagnose", "hierarchy", str(tmp_path / "family.json"), "--json"]
    record = json.loads(CliRunner().invoke(main, command).stdout)
    assert (record["lost_pairs"], record["kl_total"]) == (0, diagnose_hierarchy(tree, mask=mask).kl_total)
    assert CliRunner().invoke(main, ["diagnose", "hierarchy", "-", "--json"], input=dumps(instance)).exit_code == 0
    refused = CliRunner().invoke(main, [*command, "--length", "3"])
    assert "--length has no effect" in refused.output + str(refused.exception)


@pytest.mark.parametrize("family", catalog.FAMILIES)
def test_every_family_has_a_tree_that_loses_nothing(family):
    instance = catalog.FAMILIES[family]()
    for layer in range(merge(instance).mask.tables):
        for most in (None, 2):
            tree, mask = family_tree(instance, most, layer=layer)
            assert sight_of(tree, included=True, mask=mask).lost == 0


def test_layers_with_masks_of_their_own_are_named(tmp_path):
    instance = catalog.local_global()
    with pytest.raises(InvalidInstance, match="3 masks, one for each layer"):
        family_tree(instance)
    pairs = [family_tree(instance, layer=layer).mask.pairs for layer in range(3)]
    command = ["diagnose", "hierarchy", "-", "--json"]
    for layer, count in enumerate(pairs):
        done = CliRunner().invoke(main, [*command, "--layer", str(layer)], input=dumps(instance))
        assert (json.loads(done.stdout)["mask_pairs"], json.loads(done.stdout)["lost_pairs"]) == (count, 0)
    assert "give --layer" in CliRunner().invoke(main, command, input=dumps(instance)).output
    assert len(set(pairs)) > 1
