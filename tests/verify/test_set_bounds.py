"""Lower bounds on batches of overlapping sets: never above the least sum of all partitions, and often equal."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.verify import price_bounds, set_bounds
from masksynth.verify.holder_classes import classes_of_nodes
from masksynth.verify.pack_bounds import sum_copies
from masksynth.verify.price_sets import tree_of_classes
from masksynth.verify.set_bounds import bound_sets
from tests.partitions import partitions


def least_sum(sets, weight, limit):
    """The least sum of the weights of the unions of the parts of a partition, each at most ``limit``."""
    best = 10**9
    for parts in partitions(list(range(len(sets)))):
        sizes = [sum(weight[node] for node in set().union(*(sets[u] for u in part))) for part in parts]
        if max(sizes) <= limit:
            best = min(best, sum(sizes))
    return best


def bound_of(sets, weight, limit, enough=0):
    pairs = [(node, unit) for unit, nodes in enumerate(sets) for node in nodes]
    node, unit = np.array(pairs, np.int64).reshape(-1, 2).T
    return bound_sets(classes_of_nodes(node, unit, np.array(weight)), limit, enough)


@st.composite
def systems(draw):
    """Sets of nodes that overlap in any way, and the weights of the nodes."""
    nodes = draw(st.integers(1, 7))
    weight = draw(st.lists(st.integers(1, 9), min_size=nodes, max_size=nodes))
    sets = draw(st.lists(st.sets(st.integers(0, nodes - 1), min_size=1), min_size=1, max_size=6))
    return sets, weight


@pytest.mark.parametrize("exact", [1, 3, 10])
def test_never_above_the_least_sum(exact, monkeypatch):
    monkeypatch.setattr(set_bounds, "EXACT", exact)
    equal = []

    @settings(max_examples=150, deadline=None)
    @given(systems(), st.integers(0, 12))
    def check(system, more):
        sets, weight = system
        limit = max(sum(weight[node] for node in nodes) for nodes in sets) + more
        least, bound = least_sum(sets, weight, limit), bound_of(sets, weight, limit)
        assert bound <= bound_of(sets, weight, limit, enough=10**9) <= least
        assert bound >= sum(weight[node] for node in set().union(*sets))
        equal.append(bound == least)

    check()
    assert sum(equal) > len(equal) / 2
    if exact == 10:  # all partitions of all units are tried
        assert all(equal)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=5), min_size=1, max_size=6), st.integers(0, 5))
def test_paths_of_a_tree(texts, more):
    limit = max(map(len, texts)) + more
    texts = sorted(texts)
    shared = [0] + [
        next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
        for left, right in pairwise(texts)
    ]
    tree = sum_copies([len(text) for text in texts], shared, limit)
    prefixes = {node: i for i, node in enumerate(sorted({tuple(t[: k + 1]) for t in texts for k in range(len(t))}))}
    sets = [{prefixes[tuple(text[: k + 1])] for k in range(len(text))} for text in texts]
    assert tree <= bound_of(sets, [1] * len(prefixes), limit) == least_sum(sets, [1] * len(prefixes), limit)


def test_many_large_units_are_counted():
    """Thirty units of 10 and 5 of 14 above a common node, in batches of 25: two fit, 15 of them with one of 14."""
    sets = [{0, unit + 1} for unit in range(35)]
    weight = [1] + [10] * 30 + [14] * 5
    assert bound_of(sets, weight, 25) == 370 + 18
    assert bound_of(sets, weight, 31) == 370 + 13  # three of 10 fit


def test_dominated_units_are_left_out():
    sets = [{0}, {0, 1}, {0, 1}, {0, 1, 2}, {0, 3}]
    assert bound_of(sets, [3, 3, 3, 3], 9) == 15


def test_equal_units():
    assert bound_of([{0, 1}] * 20, [2, 2], 4) == 4


def test_prices_prove_how_many_batches_units_need():
    """Three units of 37, five of 42 and four of 52: only those of 37 fit into a batch of 119 in threes, 529 in all."""
    sets = [{unit, 12} for unit in range(12)]
    weight = [37] * 3 + [42] * 5 + [52] * 4 + [10]
    assert bound_of(sets, weight, 129) == 529 + 5 * 10
    assert bound_of(sets, weight, 129, enough=10**9) == 529 + 6 * 10


def test_classes_that_cross_are_spread_over_their_units():
    sets = [{0, 1, 4}, {0, 2, 5}, {1, 2, 6}, {0, 1, 7}, {0, 2, 8}, {1, 2, 9}]
    weight = [30, 30, 30, 0, 41, 42, 43, 44, 45, 46]
    least = least_sum(sets, weight, 190)
    assert 0.9 * least < bound_of(sets, weight, 190, enough=10**9) <= least


def test_the_effort_counts_linear_programs_too(monkeypatch):
    """A table of few entries does not allow thousands of linear programs, which are what takes the time."""
    rng = np.random.default_rng(5)
    sets = [set(rng.choice(12, 3, False).tolist()) | {12 + unit} for unit in range(40)]
    weight = np.array([*rng.integers(2, 9, 12), *rng.integers(1, 4, 40)])
    node, unit = np.array([(node, unit) for unit, nodes in enumerate(sets) for node in nodes], np.int64).T
    holdings = classes_of_nodes(node, unit, weight)
    tree = tree_of_classes(holdings, np.diff(holdings.offset))
    solved = []
    prices = price_bounds._Program.prices
    monkeypatch.setattr(price_bounds._Program, "prices", lambda program: solved.append(1) or prices(program))
    copies = np.ones(len(holdings.weight), np.int64)
    bounds = []
    for effort in (1 << 21, 1 << 24):
        monkeypatch.setattr(price_bounds, "EFFORT", effort)
        solved.clear()
        bounds.append(price_bounds.bound_nodes(holdings, tree, copies, 40, 10**9))
        assert 1 <= len(solved) <= 1 + effort // (price_bounds.COLUMN * len(sets))
    assert 0 < bounds[0] <= bounds[1]
