"""The search for batches keeps units whole and batches within their limit, and finds the least sum of few units."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.pack.holdings import holdings_of_sets
from masksynth.pack.position_sets import PositionSets
from masksynth.pack.search_batches import classes_of, search_batches
from tests.verify.test_set_bounds import least_sum, systems


def classes_of_systems(sets, weight):
    """The classes of sets of nodes, each node as so many positions."""
    start = np.append(0, np.cumsum(weight))
    needed = [np.concatenate([np.arange(start[n], start[n + 1]) for n in sorted(nodes)]) for nodes in sets]
    offset = np.append(0, np.cumsum([len(each) for each in needed]))
    return classes_of(holdings_of_sets(PositionSets(offset, np.concatenate(needed))))


def test_few_units_reach_the_least_sum():
    reached = []

    @settings(max_examples=60, deadline=None)
    @given(systems(), st.integers(0, 12))
    def check(system, more):
        sets, weight = system
        sizes = [sum(weight[node] for node in nodes) for nodes in sets]
        limit = max(sizes) + more
        classes = classes_of_systems(sets, weight)
        assert classes.total == sizes
        batches = search_batches(classes, [[unit] for unit in range(len(sets))], limit, 0, 10_000)
        assert sorted(unit for batch in batches for unit in batch) == list(range(len(sets)))
        together = [sum(weight[n] for n in set().union(*(sets[unit] for unit in batch))) for batch in batches]
        assert together == [classes.size(batch) for batch in batches]
        assert max(together) <= limit
        reached.append(sum(together) == least_sum(sets, weight, limit))

    check()
    assert all(reached)


def test_a_search_from_good_batches_returns_none_that_are_worse():
    sets = [{0, unit + 1} for unit in range(12)]
    classes = classes_of_systems(sets, [10] + [37] * 3 + [42] * 5 + [52] * 4)
    batches = [[0, 1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11]]
    for effort in (1, 100, 10_000):
        assert sum(map(classes.size, search_batches(classes, batches, 129, 0, effort))) == 529 + 6 * 10


def test_equal_searches_give_equal_batches():
    rng = np.random.default_rng(3)
    sets = [set(rng.choice(30, 4, replace=False).tolist()) | {30 + unit} for unit in range(40)]
    classes = classes_of_systems(sets, rng.integers(1, 50, 70).tolist())
    alone = [[unit] for unit in range(40)]
    first, second = (search_batches(classes, alone, 400, 0, 50_000) for _ in range(2))
    assert first == second
    assert sum(map(classes.size, first)) < sum(classes.total)
