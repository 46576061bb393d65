"""Rows that depend on what they may not see: by changing what they may not see."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.diagnostics.hierarchy import hierarchical_attention, histories, leaking_rows, sight_of, windows
from masksynth.mask import Mask
from tests.diagnostics.hierarchy.trees import normal, random_tree


def changed_rows(tree, sight, allowed, random):
    """Rows of Theta that change when queries and keys of positions change that the row's position may not attend to."""
    size = tree.size
    q, k = normal(random, 2, size, 3)
    before = hierarchical_attention(tree, q, k, np.eye(size), sight=sight)
    found = np.zeros(size, bool)
    for i in range(size):
        hidden = ~allowed[i] & (np.arange(size) != i)
        other_q, other_k = q.copy(), k.copy()
        other_q[hidden] += normal(random, hidden.sum(), 3)
        other_k[hidden] += normal(random, hidden.sum(), 3)
        after = hierarchical_attention(tree, other_q, other_k, np.eye(size), sight=sight)
        found[i] = np.abs(after[i] - before[i]).max() > 1e-12
    return found


@pytest.mark.parametrize("causal", [True, False])
def test_exactly_the_named_rows_leak(causal):
    random = np.random.default_rng(causal)
    some = 0
    for _ in range(40):
        tree = random_tree(random, int(random.integers(1, 10)), ordered=causal)
        allowed = np.tri(tree.size, dtype=bool) if causal else (random.random((tree.size, tree.size)) < 0.8) | np.eye(tree.size, dtype=bool)
        sight = sight_of(tree, included=True, causal=causal, mask=None if causal else Mask.from_dense(allowed))
        named = leaking_rows(tree, sight)
        assert (named == changed_rows(tree, sight, allowed, random)).all()
        some += named.any()
    assert some > 5


def test_histories_do_not_leak_and_windows_do():
    for size, window in ((1, 3), (7, 3), (30, 4), (5, 9)):
        tree = histories(size, window)
        assert tree.order.tolist() == list(range(size))
        assert not leaking_rows(tree, sight_of(tree, causal=True, included=True)).any()
    tree = windows(30, (4, 4))
    assert leaking_rows(tree, sight_of(tree, causal=True, included=True)).sum() > 10
    assert not leaking_rows(tree, sight_of(tree)).any()
