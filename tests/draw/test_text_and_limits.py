"""Pictures on a terminal, large masks, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import masksynth as ms
from masksynth.audit import Subject, subject_of_merged
from masksynth.draw import draw, format_of, write_picture
from masksynth.draw.display_names import columns, position_names
from masksynth.draw.hasse_boxes import hasse_diagram
from masksynth.errors import InvalidInstance, MasksynthError, Unsupported
from masksynth.mask import Mask
from masksynth.posets import classes, quotient
from tests.draw import svg
from tests.draw.subjects import family, hostile, window


def long_window(size=32_768, width=2048):
    place = np.arange(size)
    return Subject(Mask(np.arange(size + 1)[None], np.maximum(place - width + 1, 0), place + 1), "long")


def test_signs_are_pairs():
    subject = window(9, 3)
    rows = draw(subject).splitlines()[1:-1]
    assert [[sign == "■" for sign in row.split()[1:]] for row in rows] == subject.mask.dense().tolist()


def test_signs_of_a_difference():
    one, other = window(5, 2), window(5, 3)
    text = draw(one, "diff", other=other)
    assert text.splitlines()[3].split()[1:] == ["+", "■", "■", "·", "·"]
    assert draw(other, "diff", other=one).splitlines()[3].split()[1:] == ["-", "■", "■", "·", "·"]


def test_hasse_in_text_names_each_box_once_and_marks_predictions():
    subject = family("agent_trie")
    text = draw(subject, "hasse")
    lines = [line for line in text.splitlines()[1:-1] if not line.rstrip().endswith(("╽", "..."))]
    assert len(lines) == len({line.split("╾")[0] for line in lines}) == subject.size
    assert sum(line.endswith(" *") for line in lines) == len(set(subject.labels.position.tolist()))


@pytest.mark.parametrize("name", ms.catalog.FAMILIES)
def test_every_family_is_drawn(name):
    subject = family(name)
    lines = [line.split()[-subject.size :] for line in draw(subject).split("\n")]
    signs = [[sign == "■" for sign in line] for line in lines if len(line) == subject.size and set(line) <= {"■", "·"}]
    assert signs == subject.mask.dense().reshape(-1, subject.size).tolist()
    union = subject.mask.dense().reshape(-1, subject.size, subject.size).any(axis=0)
    order, found = quotient(union), hasse_diagram(subject, contract=False)
    leaders = [group[0] for group in classes(union)]
    drawn = {(found.boxes[q].positions[0], found.boxes[k].positions[0]) for q, k in found.edges}
    assert drawn == {(leaders[q], leaders[k]) for q, k in np.argwhere(order.covers)}


@pytest.mark.parametrize("what", ["mask", "hasse", "flow", "blocks"])
def test_hostile_names_do_not_reach_the_terminal(what):
    text = draw(hostile(), what)
    assert all(line.isprintable() for line in text.split("\n"))
    assert max(map(columns, text.split("\n"))) < 160


def test_large_masks_are_drawn_in_blocks():
    subject = long_window()
    picture = draw(subject, "mask", "svg")
    assert svg.texts(picture)["title"].endswith("blocks of 512")
    assert svg.cells(picture, "full", 64).sum() == 64 * 3 - 6
    rows = draw(subject).splitlines()
    assert len(rows) == 34
    assert draw(subject, "hasse").splitlines()[1] == "╙── 0 … 32767 (32768)"


def test_too_large_pictures_are_refused():
    with pytest.raises(
        Unsupported, match="32,768 positions in blocks of 16 are more than 256 rows; choose blocks of at least 128"
    ):
        draw(long_window(), "blocks", "svg", block_size=16)
    chance = np.random.default_rng(0)
    tangled = Subject(Mask.from_dense(np.tril(chance.random((300, 300)) < 0.02)), "tangled")
    with pytest.raises(Unsupported, match=r"a Hasse diagram of \d+ boxes \(more than 200\)"):
        draw(tangled, "hasse")


def test_refusals(tmp_path):
    subject = window(4, 2)
    for options, fact in (
        ({"form": "gif"}, "format 'gif'"),
        ({"what": "heap"}, "picture 'heap'"),
        ({"what": "diff"}, "diff needs a second mask"),
        ({"what": "mask", "other": subject}, "picture mask does not take a second mask"),
        ({"what": "diff", "other": window(5, 2)}, "got 4 and 5 positions"),
        ({"what": "blocks", "block_size": 0}, "block size: expected a positive number, got 0"),
        ({"what": "flow", "layers": 0}, "layers: expected a positive number, got 0"),
    ):
        with pytest.raises(InvalidInstance, match=fact):
            draw(subject, **options)
    with pytest.raises(InvalidInstance, match="a mask of 0 positions"):
        draw(Subject(Mask.from_dense(np.zeros((0, 0), bool)), "none"))
    with pytest.raises(InvalidInstance, match=r"ends in '\.jpg'"):
        format_of(tmp_path / "a.jpg")
    write_picture("one", tmp_path / "a.svg")
    with pytest.raises(InvalidInstance, match="already exists"):
        write_picture("two", tmp_path / "a.svg")
    write_picture(b"two", tmp_path / "a.svg", force=True)
    assert (tmp_path / "a.svg").read_text() == "two"
    write_picture("one", tmp_path / "made" / "a.svg")
    assert (tmp_path / "made" / "a.svg").read_text() == "one"
    with pytest.raises(MasksynthError, match="cannot be written"):
        write_picture("one", "/proc/none/a.svg")


def test_a_box_says_what_it_predicts():
    merged = ms.solve(ms.catalog.butterfly(n=4)).merged
    found = hasse_diagram(subject_of_merged(merged))
    told = {box.label for box in found.boxes if box.predicts}
    assert {label.rpartition(" ⇒ ")[2] for label in told} == {"w0", "w1", "w2", "w3"}
    assert not any("⇒" in box.label for box in found.boxes if not box.predicts)
    assert "⇒ w2 *" in draw(subject_of_merged(merged), "hasse", "text")


def test_long_names_keep_their_position_ids():
    """Cut or not, two positions of one token are distinguished."""
    inputs = ("a very long token " * 20,) * 3
    mask = Mask.from_dense(np.tril(np.ones((3, 3), bool)))
    subject = Subject(mask, "long", inputs=inputs, positions=np.array([7, 8, 123456]))
    for most in (16, 20):
        names = position_names(subject, most)
        assert [name.rpartition("@")[2] for name in names] == ["7", "8", "123456"]
        assert all(columns(name) <= most and "…" in name for name in names)
    assert "@123456" in draw(subject, "mask", "text")
