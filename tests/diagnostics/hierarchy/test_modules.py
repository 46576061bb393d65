"""The tree of a mask compared with all its modules, found by trying every set."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from masksynth.diagnostics.hierarchy import lists_of_tree, module_tree, packed_tree, sight_of, tree_of_mask
from masksynth.diagnostics.hierarchy.neighbour_runs import tree_of_runs
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.pack import pack_batches
from masksynth.posets import Poset


def is_module(sees, inside):
    outside = [x for x in range(len(sees)) if x not in inside]
    return all(len(set(sees[y, list(inside)])) == 1 and len(set(sees[list(inside), y])) == 1 for y in outside)


def strong_modules(sees):
    size = len(sees)
    modules = [
        frozenset(s) for many in range(1, size + 1) for s in combinations(range(size), many) if is_module(sees, s)
    ]
    return {a for a in modules if all(not a & b or a <= b or b <= a for b in modules)}


def sets_of(tree):
    return {frozenset(tree.order[tree.first[v] : tree.first[v] + tree.count[v]].tolist()) for v in range(tree.nodes)}


@pytest.mark.parametrize("kind", ["sparse", "dense", "causal", "twins", "symmetric"])
def test_the_tree_holds_exactly_the_strong_modules(kind):
    random = np.random.default_rng(len(kind))
    for _ in range(50):
        size = int(random.integers(1, 8))
        sees = random.random((size, size)) < {"sparse": 0.2, "dense": 0.8}.get(kind, 0.5)
        sees = {"causal": np.tril(sees), "symmetric": sees | sees.T}.get(kind, sees)
        if kind == "twins" and size > 2:
            sees[1], sees[:, 1] = sees[0], sees[:, 0]
        assert sets_of(module_tree(sees)) == strong_modules(sees)
        mask = Mask.from_dense(sees)
        assert sight_of(module_tree(mask), mask=mask).lost == 0
        assert sight_of(module_tree(mask, most=2), mask=mask).lost == 0


def test_series_and_parallel_orders_and_windows_within_them():
    order = Poset(np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0]]) > 0)
    assert lists_of_tree(module_tree(order.order)) == [0, [1, 2], 3]
    tree = module_tree(np.tri(100, dtype=bool), most=10)
    assert (tree.largest, tree.depth, tree.order.tolist()) == (10, 2, list(range(100)))
    window = np.tri(40, dtype=bool) & ~np.tri(40, k=-4, dtype=bool)
    assert module_tree(window, most=5).depth == 1  # prime: a window has no proper module, so nothing can be split


def test_refusals():
    for mask, most in (
        (np.ones((2, 3), bool), None),
        (np.ones((2, 2)), None),
        (np.zeros((0, 0), bool), None),
        (np.ones((2, 2), bool), 1),
    ):
        with pytest.raises(InvalidInstance):
            module_tree(mask, most)
    with pytest.raises(InvalidInstance):
        module_tree(Mask.from_dense(np.ones((2, 3, 3), bool)))
    with pytest.raises(Unsupported, match="2,048"):
        module_tree(Mask.from_intervals([[[(0, 3000)]] * 3000]))


def random_mask(random, kind, size):
    """Return pairs at random, documents, blocks of neighbours, or classes of positions that lie anywhere."""
    if kind == 0:
        return random.random((size, size)) < random.choice([0.05, 0.5, 0.95])
    place = random.integers(0, 4, size)
    block = random.random((4, 4)) < 0.5
    place = place if kind == 3 else np.sort(place)
    same = place[:, None] == place
    return (
        np.tri(size, dtype=bool) & same
        if kind == 1
        else np.where(same, np.tri(size, dtype=bool), block[place][:, place])
    )


def test_runs_of_twins_lose_no_block():
    random = np.random.default_rng(12)
    for trial in range(80):
        mask = Mask.from_dense(random_mask(random, trial % 4, int(random.integers(1, 25))))
        for most in (None, 2, 3):
            tree = tree_of_runs(mask, () if most is None else (most,) * 5, most)
            assert tree.size == mask.size
            assert sight_of(tree, included=True, mask=mask).lost == 0


def test_large_masks_have_a_tree_of_runs():
    documents = [[[(row // 500 * 500, row + 1)] for row in range(5000)]]
    tree = tree_of_mask(Mask.from_intervals(documents), most=16)
    assert (tree.size, tree.largest) == (5000, 16)
    assert sight_of(tree, included=True, mask=Mask.from_intervals(documents)).lost == 0
    window = Mask.from_intervals([[[(max(0, row - 9), row + 1)] for row in range(2100)]])
    with pytest.raises(Unsupported, match="2,100 runs of positions: modules are found up to 2,048"):
        tree_of_mask(window)


def test_a_batch_of_samples_with_segments_loses_no_block():
    samples = [
        {
            "input_ids": [1, 2, 3, 4, 5, 6, 7, 8, *ends],
            "labels": [-100] * 9 + ends[1:],
            "segments": [
                {"length": 5, "position": 0},
                {"length": 3, "position": 0},
                {"length": len(ends), "sees": sees},
            ],
        }
        for ends, sees in (([9, 10, 11], [0, 1]), ([12, 13], [1]), ([14, 15, 16], [0]))
    ]
    (batch,) = pack_batches(samples, max_length=100)
    tree = packed_tree(batch)
    found = sight_of(tree, included=True, mask=batch.mask)
    assert (tree.size, found.lost) == (batch.positions, 0)
    assert packed_tree(batch, branching=(2,)).families > tree.families
