"""The page on discovery: its example runs, and its tables and pictures are those that the script computes."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re

from benchmarks.two_layers import least_edges
from masksynth.discover.bounds import bounds_of
from tests.discover.test_bounds import cases
from tests.docs.pages import DOCS, agrees, blocks

PAGE = DOCS / "discovery.md"
SPEC = importlib.util.spec_from_file_location("discovery_tables", DOCS / "discovery.py")
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


def test_tables_and_pictures_are_up_to_date():
    assert script.stale_files() == [], "run python docs/discovery.py"


def test_least_edges_of_two_layers_are_found_again():
    for n in (3, 4, 5):
        answer = least_edges(n)
        assert answer.edges == answer.bound == script.LEAST_OF_TWO_LAYERS[n][0]


def test_a_changed_number_is_named(monkeypatch):
    monkeypatch.setitem(script.TABLES, "layers", lambda: "| another |")
    monkeypatch.setitem(script.PICTURES, "discovery-hole.svg", lambda: "<svg/>")
    assert script.stale_files() == ["discovery.md", "discovery-hole.svg"]


def test_the_example_prints_what_the_page_says():
    python, text = (next(b for b in blocks(PAGE) if b.language == kind) for kind in ("python", "text"))
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(python.text, f"{PAGE}:{python.line}", "exec"), {})
    assert agrees(text.text, output.getvalue())


def test_every_theorem_that_a_bound_names_is_on_the_page():
    anchors = set(re.findall(r"\{ #([\w-]+) \}", PAGE.read_text(encoding="utf-8")))
    for contracts in cases():
        bounds = bounds_of(contracts)
        for bound in (bounds.positions, bounds.edges, bounds.cost):
            named = re.findall(r"docs/discovery\.md#([\w-]+)", bound.by)
            assert named
            assert set(named) <= anchors
