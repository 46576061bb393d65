"""The guide in docs/dpo.md, run from top to bottom in an empty folder."""

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run


def test_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(blocks(DOCS / "dpo.md"), tmp_path)
