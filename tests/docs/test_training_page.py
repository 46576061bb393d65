"""The page from JSON lines to a training step, run from top to bottom in an empty folder."""

from __future__ import annotations

import pytest

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

PAGE = blocks(DOCS / "training.md")


def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {block.language for block in PAGE} == {"python", "console", "text"}
    run(PAGE, tmp_path)


def test_a_wrong_output_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = [block._replace(text=block.text.replace("54 positions", "53 positions")) for block in PAGE[:2]]
    with pytest.raises(AssertionError, match="line"):
        run(page, tmp_path)
