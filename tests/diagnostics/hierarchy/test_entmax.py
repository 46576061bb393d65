"""Tied attention with Tsallis entropy, compared with entmax of one row, with a generic solver, and with softmax."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from masksynth.diagnostics.hierarchy import windows
from masksynth.diagnostics.hierarchy.dense_reference import attention_matrix
from masksynth.diagnostics.hierarchy.entmax import entmax_matrix
from masksynth.errors import InvalidInstance
from tests.diagnostics.hierarchy.trees import normal, random_tree


def entmax(scores, alpha):
    """Entmax of one row, by bisection for its threshold."""
    low, high = ((alpha - 1) * scores).max() - 1, ((alpha - 1) * scores).max()
    for _ in range(100):
        middle = (low + high) / 2
        row = np.maximum((alpha - 1) * scores - middle, 0) ** (1 / (alpha - 1))
        low, high = (middle, high) if row.sum() > 1 else (low, middle)
    return row


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2, 3])
def test_a_flat_tree_is_entmax(alpha):
    scores = 2 * normal(np.random.default_rng(0), 7, 7)
    found = entmax_matrix(windows(7, ()), scores, alpha)
    assert np.abs(found - [entmax(row, alpha) for row in scores]).max() < 1e-12
    assert (found == 0).any()


def blocks(tree):
    """The diagonal entries and the blocks of siblings, (n, N, N), from the definition."""
    below = [set() for _ in range(tree.nodes)]
    for node in range(tree.nodes - 1, -1, -1):
        if tree.position[node] >= 0:
            below[node].add(int(tree.position[node]))
        if node:
            below[int(tree.parent[node])] |= below[node]
    table = np.zeros((0, tree.size, tree.size))
    pairs = [(node, node) for node in range(tree.nodes) if tree.position[node] >= 0]
    pairs += [(a, b) for a in range(1, tree.nodes) for b in range(1, tree.nodes) if a != b]
    for a, b in pairs:
        if a == b or tree.parent[a] == tree.parent[b]:
            block = np.zeros((1, tree.size, tree.size))
            block[0][np.ix_(sorted(below[a]), sorted(below[b]))] = 1
            table = np.concatenate([table, block])
    return table


def test_no_tied_matrix_has_less_energy():
    random = np.random.default_rng(1)
    zeros = 0
    for trial in range(12):
        tree = random_tree(random, int(random.integers(2, 7)))
        scores = normal(random, tree.size, tree.size) * (0.5, 2)[trial % 2]
        alpha = (1.3, 1.5, 2.0, 2.5)[trial % 4]
        table = blocks(tree)
        rows = table.sum(2).T

        def energy(matrix, scores=scores, alpha=alpha):
            return float((np.maximum(matrix, 0) ** alpha).sum() / (alpha * (alpha - 1)) - (scores * matrix).sum())

        def slopes(x, table=table, scores=scores, alpha=alpha):
            matrix = np.maximum(np.tensordot(x, table, 1), 0)
            return np.tensordot(table, matrix ** (alpha - 1) / (alpha - 1) - scores, 2)

        best = minimize(
            lambda x, table=table, energy=energy: energy(np.tensordot(x, table, 1)),
            np.full(len(table), 1 / tree.size),
            jac=slopes,
            bounds=[(0, 1)] * len(table),
            constraints={"type": "eq", "fun": lambda x, rows=rows: rows @ x - 1},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        found = entmax_matrix(tree, scores, alpha)
        assert np.abs(found.sum(1) - 1).max() < 1e-9
        assert found.min() >= 0
        assert abs(energy(found) - best.fun) < 1e-6
        zeros += int((found == 0).any())
    assert zeros  # some blocks are closed


def test_near_order_1_it_is_softmax():
    random = np.random.default_rng(2)
    for _ in range(3):
        tree = random_tree(random, 6)
        scores = normal(random, 6, 6)
        assert np.abs(entmax_matrix(tree, scores, 1.0005) - attention_matrix(tree, scores, None, True)).max() < 1e-3


def test_what_has_no_optimum_is_refused():
    for scores, alpha, said in (
        (np.zeros((3, 3)), 1.0, "above 1"),
        (np.zeros((3, 3)), np.nan, "above 1"),
        (np.zeros((2, 2)), 2, "expected finite scores"),
        (np.full((3, 3), np.inf), 2, "expected finite scores"),
    ):
        with pytest.raises(InvalidInstance, match=said):
            entmax_matrix(windows(3, ()), scores, alpha)
