"""Constructions with one mask, safe at any depth, and their layers."""

import numpy as np
import pytest

from masksynth.discover.constructions.butterfly import butterfly, heap_parents, tree_butterfly
from masksynth.discover.constructions.layered import layer_by_layer, levels_of
from tests.discover.naive import assert_keeps, complements, edges


def leave_one_out(n, layers=None):
    return complements(n, [{k} for k in range(n)], layers)


def test_tree_butterfly_on_random_trees():
    rng = np.random.default_rng(1)
    for _ in range(100):
        n = int(rng.integers(1, 14))
        parents = np.array([-1, *(int(rng.integers(0, v)) for v in range(1, n))])
        order = rng.permutation(n)
        renamed = np.full(n, -1)
        renamed[order] = np.where(parents >= 0, order[parents], -1)
        structure = tree_butterfly(renamed)
        assert_keeps(structure, leave_one_out(n))
        children = np.bincount(parents[1:], minlength=n)
        assert structure.size == 3 * n - 2
        if n > 1:
            assert edges(structure) == 4 * n - 4 - 2 * children[0] + int((children * (children - 1)).sum())


@pytest.mark.parametrize("n", [2, 3, 8, 64])
def test_butterfly_has_the_fewest_edges(n):
    assert edges(butterfly(n)) == max(4 * n - 6, 2)
    assert levels_of(butterfly(n)).max() == n - 1


@pytest.mark.parametrize("n", [1, 2, 5, 16, 31])
def test_one_mask_layer_by_layer(n):
    for structure in (butterfly(n), tree_butterfly(heap_parents(n))):
        depth = int(levels_of(structure).max())
        if depth:
            assert layer_by_layer(structure, depth - 1) is None
        layered = layer_by_layer(structure, depth + 1)
        assert_keeps(layered, leave_one_out(n, depth + 1))
        assert edges(layered) == edges(structure)
