"""Reachability through layers, compared with breadth-first search on dense arrays."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.audit import layer_reach as reach
from masksynth.audit import shortest_paths as search
from masksynth.audit.layer_reach import build_sets, reachable_from
from masksynth.audit.reach_bounds import is_transitive
from masksynth.audit.shortest_paths import find_reachable, layers_of_path
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
        found, undecided = find_reachable(mask, query, which, build_sets(groups), layers)
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
            assert len(layers_of_path(mask, one.path)) == one.hops


@pytest.mark.parametrize("layers", [None, 1, 2, 5])
@pytest.mark.parametrize("tables", [1, 3])
def test_what_is_depended_on(layers, tables):
    rng = np.random.default_rng([5, tables, layers or 0])
    for _ in range(20):
        size = int(rng.integers(1, 14))
        mask = Mask.from_dense(random_mask(rng, size, tables, 0.12))
        sources = rng.choice(size, int(rng.integers(1, size + 1)), replace=False)
        expected = set().union(*(fewest_hops(mask, q, layers) for q in sources.tolist()))
        assert set(np.flatnonzero(reachable_from(mask, sources, layers)).tolist()) == expected


def test_closed_is_never_said_of_an_open_mask():
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(400):
        size = int(rng.integers(1, 6))
        dense = random_mask(rng, size, 1, rng.choice([0.2, 0.6]))[0]
        whole = dense | np.eye(size, dtype=bool)
        transitive = not ((whole.astype(int) @ whole.astype(int) > 0) & ~whole).any()
        claimed = is_transitive(Mask.from_dense(dense))
        assert transitive or not claimed
        seen += claimed
    assert seen > 50


def test_a_budget_that_ends_is_told(monkeypatch):
    monkeypatch.setattr(search, "BUDGET", 10)
    window = Mask.from_intervals([[((max(q - 1, 0), q + 1),) for q in range(30)]])
    found, undecided = find_reachable(window, np.array([29, 5, 1]), np.array([0, 0, 0]), build_sets([[0]]), None)
    assert [one.number for one in found] == [2]
    assert undecided == 2


def test_long_chains_are_walked():
    rng = np.random.default_rng(2)
    chain = [[((max(q - 1, 0), q + 1),) for q in range(400)], [((q, q + 1),) for q in range(400)]]
    assert np.flatnonzero(reachable_from(Mask.from_intervals(chain), np.array([350, 20]), None)).tolist() == list(
        range(351)
    )
    for _ in range(20):
        mask = Mask.from_dense(random_mask(rng, 300, 2, 0.004))
        sources = rng.choice(300, 2, replace=False)
        expected = set().union(*(fewest_hops(mask, q) for q in sources.tolist()))
        assert set(np.flatnonzero(reachable_from(mask, sources, None)).tolist()) == expected


def test_rounds_and_walks_agree(monkeypatch):
    rng = np.random.default_rng(3)
    for rounds in (0, 1, 2, 64):
        monkeypatch.setattr(reach, "ROUNDS", rounds)
        for _ in range(10):
            mask = Mask.from_dense(random_mask(rng, 30, 1, 0.05))
            expected = set(fewest_hops(mask, 0))
            assert set(np.flatnonzero(reachable_from(mask, np.array([0]), None)).tolist()) == expected


@pytest.mark.parametrize("layers", [None, 3, 9])
def test_walks_find_shortest_paths_too(monkeypatch, layers):
    monkeypatch.setattr(search, "ROUNDS", 1)
    rng = np.random.default_rng(4)
    for _ in range(20):
        mask = Mask.from_dense(random_mask(rng, 25, 1 if layers else 2, 0.06))
        query, key = (int(place) for place in rng.integers(0, 25, 2))
        found, undecided = find_reachable(mask, np.array([query]), np.array([0]), build_sets([[key]]), layers)
        hops = fewest_hops(mask, query, layers)
        assert undecided == 0
        assert [one.hops for one in found] == [hops[place] for place in [key] if place in hops]
        assert all(len(one.path) == one.hops + 1 and is_path(mask, one.path, layers) for one in found)


def test_a_leak_through_very_many_layers():
    window = Mask.from_intervals([[((max(q - 1, 0), q + 1),) for q in range(5000)]])
    (found,), undecided = find_reachable(window, np.array([4999]), np.array([0]), build_sets([[0]]), None)
    assert (found.hops, found.path, undecided) == (4999, None, 0)
