"""Both algorithms compared with the matrix written out, on hundreds of random trees."""

from __future__ import annotations

import importlib
import time

import numpy as np
import pytest

from masksynth.diagnostics.hierarchy import (
    attend,
    degenerate_families,
    direct_attention,
    energies,
    hierarchical_attention,
    inputs_of,
    massless_rows,
    sight_of,
    tree_of_lists,
    windows,
)
from masksynth.diagnostics.hierarchy.dense_reference import attention_matrix, leaf_scores
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from tests.diagnostics.hierarchy.trees import normal, random_tree


def softmax(scores, allowed):
    weight = np.where(allowed, np.exp(scores - scores.max()), 0)
    return weight / weight.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("included", [False, True])
@pytest.mark.parametrize("seen", ["all", "causal", "mask"])
def test_both_algorithms_are_the_matrix_times_the_values(seen, included):
    random = np.random.default_rng(7)
    for trial in range(60):
        tree = random_tree(random, int(random.integers(1, 12)), ordered=seen == "causal")
        size = tree.size
        q, k, v = normal(random, 3, size, 3)
        eps = normal(random, tree.nodes, 2) if trial % 2 else None
        allowed = {
            "all": np.ones((size, size), bool),
            "causal": np.tri(size, dtype=bool),
            "mask": random.random((size, size)) < 0.8,
        }[seen]
        sight = sight_of(
            tree, included=included, causal=seen == "causal", mask=Mask.from_dense(allowed) if seen == "mask" else None
        )
        theta = attention_matrix(tree, leaf_scores(tree, q, k, eps=eps), allowed, included)
        assert (theta >= 0).all()
        assert np.allclose(theta.sum(axis=1), ~massless_rows(tree, sight), atol=1e-12)
        for algorithm in (hierarchical_attention, direct_attention):
            assert np.abs(algorithm(tree, q, k, v, eps=eps, sight=sight) - theta @ v).max() < 1e-12


def test_theta_is_constant_on_every_block_of_two_siblings():
    random = np.random.default_rng(8)
    for _ in range(30):
        tree = random_tree(random, 10)
        theta = hierarchical_attention(tree, *normal(random, 2, 10, 3), np.eye(10))
        for group in (group for level in tree.plan for group in level):
            for family in group.child:
                leaves = [tree.order[tree.first[a] : tree.first[a] + tree.count[a]] for a in family]
                for a in range(len(family)):
                    for b in range(len(family)):
                        assert a == b or np.ptp(theta[np.ix_(leaves[a], leaves[b])]) < 1e-14


@pytest.mark.parametrize("size", [1, 2, 9, 70])
def test_a_flat_tree_is_softmax_attention(size):
    q, k = normal(np.random.default_rng(size), 2, size, 4)
    tree = tree_of_lists(list(range(size)))
    scores = q @ k.T / 2
    plain = hierarchical_attention(tree, q, k, np.eye(size), sight=sight_of(tree, included=True))
    assert np.abs(plain - softmax(scores, np.ones((size, size), bool))).max() < 1e-12
    without = hierarchical_attention(tree, q, k, np.eye(size))
    want = np.zeros((1, 1)) if size == 1 else softmax(scores, ~np.eye(size, dtype=bool))
    assert np.abs(without - want).max() < 1e-12


def test_large_scores_neither_overflow_nor_underflow():
    random = np.random.default_rng(3)
    tree = windows(64, (4, 4))
    q, k, v = normal(random, 3, 64, 8)
    for scale in (1e3, 1e6):
        for included in (False, True):
            found = hierarchical_attention(tree, scale * q, k, v, sight=sight_of(tree, included=included))
            assert np.isfinite(found).all()
            assert np.abs(found).max() <= np.abs(v).max() + 1e-12


def test_one_leaf_and_single_children():
    x = np.array([[2.0]])
    for nested in (0, [0], [[[0]]]):
        tree = tree_of_lists(nested)
        assert hierarchical_attention(tree, x, x, x).tolist() == [[0.0]]
        assert massless_rows(tree, sight_of(tree)).tolist() == [True]
        assert hierarchical_attention(tree, x, x, x, sight=sight_of(tree, included=True)).tolist() == [[2.0]]
        assert direct_attention(tree, x, x, x, sight=sight_of(tree, included=True)).tolist() == [[2.0]]


def test_a_leaf_alone_in_its_family_keeps_nothing_there_unless_it_sees_itself():
    tree = tree_of_lists([[0], [1, 2]])
    x = normal(np.random.default_rng(0), 3, 2)
    theta = hierarchical_attention(tree, x, x, np.eye(3))
    assert theta[0, 0] == 0
    assert np.isposinf(attend(tree, inputs_of(tree, x, x), x, sight_of(tree)).energies.phi[tree.parent[tree.leaves[0]]])
    assert np.allclose(theta.sum(axis=1), 1)
    assert hierarchical_attention(tree, x, x, np.eye(3), sight=sight_of(tree, included=True))[0, 0] > 0


def test_causal_without_self_is_degenerate_and_says_so():
    tree = tree_of_lists([[0, 1], [2, 3], [4, 5]])
    x = normal(np.random.default_rng(1), 6, 3)
    sight = sight_of(tree, causal=True)
    theta = hierarchical_attention(tree, x, x, np.eye(6), sight=sight)
    assert np.isfinite(theta).all()
    assert np.allclose(theta.sum(axis=1), [0, 0, 1, 1, 1, 1])
    assert theta[[1, 3, 5], [0, 2, 4]].tolist() == [0, 0, 0]
    assert massless_rows(tree, sight).tolist() == [True, True, False, False, False, False]
    assert np.flatnonzero(degenerate_families(tree, sight)).tolist() == [0, 1, 2, 3]
    whole = hierarchical_attention(tree, x, x, np.eye(6), sight=sight_of(tree, causal=True, included=True))
    assert np.allclose(whole.sum(axis=1), 1)
    assert (np.triu(whole, 1) == 0).all()
    with pytest.raises(InvalidInstance, match="order"):
        sight_of(tree_of_lists([1, 0]), causal=True)


def test_one_forbidden_pair_closes_its_block():
    allowed = np.ones((4, 4), bool)
    allowed[0, 3] = False
    tree = tree_of_lists([[0, 1], [2, 3]])
    sight = sight_of(tree, mask=Mask.from_dense(allowed))
    x = normal(np.random.default_rng(2), 4, 2)
    theta = hierarchical_attention(tree, x, x, np.eye(4), sight=sight)
    assert sight.lost == 3
    assert (theta[:2, 2:] == 0).all()
    assert (theta[2:, :2] > 0).all()
    assert np.allclose(theta.sum(axis=1), 1)


def test_distances_are_those_of_the_paper():
    random = np.random.default_rng(4)
    tree = random_tree(random, 9)
    q, k = normal(random, 2, 9, 4)
    inputs = inputs_of(tree, q, k, scores="distance")
    found = energies(tree, inputs, k, sight_of(tree))
    square = ((q[:, None] - k[None]) ** 2).sum(axis=2) / (2 * np.sqrt(4))
    group = tree.plan[0][0]
    leaves = [tree.order[tree.first[a] : tree.first[a] + tree.count[a]] for a in group.child[0]]
    for a, node in enumerate(group.child[0]):
        outer = sum(
            len(leaves[b]) * np.exp(-square[np.ix_(leaves[a], leaves[b])].mean()) for b in range(len(leaves)) if b != a
        )
        assert np.isclose(np.exp(-found.eta[node]), outer)
    normed = [x * 2 / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, k)]  # |x|^2 = d = 4, as after a layer norm
    paper = energies(tree, inputs_of(tree, *normed, scores="distance"), k, sight_of(tree))
    plain = energies(tree, inputs_of(tree, *normed), k, sight_of(tree))
    assert abs(paper.phi[0] - plain.phi[0] - 2) < 1e-12  # eq. 16: psi = sqrt(d) - rho . rho / sqrt(d)


def test_the_update_is_a_gradient_step():
    """q_i - N sqrt(d) grad_i phi(root) is the output for values k, by differences of the energy of eqs. 7 and 8."""
    random = np.random.default_rng(5)
    tree = tree_of_lists([[0, 1, 2], [3, [4, 5]], 6])
    q, k = normal(random, 2, 7, 3)

    def energy(queries):
        return energies(tree, inputs_of(tree, queries, k, scores="distance"), k, sight_of(tree)).phi[0]

    want = hierarchical_attention(tree, q, k, k, scores="distance")
    for i in range(7):
        for c in range(3):
            step = np.zeros_like(q)
            step[i, c] = 1e-5
            slope = (energy(q + step) - energy(q - step)) / 2e-5
            assert abs(q[i, c] - 7 * np.sqrt(3) * slope - want[i, c]) < 1e-8


def test_pieces_of_large_families_change_nothing(monkeypatch):
    module = importlib.import_module("masksynth.diagnostics.hierarchy.energies")
    tree = windows(60, (3, 20))
    q, k, v = normal(np.random.default_rng(6), 3, 60, 4)
    want = hierarchical_attention(tree, q, k, v)
    for entries in (1, 50, 130):
        monkeypatch.setattr(module, "ENTRIES", entries)
        assert np.allclose(hierarchical_attention(tree, q, k, v), want, atol=1e-14)


def test_bad_inputs_are_refused():
    tree = windows(4, (2,))
    x = np.zeros((4, 2))
    bad = x.copy()
    bad[1, 1] = np.nan
    for q, k, v, said in (
        (x[:3], x, x, "of one shape .4, d."),
        (bad, x, x, "not finite"),
        (x, x, x[:2], "v: expected shape .4, c., got .2, 2."),
        (x, x, x[0], "shape"),
    ):
        with pytest.raises(InvalidInstance, match=said):
            hierarchical_attention(tree, q, k, v)
    with pytest.raises(InvalidInstance, match="scores"):
        hierarchical_attention(tree, x, x, x, scores="cosine")
    with pytest.raises(InvalidInstance, match="eps"):
        hierarchical_attention(tree, x, x, x, eps=x)
    with pytest.raises(InvalidInstance, match="omit causal"):
        sight_of(tree, causal=True, mask=Mask.from_dense(np.ones((4, 4), bool)))
    with pytest.raises(InvalidInstance, match="a mask of one table over 4 positions"):
        sight_of(tree, mask=Mask.from_dense(np.ones((5, 5), bool)))
    backwards = tree_of_lists(list(range(8999, -1, -1)))
    with pytest.raises(Unsupported, match="8,192"):
        sight_of(backwards, mask=Mask.from_intervals([[[(0, 9000)]] * 9000]))


def test_large_masks_are_read_by_their_intervals(monkeypatch):
    module = importlib.import_module("masksynth.diagnostics.hierarchy.visible_siblings")
    random = np.random.default_rng(9)
    for _ in range(60):
        tree = random_tree(random, int(random.integers(1, 14)), ordered=True)
        mask = Mask.from_dense(random.random((tree.size, tree.size)) < random.choice([0.0, 0.7, 0.95, 1.0]))
        found = []
        for largest in (8192, 0):
            monkeypatch.setattr(module, "LARGEST_MASK", largest)
            found.append(sight_of(tree, mask=mask, included=True))
        assert found[0].lost == found[1].lost
        assert found[0].itself.tolist() == found[1].itself.tolist()
        for one, other in zip(*(sum(sight.blocks, ()) for sight in found), strict=True):
            assert (one == other).all()


def test_sixty_five_thousand_positions_take_seconds():
    tree = windows(65536, (16, 16, 16, 16))
    q, k, v = np.random.default_rng(0).standard_normal((3, 65536, 16), np.float32)
    begun = time.perf_counter()
    found = hierarchical_attention(tree, q, k, v)
    assert time.perf_counter() - begun < 20
    assert found.dtype == np.float32
    assert np.abs(found[:16] - direct_attention(tree, q, k, v)[:16]).max() < 1e-5
