"""Numbers of a mask against their definitions, on random masks and on families whose numbers are known."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import masksynth as ms
from masksynth import posets as orders
from masksynth.errors import InvalidInstance
from masksynth.export import mutual_pairs as mutual
from masksynth.mask import Mask, algebra
from masksynth.merge import merge
from masksynth.statistics import (
    class_leaders,
    compare,
    convergence,
    flow_after,
    hasse,
    mask_statistics,
    reciprocity,
    why,
    width,
)
from tests.posets.strategies import relations
from tests.statistics import naive

PATTERNS = st.tuples(st.integers(0, 7), st.integers(1, 3)).flatmap(
    lambda shape: st.lists(relations(size=shape[0]), min_size=shape[1], max_size=shape[1]).map(np.stack)
)


def causal(size, tables=1):
    place = np.arange(size)
    return Mask(np.arange(size + 1)[None], np.zeros(size, np.int32), place.astype(np.int32) + 1)


@given(PATTERNS)
@settings(max_examples=150)
def test_depth_and_flow(tables):
    found = convergence(Mask.from_dense(tables))
    depth, flow = naive.limit(tables)
    assert (found.depth, found.flow) == (depth, Mask.from_dense(flow))


@given(PATTERNS, st.integers(1, 9))
def test_flow_after_layers(tables, layers):
    assert flow_after(Mask.from_dense(tables), layers) == Mask.from_dense(naive.flows(tables, layers)[-1])


@given(PATTERNS, st.integers(1, 4))
@settings(max_examples=150)
def test_numbers(tables, block_size):
    found = mask_statistics(Mask.from_dense(tables), block_size=block_size)
    _, flow = naive.limit(tables)
    classes, covers, height = naive.diagram(flow)
    assert (found.classes, found.hasse_edges, found.height, found.width) == (
        len(classes),
        len(covers),
        height,
        naive.antichain(flow),
    )
    assert (found.largest_class, found.width_exact, found.skipped) == (max(map(len, classes), default=0), True, {})
    assert found.reciprocity == pytest.approx(naive.reciprocity(tables))
    assert (found.blocks.total, found.blocks.kept, found.blocks.full) == naive.blocks(tables, block_size)
    assert found.blocks.partial == found.blocks.kept - found.blocks.full
    assert found.rows_empty == (~tables.any(axis=2)).sum()
    assert found.rows_without_self == (tables.any(axis=2) & ~np.diagonal(tables, axis1=1, axis2=2)).sum()
    steps = (np.diff(np.pad(tables, ((0, 0), (0, 0), (1, 0))).astype(int), axis=2) == 1).sum(axis=2)
    assert (found.intervals_most, found.intervals_mean) == (
        steps.max(initial=0),
        pytest.approx(steps.mean() if steps.size else 0),
    )


@given(relations(7))
def test_classes_and_covers_are_those_of_networkx(relation):
    found = hasse(convergence(Mask.from_dense(relation)).flow)
    groups = [tuple(found.members(number)) for number in range(len(found.leaders))]
    classes, covers, _ = naive.diagram(naive.limit(relation[None])[1])
    assert set(groups) == classes
    assert {(groups[q], groups[k]) for q, k in zip(found.upper, found.lower, strict=True)} == covers
    assert all(found.heights[q] > found.heights[k] for q, k in zip(found.upper, found.lower, strict=True))


@given(relations(40))
@settings(max_examples=40)
def test_width_of_larger_masks(relation):
    flow = convergence(Mask.from_dense(relation & np.tri(len(relation), dtype=bool))).flow
    assert width(hasse(flow)).value == naive.chains(flow.dense())


@given(PATTERNS, st.data())
@settings(max_examples=150)
def test_why(tables, data):
    size = tables.shape[-1]
    if size == 0:
        return
    query, key = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    found = why(Mask.from_dense(tables), query, key)
    flows = naive.flows(tables, (size + 1) * len(tables))
    assert found.layers == next((layers for layers, flow in enumerate(flows) if flow[query, key]), None)
    assert found.tables == tuple(np.flatnonzero(tables[:, query, key]).tolist())
    assert found.path == found.at == () if found.layers is None else naive.carries(tables, found)


@given(st.integers(0, 7).flatmap(lambda size: st.tuples(relations(size=size), relations(size=size))))
def test_difference(pair):
    one, other = pair
    found = compare(Mask.from_dense(one), Mask.from_dense(other))
    assert (found.only_first, found.only_second) == ((one & ~other).sum(), (other & ~one).sum())
    differ = np.flatnonzero((one != other).any(axis=1)).tolist()
    assert (found.rows, [row.query for row in found.first_rows]) == (len(differ), differ[:5])
    for row in found.first_rows:
        assert {k for a, b in row.only_first for k in range(a, b)} == set(
            np.flatnonzero(one[row.query] & ~other[row.query]).tolist()
        )
        assert {k for a, b in row.only_second for k in range(a, b)} == set(
            np.flatnonzero(other[row.query] & ~one[row.query]).tolist()
        )
    mine, theirs = naive.limit(one[None])[1], naive.limit(other[None])[1]
    assert (found.flow_only_first, found.flow_only_second) == ((mine & ~theirs).sum(), (theirs & ~mine).sum())


def test_difference_of_patterns_compares_as_many_tables_as_both_repeat_in():
    one, other = np.zeros((2, 3, 3), bool), np.zeros((3, 3, 3), bool)
    one[0, 1, 0] = True
    found = compare(Mask.from_dense(one), Mask.from_dense(other))
    assert (found.tables, found.only_first, found.rows, [row.table for row in found.first_rows]) == (6, 3, 3, [0, 2, 4])
    with pytest.raises(InvalidInstance, match="got 3 and 4 positions"):
        compare(Mask.from_dense(one), causal(4))


@pytest.mark.parametrize("n", [3, 4, 8, 13])
def test_butterfly(n):
    found = mask_statistics(merge(ms.catalog.butterfly(n=n)).mask)
    assert (found.hasse_edges, found.depth, found.classes) == (4 * n - 6, 1, 3 * n - 2)
    assert (found.height, found.width, found.largest_class) == (n, n, 1)


def test_known_families():
    found = mask_statistics(merge(ms.catalog.causal_lm(n=9)).mask)
    assert (found.depth, found.height, found.width, found.hasse_edges, found.reciprocity) == (1, 8, 1, 7, 0)
    found = mask_statistics(merge(ms.catalog.packed_docs(lengths=(3, 4, 5))).mask)
    assert (found.depth, found.width, found.height) == (1, 3, 4)
    found = mask_statistics(merge(ms.catalog.prefix_lm(n=8, P=3)).mask)
    assert (found.largest_class, found.height, found.width) == (3, 5, 1)
    found = mask_statistics(Mask.from_dense(np.tri(12, dtype=bool) & ~np.tri(12, k=-3, dtype=bool)), layers=2)
    assert (found.depth, found.flow_pairs, found.layer_pairs) == (6, 78, 78 - 7 * 8 // 2)


@pytest.mark.parametrize("name", ms.catalog.FAMILIES)
def test_every_family_as_the_room_of_orders_counts_it(name):
    mask = merge(ms.catalog.FAMILIES[name]()).mask
    found = mask_statistics(mask)
    union = mask.dense().reshape(-1, mask.size, mask.size).any(axis=0)
    order = orders.quotient(union)
    assert (found.classes, found.height, found.width, found.hasse_edges) == (
        len(order),
        order.height,
        order.width,
        order.covers.sum(),
    )
    assert found.flow_pairs == orders.closure(union).sum()
    assert mask.tables > 1 or found.depth == orders.depth(union)
    assert compare(mask, mask).rows == 0


def test_what_is_too_much_is_named(monkeypatch):
    relation = np.random.default_rng(0).random((40, 40)) < 0.2
    for room, name, value in (
        (algebra, "INTERVAL_LIMIT", 20),
        (mutual, "MOST_INTERVALS", 20),
        (algebra, "MAX_DENSE", 10),
        (mutual, "MAX_DENSE", 10),
    ):
        monkeypatch.setattr(room, name, value)
    found = mask_statistics(Mask.from_dense(relation), layers=2, block_size=2)
    assert set(found.skipped) == {
        *("depth", "flow_pairs", "classes", "height", "width", "hasse_edges"),
        *("layer_pairs", "reciprocity"),
    }
    assert all(getattr(found, name) is None for name in found.skipped)
    assert found.pairs == relation.sum()
    compared = compare(Mask.from_dense(relation), Mask.from_dense(~relation))
    assert compared.flow_only_first is None
    assert "intervals" in compared.note


def test_a_width_that_is_not_proved_says_so(monkeypatch):
    monkeypatch.setattr(sys.modules["masksynth.statistics.hasse"], "LARGEST_WIDTH", 3)
    found = mask_statistics(merge(ms.catalog.butterfly(n=8)).mask)
    assert not found.width_exact
    assert found.width <= 8
    assert found.width_by == "levels"


def test_long_masks_need_no_array():
    place = np.arange(131_072)
    window = Mask(np.arange(len(place) + 1)[None], np.maximum(place - 4095, 0), place + 1)
    found = mask_statistics(window)
    assert (found.depth, found.height, found.width, found.skipped) == (33, 131_072, 1, {})
    assert why(window, 131_071, 0).layers == 33
    assert compare(window, causal(131_072)).flow_only_second == 0


def test_refusals():
    with pytest.raises(InvalidInstance, match=r"query: expected a position of 0\.\.2, got 3"):
        why(causal(3), 3, 0)
    with pytest.raises(InvalidInstance, match=r"key: expected a position of 0\.\.2, got -1"):
        why(causal(3), 2, -1)
    with pytest.raises(InvalidInstance, match="layers: expected an integer >= 1, got 0"):
        mask_statistics(causal(3), layers=0)
    assert class_leaders(causal(3)).tolist() == [0, 1, 2]


def test_old_names_warn():
    from masksynth import statistics

    for old, new in (("anatomy", mask_statistics), ("Anatomy", statistics.MaskStatistics)):
        with pytest.warns(DeprecationWarning, match=f"{old} is now {new.__name__}"):
            assert getattr(statistics, old) is new
    assert not hasattr(statistics, "nonsense")


@pytest.mark.parametrize("function", [mask_statistics, reciprocity, hasse, width, convergence])
def test_wrong_types_are_named(function):
    with pytest.raises(InvalidInstance, match=r"^expected (Mask|Hasse), got str$"):
        function("x")
