"""Reaching through layers, beside breadth-first search on dense arrays."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.audit import search
from masksynth.audit.reach import closed, depended_on, sets_of
from masksynth.audit.search import layers_of, reached
from masksynth.mask import Mask
from tests.audit.naive import fewest_hops, is_path, random_mask


@pytest.mark.parametrize("layers", [None, 1, 2, 3, 7])
@pytest.mark.parametrize("tables", [1, 2, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_shortest_paths(layers, tables, causal):
    rng = np.random.default_rng([tables, causal, layers or 0])
    for _ in range(12):
        size = int(rng.integers(1, 14))
        mask = Mask.from_dense(random_mask(rng, size, tables, rng.choice([0.08, 0.2, 0.5]), causal))
        groups = [rng.choice(size, int(rng.integers(0, min(size, 3) + 1)), replace=False).tolist() for _ in range(8)]
        query, which = rng.integers(0, size, 20), rng.integers(0, 8, 20)
        found, undecided = reached(mask, query, which, sets_of(groups), layers)
        assert undecided == 0
        expected = {}
        for number, (q, s) in enumerate(zip(query.tolist(), which.tolist(), strict=True)):
            hops = fewest_hops(mask, q, layers)
            if near := [hops[k] for k in groups[s] if k in hops]:
                expected[number] = min(near)
        assert {one.number: one.hops for one in found} == expected
        for one in found:
            assert one.path[0] == one.key
            assert one.key in groups[which[one.number]]
            assert one.path[-1] == query[one.number]
            assert len(one.path) == one.hops + 1
            assert is_path(mask, one.path, layers)
            assert len(layers_of(mask, one.path)) == one.hops


@pytest.mark.parametrize("layers", [None, 1, 2, 5])
@pytest.mark.parametrize("tables", [1, 3])
def test_what_is_depended_on(layers, tables):
    rng = np.random.default_rng([5, tables, layers or 0])
    for _ in range(20):
        size = int(rng.integers(1, 14))
        mask = Mask.from_dense(random_mask(rng, size, tables, 0.12))
        sources = rng.choice(size, int(rng.integers(1, size + 1)), replace=False)
        expected = set().union(*(fewest_hops(mask, q, layers) for q in sources.tolist()))
        assert set(np.flatnonzero(depended_on(mask, sources, layers)).tolist()) == expected


def test_closed_is_never_said_of_an_open_mask():
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(400):
        size = int(rng.integers(1, 6))
        dense = random_mask(rng, size, 1, rng.choice([0.2, 0.6]))[0]
        whole = dense | np.eye(size, dtype=bool)
        transitive = not ((whole.astype(int) @ whole.astype(int) > 0) & ~whole).any()
        claimed = closed(Mask.from_dense(dense))
        assert transitive or not claimed
        seen += claimed
    assert seen > 50


def test_a_budget_that_ends_is_told(monkeypatch):
    monkeypatch.setattr(search, "BUDGET", 10)
    window = Mask.from_intervals([[((max(q - 1, 0), q + 1),) for q in range(30)]])
    found, undecided = reached(window, np.array([29, 5, 1]), np.array([0, 0, 0]), sets_of([[0]]), None)
    assert [one.number for one in found] == [2]
    assert undecided == 2
