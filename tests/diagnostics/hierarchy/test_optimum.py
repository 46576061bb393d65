"""No block-tied matrix is closer to softmax: by a convex solver, by perturbations, by the closed identity."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.optimize import minimize

from masksynth.diagnostics.hierarchy import (
    diagnose_hierarchy,
    distance,
    inputs_of,
    module_tree,
    sight_of,
    tree_of_lists,
    windows,
)
from masksynth.diagnostics.hierarchy.dense_reference import attention_matrix, leaf_scores
from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from tests.diagnostics.hierarchy.trees import normal, random_tree


def divergences(theta, scores, allowed):
    """KL(theta_i || softmax_i) of the rows, from the definition."""
    logs = np.where(allowed, scores, -np.inf)
    logs = logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)
    return np.array(
        [np.sum(row[row > 0] * (np.log(row[row > 0]) - log[row > 0])) for row, log in zip(theta, logs, strict=True)]
    )


def basis(tree, allowed):
    """One 0/1 matrix for every usable block, and for every leaf that may see itself: all block-tied matrices are their
    sums.
    """
    made = []
    for group in (group for level in tree.plan for group in level):
        for family in group.child:
            leaves = [tree.order[tree.first[a] : tree.first[a] + tree.count[a]] for a in family]
            for a, rows in enumerate(leaves):
                for b, keys in enumerate(leaves):
                    if a != b and allowed[np.ix_(rows, keys)].all():
                        one = np.zeros(allowed.shape)
                        one[np.ix_(rows, keys)] = 1
                        made.append(one)
    for i in np.flatnonzero(np.diagonal(allowed)):
        made.append(np.zeros(allowed.shape))
        made[-1][i, i] = 1
    return np.array(made)


def cases():
    random = np.random.default_rng(11)
    trees = [
        tree_of_lists(t) for t in ([[0, 1], [2, 3], [4, 5]], [0, [1, 2], [3, [4, 5]]], [[[0], 1], [2, 3]], [0, 1, 2, 3])
    ]
    for tree in trees:
        for included in (False, True):
            for causal in (False, True):
                if included or not causal:
                    q, k = normal(random, 2, tree.size, 3)
                    size = tree.size
                    allowed = np.tri(size, dtype=bool) if causal else np.ones((size, size), bool)
                    yield tree, q, k, included, causal, allowed & (included | ~np.eye(size, dtype=bool))


@pytest.mark.parametrize(("tree", "q", "k", "included", "causal", "allowed"), list(cases()))
def test_a_convex_solver_and_perturbations_do_no_better(tree, q, k, included, causal, allowed):
    scores = leaf_scores(tree, q, k)
    theta = attention_matrix(tree, scores, allowed, included)
    total = divergences(theta, scores, allowed).sum()
    found = distance(tree, inputs_of(tree, q, k), sight_of(tree, included=included, causal=causal))
    assert abs(found.total - total) < 1e-12
    assert abs(found.identity - total) < 1e-12
    blocks = basis(tree, allowed)
    sums = blocks.sum(axis=2).T  # row sums of a combination
    logs = np.where(allowed, scores - np.logaddexp.reduce(np.where(allowed, scores, -np.inf), axis=1, keepdims=True), 0)

    def loss(weight):
        made = np.tensordot(np.maximum(weight, 1e-300), blocks, 1)
        inner = np.where(made > 0, made * (np.log(np.where(made > 0, made, 1)) - logs), 0)
        slope = np.where(made > 0, np.log(np.where(made > 0, made, 1)) - logs + 1, 0)
        return inner.sum(), (blocks * slope).sum(axis=(1, 2))

    start, *_ = np.linalg.lstsq(sums, np.ones(tree.size), rcond=None)
    solved = minimize(
        loss,
        np.maximum(start, 0.05),
        jac=True,
        method="SLSQP",
        bounds=[(1e-12, 1)] * len(blocks),
        constraints={"type": "eq", "fun": lambda w: sums @ w - 1, "jac": lambda w: sums},
        options={"maxiter": 500, "ftol": 1e-13},
    )
    assert abs(solved.fun - total) < 1e-6, solved.message
    best = np.array([theta[block > 0].mean() for block in blocks])
    assert np.allclose(np.tensordot(best, blocks, 1), theta, atol=1e-14)
    moves, random = null_space(sums), np.random.default_rng(0)
    for _ in range(50 if moves.size else 0):
        step = moves @ normal(random, moves.shape[1])
        falling = step < 0
        step *= 0.5 * random.random() * (best[falling] / -step[falling]).min() if falling.any() else 1
        made = np.tensordot(best + step, blocks, 1)
        assert np.allclose(made.sum(axis=1), 1)
        assert divergences(made, scores, allowed).sum() >= total - 1e-12


def test_the_identity_and_the_rows_on_random_trees_with_masks_and_embeddings():
    random = np.random.default_rng(12)
    finite = 0
    for trial in range(120):
        tree = random_tree(random, int(random.integers(1, 10)))
        size, included = tree.size, bool(trial % 2)
        q, k = normal(random, 2, size, 3)
        eps = normal(random, tree.nodes, 2) if trial % 3 else None
        mask = random.random((size, size)) < (0.9 if trial % 4 else 1.0)
        sight = sight_of(tree, included=included, mask=Mask.from_dense(mask))
        found = distance(tree, inputs_of(tree, q, k, eps=eps), sight)
        scores = leaf_scores(tree, q, k, eps=eps)
        theta = attention_matrix(tree, scores, mask, included)
        rows = theta.sum(axis=1) > 0
        allowed = mask & (included | ~np.eye(size, dtype=bool))
        assert (np.isinf(found.rows) == ~rows).all()
        assert np.abs(divergences(theta[rows], scores[rows], allowed[rows]) - found.rows[rows]).max(initial=0) < 1e-11
        assert np.isinf(found.total) == np.isinf(found.identity) == (not rows.all())
        if rows.all():
            finite += 1
            assert abs(found.total - found.identity) < 1e-11
    assert finite > 40


def test_causal_with_self_obeys_the_identity_against_the_causal_softmax():
    tree = tree_of_lists([[0, 1], [2, 3], [4, 5]])
    q, k = normal(np.random.default_rng(0), 2, 6, 4)
    found = distance(tree, inputs_of(tree, q, k), sight_of(tree, included=True, causal=True))
    scores, allowed = leaf_scores(tree, q, k), np.tri(6, dtype=bool)
    direct = divergences(attention_matrix(tree, scores, allowed, True), scores, allowed).sum()
    assert found.total > 0.1
    assert max(abs(found.total - direct), abs(found.identity - direct)) < 1e-13


def test_a_flat_tree_is_at_no_distance():
    q, k = normal(np.random.default_rng(0), 2, 8, 4)
    tree = tree_of_lists(list(range(8)))
    assert abs(distance(tree, inputs_of(tree, q, k), sight_of(tree)).total) < 1e-12


def test_a_wrong_matrix_would_be_seen():
    """The printed eq. 18 normalises over queries; its flat matrix is not at distance 0 from itself tied on a flat
    tree.
    """
    q, k = normal(np.random.default_rng(0), 2, 5, 4)
    tree, allowed = tree_of_lists(list(range(5))), ~np.eye(5, dtype=bool)
    scores = leaf_scores(tree, q, k)
    theta = attention_matrix(tree, scores)
    printed = np.where(
        allowed, scores - np.logaddexp.reduce(np.where(allowed, scores, -np.inf), axis=0, keepdims=True), 0
    )
    assert abs(divergences(theta, scores, allowed).sum()) < 1e-12
    assert abs(np.exp(printed).sum(axis=1) - 1).max() > 0.1
    assert abs((np.where(theta > 0, theta * (np.log(np.where(theta > 0, theta, 1)) - printed), 0)).sum()) > 0.1


def test_the_mask_of_a_modular_tree_loses_no_block_and_keeps_the_identity():
    random = np.random.default_rng(3)
    mask = np.tril(random.random((9, 9)) < 0.6) | np.eye(9, dtype=bool)
    tree = module_tree(mask, most=3)
    sight = sight_of(tree, included=True, mask=Mask.from_dense(mask))
    q, k = normal(random, 2, 9, 3)
    found = distance(tree, inputs_of(tree, q, k), sight)
    assert sight.lost == 0
    assert abs(found.total - found.identity) < 1e-12


def test_two_ways_that_disagree_are_no_answer(monkeypatch):
    """The identity of a tree that is not the one attended to."""
    tree, other = windows(16, (2, 4)), windows(16, (4, 2))

    def mixed(_, inputs, sight):
        right, wrong = (distance(one, inputs, sight_of(one, included=True)) for one in (tree, other))
        return right._replace(identity=wrong.identity)

    monkeypatch.setattr(importlib.import_module("masksynth.diagnostics.hierarchy.diagnose"), "distance", mixed)
    with pytest.raises(WrongAnswer, match="optimum: the rows sum to"):
        diagnose_hierarchy(tree, included=True)


def test_two_ways_that_disagree_are_no_answer_in_half_precision(monkeypatch):
    """The product of the largest numbers does not fit float16: a tolerance in float16 would be infinite."""

    def mixed(tree, inputs, sight):
        right = distance(tree, inputs, sight)
        return right._replace(identity=1.01 * right.identity)

    monkeypatch.setattr(importlib.import_module("masksynth.diagnostics.hierarchy.diagnose"), "distance", mixed)
    q, k = (300 * np.random.default_rng(0).standard_normal((2, 8, 3))).astype(np.float16)
    with pytest.raises(WrongAnswer, match="optimum: the rows sum to"):
        diagnose_hierarchy(windows(8, (2, 2)), q, k)
