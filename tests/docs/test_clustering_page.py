"""The page on clustering, run from top to bottom in an empty folder, and its figures."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

PAGE = blocks(DOCS / "clustering.md")


def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {block.language for block in PAGE} == {"python", "console", "text"}
    run(PAGE, tmp_path)


def test_a_wrong_output_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = [block._replace(text=block.text.replace("chain (0,) 7", "chain (0,) 6")) for block in PAGE[1:3]]
    with pytest.raises(AssertionError, match="line"):
        run(page, tmp_path)


def test_figures_are_there_and_small():
    figures = re.findall(r"\]\((diagnostics/[^)]*\.svg)\)", (DOCS / "clustering.md").read_text(encoding="utf-8"))
    assert len(figures) == 2
    for figure in figures:
        assert 10_000 < (DOCS / figure).stat().st_size < 100_000
