"""Forests: found, laid out, and never worse than depth-first."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.arrange import arrange, bound, counts, permuted
from masksynth.arrange.forest import build_forest, find_forest
from masksynth.arrange.order_cost import row_sizes
from masksynth.arrange.tree_orders import border_costs, tree_orders
from masksynth.mask import Mask
from tests.arrange.naive import naive_counts
from tests.arrange.samples import FILES, batches, depth_first, random_order, random_tree, trees_of


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 60), chain=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_parents_of_a_shuffled_forest(seed, size, chain):
    rng = np.random.default_rng(seed)
    mask = random_tree(rng, size, chain)
    order = rng.permutation(size)
    shuffled = permuted(mask, order)
    found = find_forest(shuffled)
    dense = shuffled.dense()
    for node, above in enumerate(found.tolist()):
        expected = dense[above].copy() if above >= 0 else np.zeros(size, bool)
        expected[node] = True
        assert (dense[node] == expected).all()


def test_what_is_no_forest():
    rng = np.random.default_rng(0)
    assert find_forest(Mask.from_dense(np.ones((3, 3), bool))) is None
    assert find_forest(Mask.from_dense(np.zeros((3, 3), bool))) is None
    assert find_forest(random_order(rng, 40, 0.2)) is None
    assert find_forest(Mask.from_dense(np.stack([np.eye(3, dtype=bool)] * 2))) is None


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 60), block=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_border_costs_count_blocks(seed, size, block):
    """In depth-first order the costs at the block starts are the blocks of each block row.

    For every shift of the borders.
    """
    mask = random_tree(np.random.default_rng(seed), size)
    mask = permuted(mask, depth_first(mask))
    touched, full = border_costs(mask, block)
    for shift in range(min(block, size)):
        dense = np.zeros((size - shift + block, size - shift + block), bool)
        dense[: size - shift, : size - shift] = mask.dense()[shift:, shift:]
        if shift == 0:
            nonempty, partial = naive_counts(dense, block)
            assert touched[::block].sum() == nonempty
            assert full[: size - block + 1 : block].sum() >= nonempty - partial - (block == 1) * size
    grid = mask.dense()
    for start in range(0, size - block + 1, block):
        rows = grid[start : start + block]
        whole = [j for j in range(0, start, block) if rows[:, j : j + block].all()]
        assert full[start] == len(whole)


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 90), block=st.integers(2, 12))
@settings(max_examples=25, deadline=None)
def test_never_worse_than_depth_first(seed, size, block):
    mask = random_tree(np.random.default_rng(seed), size)
    found = arrange(mask, block, effort=0.02)
    assert bound(mask, block) <= found.value.nonempty
    assert found.value <= counts(permuted(mask, depth_first(mask)), block)


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_laid_out_trees_are_depth_first_orders(seed, size):
    """Each order names every position once, and every subtree is contiguous below its root.

    The last two orders cut paths: there, ancestors come first, and each tree is contiguous.
    """
    mask = random_tree(np.random.default_rng(seed), size)
    viewers, roots = mask.dense().sum(axis=0), mask.dense().sum(axis=1) == 1
    orders = tree_orders(mask, find_forest(mask), 4)
    for number, order in enumerate(orders):
        assert sorted(order.tolist()) == list(range(size))
        dense = permuted(mask, order).dense()
        assert (dense == np.tril(dense)).all()
        for node in range(size):
            if number < len(orders) - 2 or roots[order[node]]:
                assert dense[node : node + viewers[order[node]], node].all()


def test_units_hold_every_position_once():
    mask = random_tree(np.random.default_rng(4), 200)
    trees = build_forest(find_forest(mask), row_sizes(mask))
    assert sorted(trees.nodes.tolist()) == list(range(200))
    assert (trees.parent < np.arange(len(trees.parent))).all()
    assert trees.weight[trees.parent < 0].sum() == 200


@pytest.mark.parametrize("name", FILES)
def test_trees_of_the_data(name):
    """Prefix trees of token samples in a batch of 32,768 positions.

    Fewer blocks than depth-first in the given order.
    """
    for mask in islice(batches(trees_of(name)), 1):
        found = arrange(mask)
        plain = counts(permuted(mask, depth_first(mask)))
        assert found.bound <= found.value.nonempty < plain.nonempty
        assert found.value <= found.given
