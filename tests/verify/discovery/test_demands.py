"""Demands: whatever is not refused as impossible is found, and what is found meets them by the naive checker."""

import random
from dataclasses import replace

import numpy as np

from masksynth.backends import Limits, Status
from masksynth.contracts import Demand
from masksynth.contracts.families import leave_one_out
from masksynth.discover.discover import discover
from masksynth.discover.impossible import find_impossible
from masksynth.verify.discovery.count_ways import Ways
from masksynth.verify.discovery.layer_rows import Rows
from tests.verify.discovery import naive, planted


def test_each_possible_demand_is_met():
    draw, statuses = random.Random(9), set()
    for _ in range(60):
        contracts = planted.random_contracts(draw, most=3)
        demand = Demand(*(draw.choice([0, 1, 2]) for _ in range(3)), draw.choice([None, 0, 1]))
        contracts = replace(contracts, demand=demand)
        found = discover(contracts, limits=Limits(0.0))
        statuses.add(found.status)
        if find_impossible(contracts):
            assert found.status is Status.INFEASIBLE
        else:
            assert naive.is_right(contracts, found.best.merged)
    assert statuses == {Status.OPTIMAL, Status.FEASIBLE, Status.INFEASIBLE}


def test_a_target_is_moved_to_its_element_where_no_read_is_allowed():
    contracts = replace(leave_one_out(n=2, place="any"), demand=Demand(hops=0))
    found = discover(contracts, limits=Limits(0.0))
    assert found.best.sizes.edges == 0


def rows_of(table):
    """Return sets of keys as rows."""
    return Rows(np.cumsum([0, *map(len, table)]), np.array([k for row in table for k in sorted(row)]))


def test_disjoint_ways_are_counted_as_by_menger():
    draw, counts = random.Random(4), set()
    for _ in range(150):
        size, depth, count = draw.randint(2, 7), draw.randint(1, 4), draw.randint(1, 4)
        rows = [[{q, *(k for k in range(size) if draw.random() < 0.25)} for q in range(size)] for _ in range(depth)]
        element = [draw.randrange(-1, count) for _ in range(size)]
        embeds = [None if e < 0 else e for e in element]
        layers = [rows_of(table) for table in rows]
        need, target = set(range(count)), draw.randrange(size)
        found = Ways(layers, np.array(element)).count(target, sorted(need), count)
        assert found == naive.ways(embeds, rows, target, depth, need)
        counts.add(found)
    assert counts >= {0, 1, 2, 3}
