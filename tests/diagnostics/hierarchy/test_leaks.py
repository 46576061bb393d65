"""Rows that depend on what they may not see: by changing what they may not see."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.diagnostics.hierarchy import histories, leaking_rows, massless_rows, sight_of, windows
from masksynth.diagnostics.hierarchy.dense_reference import attention_matrix, leaf_scores
from masksynth.mask import Mask
from tests.diagnostics.hierarchy.trees import normal, random_tree


def changed_rows(tree, sight, allowed, random):
    """Rows of Theta that change when queries and keys of positions change that the row's position may not attend to."""
    size = tree.size
    q, k = normal(random, 2, size, 3)
    before = dense(tree, q, k, allowed, sight.included)
    found = np.zeros(size, bool)
    for i in range(size):
        hidden = ~allowed[i] & (np.arange(size) != i)
        other_q, other_k = q.copy(), k.copy()
        other_q[hidden] += normal(random, hidden.sum(), 3)
        other_k[hidden] += normal(random, hidden.sum(), 3)
        after = dense(tree, other_q, other_k, allowed, sight.included)
        found[i] = np.abs(after[i] - before[i]).max() > 1e-12
    return found


@pytest.mark.parametrize("included", [True, False])
@pytest.mark.parametrize("kind", ["causal", "mask", "loopless mask", "causal mask"])
def test_exactly_the_named_rows_leak(kind, included):
    random = np.random.default_rng(included)
    some = 0
    for _ in range(60):
        tree = random_tree(random, int(random.integers(1, 10)), ordered="causal" in kind)
        allowed = np.tri(tree.size, dtype=bool) if "causal" in kind else np.ones((tree.size, tree.size), bool)
        if "mask" in kind:
            allowed &= (random.random((tree.size, tree.size)) < 0.85) | (
                np.eye(tree.size, dtype=bool) * (kind == "mask")
            )
        mask = Mask.from_dense(allowed) if "mask" in kind else None
        sight = sight_of(tree, included=included, causal=kind == "causal", mask=mask)
        named = leaking_rows(tree, sight)
        assert (named == changed_rows(tree, sight, allowed, random)).all()
        assert not (named & massless_rows(tree, sight)).any()
        some += named.any()
    assert some >= 5


def dense(tree, q, k, allowed, included):
    return attention_matrix(tree, leaf_scores(tree, q, k), allowed, included)


def test_histories_do_not_leak_and_windows_do():
    for size, window in ((1, 3), (7, 3), (30, 4), (5, 9)):
        tree = histories(size, window)
        assert tree.order.tolist() == list(range(size))
        assert not leaking_rows(tree, sight_of(tree, causal=True, included=True)).any()
    tree = windows(30, (4, 4))
    assert leaking_rows(tree, sight_of(tree, causal=True, included=True)).sum() > 10
    assert not leaking_rows(tree, sight_of(tree)).any()
