"""Starting orders and exchanges: what they claim, computed again from the blocks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.arrange import Counts, arrange, counts, permuted
from masksynth.arrange.improve import _score_changes, _smooth_scores, build_table, improve_order
from masksynth.arrange.seriate import cover_paths, eigen_ranks, multiply, multiply_transposed, starting_orders
from masksynth.backends import Status
from masksynth.mask import Mask
from tests.arrange.samples import random_order, random_relation, random_tree


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(4, 20), block=st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_gains_are_differences(seed, size, block):
    """The reported gain of an exchange is the score of the blocks after it minus that before it."""
    rng = np.random.default_rng(seed)
    mask, blocks = random_relation(rng, size, 0.3), -(-size // block)
    home = rng.permutation(np.arange(size) // block)
    score = _smooth_scores(block)[0]
    table = build_table(mask, 0, home, blocks)
    before = score(table.blocks).sum()
    for one in range(blocks):
        for two in range(one + 1, blocks):
            left, right = np.flatnonzero(home == one), np.flatnonzero(home == two)
            gain = _score_changes(table, left, right, one, two, score)
            for i, p in enumerate(left):
                for j, q in enumerate(right):
                    after = home.copy()
                    after[p], after[q] = two, one
                    assert gain[i, j] == pytest.approx(score(build_table(mask, 0, after, blocks).blocks).sum() - before)


def test_tables_stay_right_after_moves():
    rng = np.random.default_rng(2)
    mask, home = random_relation(rng, 30, 0.2), np.arange(30) // 6
    table = build_table(mask, 0, home, 5)
    for p, new in ((3, 4), (17, 0), (3, 1)):
        table.move(p, int(home[p]), new)
        home[p] = new
    fresh = build_table(mask, 0, home, 5)
    assert (table.rows == fresh.rows).all()
    assert (table.columns == fresh.columns).all()


def test_improvement_undoes_a_shuffle():
    """Three isolated cliques of a block each, shuffled: nine blocks become three."""
    rng = np.random.default_rng(0)
    clique = np.kron(np.eye(3, dtype=bool), np.ones((8, 8), bool))
    by = rng.permutation(24)
    mask = Mask.from_dense(clique[np.ix_(by, by)])
    order, spent = improve_order(mask, np.arange(24), 8, 1.0)
    assert counts(permuted(mask, order), 8) == Counts(3, 0, 24)
    assert 0 < spent <= 1.0


def test_no_effort_no_change():
    mask = random_relation(np.random.default_rng(1), 20, 0.2)
    assert improve_order(mask, np.arange(20), 5, 0.0)[0].tolist() == list(range(20))


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_products_without_an_array(seed, size):
    rng = np.random.default_rng(seed)
    dense, x = rng.random((2, size, size)) < 0.4, rng.random((size, 3))
    mask = Mask.from_dense(dense)
    for table in range(2):
        assert np.allclose(multiply(mask, x, table), dense[table] @ x)
        assert np.allclose(multiply_transposed(mask, x, table), dense[table].T @ x)


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_every_start_is_an_order(seed, size):
    rng = np.random.default_rng(seed)
    for mask in (
        random_relation(rng, size, 0.2),
        random_order(rng, size, 0.2),
        Mask.from_dense(np.zeros((2, size, size), bool)),
    ):
        for _, order in starting_orders(mask):
            assert sorted(order.tolist()) == list(range(size))
        assert all(np.isfinite(rank).all() for rank in eigen_ranks(mask))


def test_paths_of_a_tree_are_chains():
    mask = permuted(random_tree(np.random.default_rng(0), 200), np.random.default_rng(1).permutation(200))
    dense = mask.dense()
    paths = cover_paths(mask)
    assert sorted(paths.item.tolist()) == list(range(200))
    for path in np.split(paths.item, paths.offset[1:-1]):
        for below, above in pairwise(path.tolist()):
            assert dense[above, below]
            assert dense[above].sum() == dense[below].sum() + 1


def block_diffusion(blocks, length):
    """Clean and noised blocks in turn, as a batch of segments may bring them.

    Noised ones see themselves and the clean ones before.
    """
    rows = []
    for b in range(blocks):
        past = [(2 * j * length, (2 * j + 1) * length) for j in range(b)]
        rows += [[*past, (2 * b * length, (2 * b + 1) * length)]] * length
        rows += [[*past, ((2 * b + 1) * length, (2 * b + 2) * length)]] * length
    return Mask.from_intervals([rows])


def test_large_masks_are_arranged_along_paths():
    """8,192 positions, half of them noised: as few blocks as the longest rows need, a half of those given."""
    found = arrange(block_diffusion(64, 64))
    assert (found.status, found.method) == (Status.OPTIMAL, "paths")
    assert found.given.nonempty == 64 * 65 // 2
    assert (
        found.value.nonempty == 32 * 33 // 2 + 32 * 33 // 2 + 32
    )  # clean rows; clean keys of noised rows; noised keys
