"""The search for batches keeps units whole and batches within their limit, and mostly finds the least sum of few."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.pack.holdings import holdings_of_sets, least_positions
from masksynth.pack.position_sets import PositionSets
from masksynth.pack.regrow import regrow
from masksynth.pack.search_batches import Search, classes_of, search_batches
from tests.verify.test_set_bounds import least_sum, systems


def holdings_of_systems(sets, weight):
    """Sets of nodes, each node as so many positions."""
    start = np.append(0, np.cumsum(weight))
    needed = [np.concatenate([np.arange(start[n], start[n + 1]) for n in sorted(nodes)]) for nodes in sets]
    offset = np.append(0, np.cumsum([len(each) for each in needed]))
    return holdings_of_sets(PositionSets(offset, np.concatenate(needed)))


def classes_of_systems(sets, weight):
    return classes_of(holdings_of_systems(sets, weight))


def searched(sets, weight, more):
    """The batches of a search, and the sum of their sizes, after a check of both."""
    sizes = [sum(weight[node] for node in nodes) for nodes in sets]
    limit = max(sizes) + more
    classes = classes_of_systems(sets, weight)
    assert classes.total == sizes
    batches = search_batches(classes, [[unit] for unit in range(len(sets))], limit, 0, 10_000)
    assert sorted(unit for batch in batches for unit in batch) == list(range(len(sets)))
    together = [sum(weight[n] for n in set().union(*(sets[unit] for unit in batch))) for batch in batches]
    assert together == [classes.size(batch) for batch in batches]
    assert max(together) <= limit
    return sum(together), least_sum(sets, weight, limit)


@settings(max_examples=60, deadline=None)
@given(systems(), st.integers(0, 12))
def test_units_are_whole_and_batches_within_their_limit(system, more):
    found, least = searched(*system, more)
    assert found >= least


def test_few_units_reach_the_least_sum():
    """Of 60 systems, the same at each run: a search is no proof, and misses about one in 2,000."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        nodes = rng.integers(1, 8)
        sets = [set(rng.choice(nodes, rng.integers(1, nodes + 1), replace=False)) for _ in range(rng.integers(1, 7))]
        found, least = searched(sets, rng.integers(1, 10, nodes).tolist(), int(rng.integers(0, 13)))
        assert found == least


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


def random_units():
    """40 units of 4 of 30 shared nodes, and one of their own."""
    rng = np.random.default_rng(3)
    sets = [set(rng.choice(30, 4, replace=False).tolist()) | {30 + unit} for unit in range(40)]
    return sets, rng.integers(1, 50, 70).tolist()


def test_a_search_ends_at_the_bound_and_sooner_where_it_is_close():
    classes = classes_of_systems(*random_units())
    alone = [[unit] for unit in range(40)]

    def cost(least, close):
        return sum(map(classes.size, search_batches(classes, alone, 400, least, 50_000, close)))

    best = cost(0, 0)
    assert cost(best, 50_000) == best
    bound = best * 2000 // 2001  # close to the best batches, and not met
    assert best > bound >= best - best // 2000 - 1
    assert cost(bound - 1, 50_000) == best
    worse = best + best // 20  # met long before the effort ends
    assert best < cost(worse, 50_000) <= worse
    assert best < cost(worse - 1, 0) <= worse + worse // 2000


def test_units_are_not_searched_where_their_bound_is_met():
    holdings, batch = holdings_of_systems(*random_units()), np.arange(40)
    positions, asked = sum(classes_of(holdings).total), []

    def bound(known):
        asked.append(known)
        return known

    met = Search(effort=50_000, bound=bound)
    assert least_positions(holdings, 400) < positions
    assert regrow(holdings, batch, 400, 0, met).tolist() == batch.tolist()
    assert (asked, met.seconds) == ([positions], 0.0)
    assert regrow(holdings, batch, 400, positions, met).tolist() == batch.tolist()
    assert asked == [positions]  # not needed
    missed = Search(effort=50_000)
    grown = regrow(holdings, batch, 400, 0, missed)
    assert len(set(grown.tolist())) < 40
    assert missed.seconds > 0
