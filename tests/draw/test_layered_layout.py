"""The layout of Hasse diagrams: boxes apart, edges clear of them, few crossings, mirror images where there are any."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.draw.hasse_figure import smooth
from masksynth.draw.layer_coordinates import offsets_of, pool
from masksynth.draw.layer_order import count_crossings, layered_graph, order_layers
from masksynth.draw.layered_layout import Spacing, layered_layout
from masksynth.draw.mirror import find_mirror
from masksynth.draw.tree_layout import attach_outlines, find_root, sort_symmetrically
from masksynth.posets import Poset
from tests.posets.strategies import posets


def covers(poset):
    return [(int(q), int(k)) for q, k in np.argwhere(poset.covers)]


def sample(route, steps=12):
    """Points of the curve that is drawn through a route."""
    control = smooth(route)
    points = []
    for start in range(0, len(control) - 1, 3):
        a, b, c, d = (np.array(point) for point in control[start : start + 4])
        for t in np.linspace(0, 1, steps, endpoint=False):
            points.append((1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d)
    return np.array([*points, control[-1]])


def rectangles(layout, sizes):
    return [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), w, (_, h) in zip(layout.centres, layout.widths, sizes, strict=True)
    ]


def check_layout(layout, sizes, edges):
    boxes = rectangles(layout, sizes)
    for (left, top, right, bottom), (width, _) in zip(boxes, sizes, strict=True):
        assert right - left >= width - 0.01
        assert min(left, top) > -0.02
        assert right <= layout.width + 0.02
        assert bottom <= layout.height + 0.02
    for a, b in combinations(boxes, 2):
        assert min(a[2], b[2]) - max(a[0], b[0]) < 0.02 or min(a[3], b[3]) - max(a[1], b[1]) < 0.02, (a, b)
    for (upper, lower), route in zip(edges, layout.routes, strict=True):
        assert route[0] == pytest.approx((layout.centres[lower][0], boxes[lower][1]), abs=0.02)
        assert route[-1] == pytest.approx((layout.centres[upper][0], boxes[upper][3]), abs=0.02)
        assert all(y > w for (_, y), (_, w) in pairwise(route))
        points = sample(route)
        for number, (left, top, right, bottom) in enumerate(boxes):
            inside = (
                (points[:, 0] > left)
                & (points[:, 0] < right)
                & (points[:, 1] > top + 0.02)
                & (points[:, 1] < bottom - 0.02)
            )
            assert not inside.any(), (upper, lower, number)


@given(posets(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_boxes_lie_apart_and_edges_clear_of_them(poset, chance):
    sizes = [(chance.uniform(20, 160), chance.choice([18.0, 18.0, 60.0])) for _ in range(len(poset))]
    check_layout(layered_layout(sizes, covers(poset), poset.heights), sizes, covers(poset))


def test_dense_orders_of_some_hundred_boxes_are_laid_out():
    chance = np.random.default_rng(5)
    relation = np.tril(chance.random((150, 150)) < 0.04, -1)
    poset = Poset(relation)
    sizes = [(60.0, 18.0)] * 150
    check_layout(layered_layout(sizes, covers(poset), poset.heights), sizes, covers(poset))


def test_many_bends_are_left_out(monkeypatch):
    monkeypatch.setattr("masksynth.draw.diagram_parts.MOST_BENDS", 10)
    edges = [(place + 1, place) for place in range(19)] + [(19, 0)]
    layout = layered_layout([(10.0, 10.0)] * 20, edges, range(20))
    assert all(len(route) == 2 for route in layout.routes)


def test_long_edges_bend_around_boxes():
    edges = [(place + 1, place) for place in range(19)] + [(20, 0)]
    layout = layered_layout([(60.0, 18.0)] * 21, edges, [*range(20), 19])
    assert len(layout.routes[-1]) >= 20


def test_many_parts_share_shelves():
    layout = layered_layout([(60.0, 18.0)] * 60, [(2 * i + 1, 2 * i) for i in range(30)], [0, 1] * 30)
    assert layout.width < 3 * layout.height
    assert layout.height < 3 * layout.width


def test_a_parent_is_centred_and_a_long_branch_runs_straight():
    fork = layered_layout([(40, 18), (60, 18), (20, 18), (60, 18)], [(1, 0), (2, 0), (3, 0)], [0, 1, 1, 1])
    xs = [x for x, _ in fork.centres]
    assert xs[0] == pytest.approx(xs[2])
    assert xs[2] - xs[1] == pytest.approx(xs[3] - xs[2])
    stem = layered_layout([(40, 18)] * 5, [(1, 0), (2, 1), (3, 2), (4, 0)], [0, 1, 2, 3, 1])
    assert len({x for x, _ in stem.centres[:4]}) == 1


def test_side_columns_are_straight():
    edges = [(1, 0), (2, 1), (3, 0), (4, 1), (5, 2)]
    second = [False, False, False, True, True, True]
    layout = layered_layout([(40, 18)] * 6, edges, [0, 1, 2, 1, 2, 3], side_column=second)
    assert len({x for x, _ in layout.centres[:3]}) == len({x for x, _ in layout.centres[3:]}) == 1
    assert layout.centres[3][0] > layout.centres[0][0]


@given(posets())
@settings(max_examples=60, deadline=None)
def test_a_mirror_is_an_automorphism_and_the_layout_obeys_it(poset):
    edges = covers(poset)
    heights = poset.heights
    links = [(k, q) for q, k in edges if heights[q] == heights[k] + 1]
    graph = layered_graph(heights, links)
    mirror = find_mirror(graph)
    if mirror is None or len(links) < len(edges):
        return
    assert all(mirror[mirror[v]] == v and heights[mirror[v]] == heights[v] for v in range(len(poset)))
    assert {(mirror[k], mirror[q]) for k, q in links} == set(links)
    layers = order_layers(graph, list(range(len(poset))), mirror)[0]
    assert all([mirror[v] for v in reversed(layer)] == layer for layer in layers)


def test_mirrors_are_found():
    diamond = layered_graph([0, 1, 1, 2], [(0, 1), (0, 2), (1, 3), (2, 3)])
    assert find_mirror(diamond) == [0, 2, 1, 3]
    assert find_mirror(layered_graph([0, 1, 1, 2], [(0, 1), (0, 2), (2, 3)])) is None
    assert find_mirror(layered_graph([0, 0, 1, 1], [(0, 2), (0, 3), (1, 2), (1, 3)]))[0] == 1


@given(st.integers(1, 5), st.integers(1, 5), st.data())
@settings(max_examples=60, deadline=None)
def test_crossings_are_counted(low, high, data):
    edges = data.draw(st.sets(st.tuples(st.integers(0, low - 1), st.integers(low, low + high - 1))))
    graph = layered_graph([0] * low + [1] * high, sorted(edges))
    expected = sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(edges, 2))
    assert count_crossings(graph, [list(range(low)), list(range(low, low + high))]) == expected
    best = order_layers(graph, list(range(low + high)))[0]
    assert count_crossings(graph, best) <= expected


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(1, 40), st.floats(0.5, 4)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_separated_centres_are_the_closest(items):
    wanted, widths, weights = (list(column) for column in zip(*items, strict=True))
    offsets = offsets_of(widths)
    found = pool(np.array(wanted) - offsets, weights) + offsets
    least = np.array([(a + b) / 2 for a, b in pairwise(widths)])
    assert (np.diff(found) >= least - 1e-6).all()
    cost = np.dot(weights, (found - wanted) ** 2)
    chance = np.random.default_rng(0)
    for _ in range(50):  # a feasible move never costs less
        other = found + chance.normal(0, 2, len(found))
        if (np.diff(other) >= least).all():
            assert np.dot(weights, (other - wanted) ** 2) >= cost - 1e-6


def test_outlines_are_packed_symmetrically():
    wide, slim = {0: (-10.0, 10.0), 1: (-20.0, 20.0)}, {0: (-2.0, 2.0)}
    offsets = attach_outlines([wide, slim, wide], 4.0)
    assert offsets[1] - offsets[0] == pytest.approx(offsets[2] - offsets[1])
    assert sort_symmetrically([3, 1, 2], {3: 0, 1: 0, 2: 1}) == [3, 2, 1]
    assert find_root(layered_graph([0, 0, 1], [(0, 2), (1, 2)])) == (2, [[], [], [0, 1]])
    assert find_root(layered_graph([0, 1, 1, 2], [(0, 1), (0, 2), (1, 3), (2, 3)])) is None


def test_rows_of_flat_edges_lie_further_apart():
    edges = [(leaf, 0) for leaf in range(1, 12)]
    tall = layered_layout([(40.0, 18.0)] * 12, edges, [0] + [1] * 11, spacing=Spacing(18, 20, 0.1)).height
    assert tall > layered_layout([(40.0, 18.0)] * 12, edges, [0] + [1] * 11, spacing=Spacing(18, 20, 0)).height
