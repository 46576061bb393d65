"""The page on chats, run from top to bottom."""

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run


def test_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(blocks(DOCS / "chats.md"), tmp_path)
