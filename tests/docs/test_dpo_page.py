"""The guide in docs/dpo.md, run from top to bottom in an empty folder."""

import pytest

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run


@pytest.mark.filterwarnings("ignore")  # of trl, transformers, accelerate and torch
def test_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(blocks(DOCS / "dpo.md"), tmp_path)
