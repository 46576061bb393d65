"""The snippet of the page of models runs as shown; that its tables come from a run is tested with the models."""

from __future__ import annotations

import pytest

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

PAGE = blocks(DOCS / "models.md")


def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [block.language for block in PAGE] == ["python", "text"]
    run(PAGE, tmp_path)


def test_a_wrong_output_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = [block._replace(text=block.text.replace("8 positions", "9 positions")) for block in PAGE]
    with pytest.raises(AssertionError, match="line"):
        run(page, tmp_path)
