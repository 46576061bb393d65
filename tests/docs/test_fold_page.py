"""The page about fold runs from top to bottom."""

from __future__ import annotations

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run


def test_the_page_runs_as_shown(tmp_path):
    run(blocks(DOCS / "fold.md"), tmp_path)
