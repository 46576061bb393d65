"""Layouts: nothing overlaps, everything points up, with Graphviz and without."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.draw import draw, layout
from masksynth.errors import MasksynthError
from masksynth.posets import Poset
from tests.draw import svg
from tests.draw.subjects import family
from tests.posets.strategies import posets

METHODS = ["by_barycentres", "by_graphviz", "layout"]


def laid_out(method, poset, sizes):
    edges = [(int(q), int(k)) for q, k in np.argwhere(poset.covers)]
    return edges, getattr(layout, method)(sizes, edges, poset.heights)


@pytest.mark.parametrize("method", METHODS)
@given(posets(), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_boxes_lie_apart_on_the_paper_and_lower_ones_lower(method, poset, chance):
    sizes = [(chance.uniform(20, 160), 18.0) for _ in range(len(poset))]
    edges, found = laid_out(method, poset, sizes)
    boxes = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (x, y), (w, h) in zip(found.places, sizes, strict=True)]
    for left, low, right, high in boxes:
        assert left >= -1 and low >= -1 and right <= found.width + 1 and high <= found.height + 1  # noqa: PT018
    for a, b in combinations(boxes, 2):
        assert min(a[2], b[2]) - max(a[0], b[0]) < 0.01 or min(a[3], b[3]) - max(a[1], b[1]) < 0.01
    for (upper, lower), line in zip(edges, found.lines, strict=True):
        assert found.places[upper][1] > found.places[lower][1]
        assert abs(line[0][1] - boxes[lower][3]) < 4
        assert abs(line[-1][1] - boxes[upper][1]) < 4


def test_long_edges_bend_around_boxes():
    poset = Poset(np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]) > 0)
    edges = [(1, 0), (2, 1), (3, 2), (3, 0)]
    sizes = [(60.0, 18.0)] * 4
    found = layout.by_barycentres(sizes, edges, poset.heights)
    bends = found.lines[3][1:-1]
    assert len(bends) == 2
    for x, y in bends:
        assert all(abs(x - u) > 30 or abs(y - v) > 9 for u, v in found.places)


def test_many_parts_stand_on_shelves():
    found = layout.layout([(60.0, 18.0)] * 60, [(2 * i + 1, 2 * i) for i in range(30)], [0, 1] * 30)
    assert found.width < 3 * found.height
    assert found.height < 3 * found.width
    assert len(found.lines) == 30


def test_without_graphviz_the_same_diagram_is_drawn(monkeypatch):
    subject = family("butterfly", n=5)
    with_it = draw(subject, "hasse", "svg")
    monkeypatch.setattr(layout.shutil, "which", lambda name: None)
    without = draw(subject, "hasse", "svg")
    for pattern in (r"box-(\d+)", r"edge-(\d+)-(\d+)"):
        assert svg.named(with_it, pattern) == svg.named(without, pattern)
    assert svg.texts(with_it) == svg.texts(without)
    assert with_it != without


def test_a_graphviz_that_fails_is_one_line(tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho no plugin >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(MasksynthError, match="Graphviz does not lay the diagram out: no plugin"):
        draw(family("butterfly", n=3), "hasse", "svg")


def test_graphviz_is_told_numbers_alone(tmp_path, monkeypatch):
    from tests.draw.subjects import hostile

    real = layout.shutil.which("dot")
    program = tmp_path / "dot"
    program.write_text(f'#!/bin/sh\ntee {tmp_path}/told | {real} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    draw(hostile(), "hasse", "svg")
    lines = (tmp_path / "told").read_text().splitlines()
    assert len(lines) > 12
    assert set("".join(lines[1:])) <= set("0123456789.,[]>-{}= widthegt")
