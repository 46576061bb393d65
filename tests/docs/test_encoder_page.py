"""The guide to pretraining encoders runs from top to bottom in an empty folder."""

from __future__ import annotations

import pytest

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run


@pytest.mark.filterwarnings("ignore")  # of transformers and torch
def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(blocks(DOCS / "encoder.md"), tmp_path)
