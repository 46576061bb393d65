"""The guide in docs/rl-stacks.md, run from top to bottom."""

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run


def test_page_runs_as_shown(tmp_path):
    run(blocks(DOCS / "rl-stacks.md"), tmp_path)
