"""What values show in a notebook: well-formed, with their names, small, without matplotlib."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import masksynth as ms
from masksynth.mask import Mask
from masksynth.mask.block_runs import block_pairs
from masksynth.mask.svg_picture import mask_svg
from masksynth.pack import pack_samples
from masksynth.subject import read_subject
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.tasks.value_text import printable
from tests.draw.subjects import HOSTILE

SVG = "{http://www.w3.org/2000/svg}"


def texts(markup):
    """All texts of some markup, which must be well-formed."""
    return list(ET.fromstring(markup).itertext())


def test_an_answer_and_its_merged_task_show_their_mask_with_names():
    instance = ms.catalog.butterfly(n=4)
    answer = ms.solve(instance)
    for shown in (answer._repr_html_(), answer.merged._repr_html_()):
        assert {"mean(w0, w2)@1", "w3@3"} <= set(texts(shown))
        cells = [element for element in ET.fromstring(shown).iter(f"{SVG}rect") if element.get("fill") != "none"]
        widths = sum(int(element.get("width")) for element in cells)
        assert widths == 12 * answer.merged.mask.pairs
    assert "Answer OPTIMAL" in answer._repr_html_()
    assert "10 positions (bound 10)" in answer._repr_html_()


def test_an_instance_shows_its_tasks():
    found = texts(ms.catalog.butterfly(n=30)._repr_html_())
    assert {"predict w0", "predict w11", "w11", "and 18 more"} <= set(found)
    assert "predict w12" not in found


def test_an_infeasible_answer_shows_its_leak():
    nodes = [Node("a", "a", 0), Node("b", "b", 1)]
    task = Task("t", nodes, {"a": ["a", "b"], "b": ["b"]}, [Prediction("a", "b", hides=("b",))])
    shown = ms.solve(Instance(TaskFamily([task]), "leaking"))._repr_html_()
    assert "Answer INFEASIBLE" in shown
    assert "Leak" in " ".join(texts(shown))


def test_a_packed_batch_shows_token_ids(tmp_path):
    samples = [{"id": "a", "input_ids": [101, 102, 103], "labels": [-100, -100, 103]}]
    pack_samples(samples, tmp_path / "packed")
    batch = read_subject(tmp_path / "packed").batch
    found = texts(batch._repr_html_())
    assert "101@0" in found
    assert any("1 sample" in text for text in found)


def test_a_mask_shows_cells_or_blocks():
    small = ET.fromstring(Mask.from_dense(np.tri(3, dtype=bool))._repr_svg_())
    assert len(list(small.iter(f"{SVG}rect"))) == 4
    size = 131_072
    place = np.arange(size)
    large = Mask(np.arange(size + 1)[None], np.maximum(place - 2047, 0), place + 1)
    shown = large._repr_svg_()
    assert len(shown) < 30_000
    assert "in blocks of 2048" in shown
    assert len(list(ET.fromstring(shown).iter(f"{SVG}rect"))) == 1 + 64 + 63
    pattern = Mask.from_dense(np.ones((5, 2, 2), bool))._repr_svg_()
    assert pattern.count("<g ") == 3
    assert "0 positions" in Mask.from_intervals([[]])._repr_svg_()


def test_what_is_too_large_is_left_to_text(monkeypatch):
    monkeypatch.setattr("masksynth.mask.svg_picture.MOST_INTERVALS", 2)
    mask = Mask.from_dense(np.tri(3, dtype=bool))
    assert mask._repr_svg_() is None
    assert repr(mask) == "Mask(size=3, tables=1, pairs=6)"
    merged = ms.solve(ms.catalog.causal_lm(n=5)).merged
    assert "svg" not in merged._repr_html_()
    assert "4 positions" in merged._repr_html_()


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_pairs_of_blocks_are_counted(size, unit, seed):
    chance = np.random.default_rng(seed)
    dense = chance.random((2, size, size)) < chance.choice([0.1, 0.5, 1.0])
    rows = -(-size // unit)
    padded = np.zeros((rows * unit, rows * unit), np.int64)
    for table in range(2):
        padded[:size, :size] = dense[table]
        expected = padded.reshape(rows, unit, rows, unit).sum(axis=(1, 3))
        assert (block_pairs(Mask.from_dense(dense), table, unit, unit) == expected).all()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name):
    node = Node("n", name, 0, carries=())
    instance = Instance(TaskFamily([Task(name or "t", [node], {"n": ["n"]}, [Prediction("n", name)])]), name or "x")
    answer = ms.solve(instance)
    for shown in (instance._repr_html_(), answer._repr_html_(), mask_svg(answer.merged.mask, [printable(name)])):
        tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(shown).iter()}
        assert tags <= {"div", "b", "table", "tr", "th", "td", "svg", "title", "text", "g", "rect"}
        assert len(shown) < 5000


def test_nothing_but_numpy_is_loaded():
    program = (
        "import sys; sys.modules['matplotlib'] = None; import masksynth as ms;"
        "answer = ms.solve(ms.catalog.butterfly(n=4), backend='criterion');"
        "assert 'svg' in answer._repr_html_() and 'svg' in answer.merged.mask._repr_svg_();"
        "print(sorted({'masksynth.draw', 'networkx', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
