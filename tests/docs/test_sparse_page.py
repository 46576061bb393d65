"""The page on sparse masks, run from top to bottom; its table of chains against the engines."""

from __future__ import annotations

import re

from masksynth.sparse.engines import ENGINES, PORTFOLIO
from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run
from tests.sparse.test_known_optima import CHAINS

TEXT = (DOCS / "sparse.md").read_text(encoding="utf-8")


def test_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(blocks(DOCS / "sparse.md"), tmp_path)


def test_every_engine_is_described():
    described = re.findall(
        r"^\| `(\w+)` \| (?!L,|weights)",
        TEXT[TEXT.index("| engine |") : TEXT.index("`auto` runs the first three")],
        flags=re.MULTILINE,
    )
    assert described == list(ENGINES)
    assert described[:3] == list(PORTFOLIO)


def test_table_of_chains_is_that_of_the_tests():
    header = re.search(r"^\| n \|(.*)\|$", TEXT, flags=re.MULTILINE)[1]
    sizes = [int(cell) for cell in header.split("|")]
    for layers in (2, 3, 4):
        cells = re.search(rf"^\| L = {layers} \|(.*)\|$", TEXT, flags=re.MULTILINE)[1].split("|")
        told = {n: int(cell) for n, cell in zip(sizes, cells, strict=True) if cell.strip()}
        assert {n: told[n] for n in CHAINS[layers]} == CHAINS[layers]
