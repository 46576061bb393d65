"""Pictures as structure: boxes are classes, edges are covers, cells are pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import masksynth as ms
from masksynth.audit import Labels, Subject
from masksynth.draw import draw
from masksynth.mask import Mask
from tests.draw import svg
from tests.draw.subjects import family, window
from tests.posets.strategies import relations
from tests.statistics import naive

FEW = settings(max_examples=12, deadline=None)
NONEMPTY = st.integers(1, 7).flatmap(lambda size: relations(size=size))


@given(NONEMPTY)
@FEW
def test_boxes_are_classes_and_edges_are_covers(relation):
    picture = draw(Subject(Mask.from_dense(relation), ""), "hasse", "svg")
    classes, covers, _ = naive.diagram(naive.limit(relation[None])[1])
    by_least = sorted(classes)
    assert svg.named(picture, r"box-(\d+)") == [(number,) for number in range(len(classes))]
    assert {(by_least[q], by_least[k]) for q, k in svg.named(picture, r"edge-(\d+)-(\d+)")} == covers
    labels = svg.texts(picture)
    for number, members in enumerate(by_least):
        assert labels[f"label-{number}"] == ", ".join(map(str, members))


@given(NONEMPTY)
@FEW
def test_edges_end_at_their_boxes_and_point_up(relation):
    picture = draw(Subject(Mask.from_dense(relation), ""), "hasse", "svg")
    for upper, lower in svg.named(picture, r"edge-(\d+)-(\d+)"):
        _, top, _, bottom = svg.extent(picture, f"edge-{upper}-{lower}")
        assert top == pytest.approx(svg.extent(picture, f"box-{upper}")[3], abs=4)
        assert bottom == pytest.approx(svg.extent(picture, f"box-{lower}")[1], abs=4)


@pytest.mark.parametrize("n", [3, 4, 8])
def test_butterfly_has_4n_minus_6_edges(n):
    picture = draw(family("butterfly", n=n), "hasse", "svg")
    assert len(svg.named(picture, r"edge-(\d+)-(\d+)")) == 4 * n - 6
    assert len(svg.named(picture, r"box-(\d+)")) == 3 * n - 2


def test_every_family_of_the_catalogue_has_its_covers():
    for name in ("agent_trie", "bd3lm", "prefix_lm", "medusa_tree", "local_global"):
        subject = family(name)
        classes, covers, _ = naive.diagram(naive.limit(subject.mask.dense().reshape(-1, subject.size, subject.size))[1])
        picture = draw(subject, "hasse", "svg")
        assert len(svg.named(picture, r"box-(\d+)")) == len(classes), name
        assert len(svg.named(picture, r"edge-(\d+)-(\d+)")) == len(covers), name


@given(NONEMPTY)
@FEW
def test_cells_are_pairs(relation):
    picture = draw(Subject(Mask.from_dense(relation), "m"), "mask", "svg")
    assert (svg.cells(picture, "allowed", len(relation)) == relation).all()
    names = svg.texts(picture)
    for place in range(len(relation)):
        assert names[f"row-0-{place}"] == names[f"column-0-{place}"] == str(place)


def test_each_table_of_a_pattern_is_drawn():
    tables = np.random.default_rng(3).random((3, 5, 5)) < 0.4
    picture = draw(Subject(Mask.from_dense(tables), "m"), "mask", "svg")
    for number, table in enumerate(tables):
        assert (svg.cells(picture, "allowed", 5, number) == table).all()
    assert svg.texts(picture)["panel-2"] == "table 2 of 3"


def test_blocks_over_single_pairs():
    dense = np.tri(8, dtype=bool)
    picture = draw(Subject(Mask.from_dense(dense), "m"), "mask", "svg", block_size=2)
    assert sorted(svg.named(picture, r"block-full-0-(\d+)-(\d+)")) == [(i, j) for i in range(4) for j in range(i)]
    assert svg.named(picture, r"block-partial-0-(\d+)-(\d+)") == [(i, i) for i in range(4)]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
@FEW
def test_blocks_are_full_or_partial(size, block, seed):
    relation = np.random.default_rng(seed).random((size, size)) < np.random.default_rng(seed).choice([0.1, 0.9, 1.0])
    picture = draw(Subject(Mask.from_dense(relation), "m"), "blocks", "svg", block_size=block)
    rows = -(-size // block)
    full, partial = svg.cells(picture, "full", rows), svg.cells(picture, "partial", rows)
    for i in range(rows):
        for j in range(rows):
            part = relation[i * block : (i + 1) * block, j * block : (j + 1) * block]
            whole = part.size == block * block and part.all()
            assert (full[i, j], partial[i, j]) == (whole, bool(part.any()) and not whole)


@given(st.integers(1, 7).flatmap(lambda size: st.tuples(relations(size=size), relations(size=size))))
@FEW
def test_difference(pair):
    one, other = pair
    picture = draw(Subject(Mask.from_dense(one), "a"), "diff", "svg", other=Subject(Mask.from_dense(other), "b"))
    for kind, due in (("allowed", one & other), ("first", one & ~other), ("second", other & ~one)):
        assert (svg.cells(picture, kind, len(one)) == due).all()


def test_difference_of_large_masks_in_blocks():
    one, other = window(100, 10), window(100, 20)
    picture = draw(one, "diff", "svg", other=other, block_size=10)
    a, b = one.mask.dense(), other.mask.dense()
    shape = (10, 10, 10, 10)
    first, second = ((x & ~y).reshape(shape).any(axis=(1, 3)) for x, y in ((a, b), (b, a)))
    assert (svg.cells(picture, "first", 10) == (first & ~second)).all()
    assert (svg.cells(picture, "second", 10) == (second & ~first)).all()
    assert not svg.cells(picture, "changed", 10).any()


def test_flow_by_layers():
    subject = window(9, 3)
    picture = draw(subject, "flow", "svg")
    flows = naive.flows(subject.mask.dense()[None], 4)
    assert svg.texts(picture)["panel-3"] == "4 layers"
    for panel in range(4):
        assert (svg.cells(picture, "allowed", 9, panel) == flows[panel + 1] & ~(flows[panel] if panel else False)).all()
        assert (svg.cells(picture, "earlier", 9, panel) == (flows[panel] if panel else np.zeros((9, 9), bool))).all()
    assert len(svg.named(draw(subject, "flow", "svg", layers=2), r"table-(\d+)")) == 2


def test_tasks_are_those_of_the_answer():
    subject = family("butterfly", n=4)
    picture = draw(subject, "mask", "svg")
    assert len(svg.named(picture, r"row-task-0-(\d+)")) == subject.size
    named = {text for key, text in svg.texts(picture).items() if key.startswith("legend")}
    assert {f"task predict w{number}" for number in range(4)} | {"several tasks"} <= named


def test_tasks_by_what_their_labels_see():
    from masksynth.draw.position_tasks import NO_TASK, SEVERAL_TASKS, position_tasks
    from masksynth.statistics import convergence

    dense = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]) > 0
    labels = Labels(
        np.array([1, 2]), ("a", "b"), np.ones(2), np.array([0, 1]), ("left", "right"), ((), ()), np.array([-1, -1])
    )
    subject = Subject(Mask.from_dense(dense), "m", labels=labels)
    found = position_tasks(subject, convergence(subject.mask).flow)
    assert found.of.tolist() == [SEVERAL_TASKS, 0, 1, NO_TASK]
    assert found.predicts.tolist() == [False, True, True, False]
    assert found.count.tolist() == [2, 1, 1, 0]


def test_chains_of_large_diagrams_are_single_boxes():
    subject = family("shared_prefix_group", P=30, R=12, G=3)
    picture = draw(subject, "hasse", "svg")
    assert len(svg.named(picture, r"box-(\d+)")) == 4
    assert sorted(svg.named(picture, r"edge-(\d+)-(\d+)")) == [(1, 0), (2, 0), (3, 0)]
    assert svg.texts(picture)["label-0"].endswith("(30)")


def test_other_masks_give_other_pictures():
    one, other = window(6, 2), window(6, 3)
    for what in ("mask", "flow"):
        assert draw(one, what, "svg", layers=2) != draw(other, what, "svg", layers=2)
    assert not (svg.cells(draw(one, "mask", "svg"), "allowed", 6) == other.mask.dense()).all()


def test_catalogue_merges_as_drawn():
    assert ms.solve(ms.catalog.butterfly(n=4)).merged.mask == family("butterfly", n=4).mask
