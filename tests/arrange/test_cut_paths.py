"""Trees with cut paths and their sequence: counted against dense masks and against all sequences."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.arrange import counts, cut_paths, permuted
from masksynth.arrange.cut_paths import count_met, count_saved, list_slices
from masksynth.arrange.forest import build_forest, find_forest
from masksynth.arrange.order_cost import row_sizes
from masksynth.arrange.tree_sequence import sequence_trees
from masksynth.mask import Mask
from tests.arrange.samples import random_tree

SEEDS = st.integers(0, 2**32 - 1)


def forest_of(seed, size, chain=0.8):
    """A random forest, its units in depth-first order, and the mask in that order."""
    mask = random_tree(np.random.default_rng(seed), size, chain)
    trees = build_forest(find_forest(mask), row_sizes(mask))
    order, units = trees.order(trees.nodes[trees.start[:-1]].astype(float))
    return mask, trees, units, order


@given(seed=SEEDS, size=st.integers(1, 50), block=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_cut_paths_never_cost_more(seed, size, block):
    mask, trees, units, order = forest_of(seed, size)
    found = cut_paths.cut_paths(trees, units, block)
    assert sorted(found.tolist()) == list(range(size))
    arranged = permuted(mask, found)
    assert counts(arranged, block).nonempty <= counts(permuted(mask, order), block).nonempty
    assert (arranged.dense() == np.tril(arranged.dense())).all()


@given(seed=SEEDS, size=st.integers(1, 40), block=st.integers(1, 7), start=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_met_blocks_by_definition(seed, size, block, start):
    """Of one tree that begins at any position: the non-empty blocks of its own pairs."""
    parent = [-1, *(int(above) for above in np.random.default_rng(seed).integers(0, np.arange(1, size)))]
    rows = []
    for node, above in enumerate(parent):
        rows.append({node} | (rows[above] if above >= 0 else set()))
    dense = np.array([[key in row for key in range(size)] for row in rows])
    mask = Mask.from_dense(dense)
    trees = build_forest(find_forest(mask), row_sizes(mask))
    order, units = trees.order(np.random.default_rng(seed).random(len(trees.parent)))
    begin = start % block
    shifted = np.zeros((size + begin, size + begin), bool)
    shifted[begin:, begin:] = permuted(mask, order).dense()
    slices = list_slices(units, np.diff(trees.start))
    found = count_met(slices, trees.parent.tolist(), start, block)
    assert found == counts(Mask.from_dense(shifted), block).nonempty


def test_a_path_is_cut_where_it_saves_a_block():
    """Two positions above paths of five and four in blocks of four: five blocks instead of six, the fewest."""
    rows = [((0, 1),), *[((0, q + 1),) for q in range(1, 7)], *[((0, 2), (7, q + 1)) for q in range(7, 11)]]
    mask = Mask.from_intervals([rows])
    trees = build_forest(find_forest(mask), row_sizes(mask))
    found = cut_paths.cut_paths(trees, np.arange(3), 4)
    assert counts(mask, 4).nonempty == 6
    assert found.tolist() == [0, 1, 7, 2, 3, 4, 5, 6, 8, 9, 10]
    assert counts(permuted(mask, found), 4).nonempty == 5
    saved = count_saved(trees, [[np.arange(3)]], np.zeros((1, 4), np.int64), 4)
    assert saved[0, 0] == 1


def test_without_visits_nothing_is_cut(monkeypatch):
    _, trees, units, order = forest_of(5, 200)
    monkeypatch.setattr(cut_paths, "VISITS", -1)
    assert cut_paths.cut_paths(trees, units, 8).tolist() == order.tolist()


def total_loss(loss, step, sequence):
    """The loss of trees that follow one another from offset 0 on."""
    offset = total = 0
    for tree in sequence:
        total += loss[tree, offset % loss.shape[1]]
        offset += step[tree]
    return total


@pytest.mark.parametrize("seed", range(8))
def test_the_best_sequence_of_few_trees(seed):
    """With fewer sets of trees than partial sequences that are kept, none is dropped that could be best."""
    rng = np.random.default_rng(seed)
    loss, step = rng.integers(0, 5, (6, 4)).astype(float), rng.integers(1, 30, 6)
    best = min(total_loss(loss, step, sequence) for sequence in permutations(range(6)))
    assert total_loss(loss, step, sequence_trees(loss, step)) == best


def test_sequence_is_a_permutation_at_any_width(monkeypatch):
    rng = np.random.default_rng(0)
    loss, step = rng.random((30, 16)), rng.integers(1, 99, 30)
    wide = total_loss(loss, step, sequence_trees(loss, step))
    monkeypatch.setattr("masksynth.arrange.tree_sequence.WIDTH", 1)
    narrow = sequence_trees(loss, step)
    assert sorted(narrow.tolist()) == list(range(30))
    assert wide <= total_loss(loss, step, narrow)
